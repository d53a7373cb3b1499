//! The buffers that a ring receives into: lent to the kernel in turn, and given back as soon as they were read.

#![allow(unsafe_code)]

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    io,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU16, Ordering::Release},
};

use io_uring::{IoUring, types::BufRingEntry};

/// The most buffers: as many small messages may come between two turns before the kernel runs out of buffers. Then it
/// says so, and a receive is asked for again.
const MOST_BUFFERS: usize = 1024;

/// The most memory of all buffers, beyond which there are fewer.
const MOST_BYTES: usize = 4 << 20;

/// How much a buffer has beyond a message, and what it is a multiple of: a line of the processor's caches.
const LINE: usize = 64;

/// The largest page that Linux has on what Rust's standard library runs on: to a page the kernel wants the list of buffers
/// aligned (io_uring_register_buf_ring(3)).
const PAGE: usize = 64 * 1024;

/// The buffers, and the list by which the kernel is told which of them it has.
pub(super) struct Inbox {
    list: Pages,
    bytes: Pages,
    /// How many buffers there are: a power of two.
    count: u16,
    each: usize,
    /// One more than the last that was lent, of all that ever were.
    tail: u16,
}

impl Inbox {
    /// The name under which the kernel knows the buffers.
    pub(super) const GROUP: u16 = 0;

    /// Makes buffers that each hold a message of this size, and lends all of them to the ring.
    ///
    /// # Errors
    /// When the kernel takes no list of buffers.
    pub(super) fn new(ring: &IoUring, message_bytes: usize) -> io::Result<Self> {
        let each = (message_bytes + LINE).next_multiple_of(LINE);
        let most = (MOST_BYTES / each).clamp(2, MOST_BUFFERS);
        let count = 1 << most.ilog2();
        let list = Pages::new(usize::from(count) * size_of::<BufRingEntry>());
        let bytes = Pages::new(usize::from(count) * each);
        // SAFETY: the list is of `count` entries and page-aligned. The kernel uses it for requests of the ring alone, and the
        // ring that this is part of is dropped after the last of them.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(list.at as u64, count, Self::GROUP, 0)?;
        }
        let mut inbox = Self { list, bytes, count, each, tail: 0 };
        (0..count).for_each(|buffer| inbox.give_back(buffer));
        Ok(inbox)
    }

    /// The first bytes of a buffer that the kernel has filled.
    pub(super) fn bytes(&self, buffer: u16, length: usize) -> &[u8] {
        assert!(buffer < self.count && length <= self.each, "the kernel names a buffer that it was lent");
        // SAFETY: in bounds, as asserted; initialised since it was allocated. Its completion has been seen, and it was not
        // lent again since, so the kernel does not write to it (io_uring_setup_buf_ring(3)).
        unsafe { slice::from_raw_parts(self.bytes.at.add(usize::from(buffer) * self.each), length) }
    }

    /// Lends a buffer to the kernel again.
    pub(super) fn give_back(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        let list = self.list.at.cast::<BufRingEntry>();
        // SAFETY: the place is within the list. The kernel reads an entry only once the tail has passed it, and there are
        // never more lent than there are entries, so it does not read this one now.
        let entry = unsafe { &mut *list.add(place) };
        entry.set_addr(self.bytes.at.wrapping_add(usize::from(buffer) * self.each) as u64);
        entry.set_len(u32::try_from(self.each).unwrap_or(u32::MAX));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry of the list, and the kernel only reads it; storing it releases the entry
        // (io_uring_buf_ring_advance(3)).
        let tail = unsafe { &*BufRingEntry::tail(list).cast::<AtomicU16>() };
        tail.store(self.tail, Release);
    }
}

/// Memory from a page's beginning, zeroed.
struct Pages {
    at: *mut u8,
    layout: Layout,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(1), PAGE).expect("some MiB at a page's beginning");
        // SAFETY: the layout's size is not zero.
        let at = unsafe { alloc_zeroed(layout) };
        let at = NonNull::new(at).unwrap_or_else(|| handle_alloc_error(layout)).as_ptr();
        Self { at, layout }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and nobody else frees it.
        unsafe { dealloc(self.at, self.layout) }
    }
}
