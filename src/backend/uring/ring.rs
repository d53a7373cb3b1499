//! One io_uring: how it is set up, what it is asked, and what it answers.
//!
//! What the kernel reads and writes while a request is under way is kept where it is by the callers of [`Ring::send`] and
//! [`Ring::receive`], until the answer or until their ring is gone: a ring that is dropped first waits for all requests to end.

#![allow(unsafe_code)]

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    time::{Duration, Instant},
};

use io_uring::{
    Builder, IoUring, cqueue, opcode,
    squeue::Entry,
    types::{CancelBuilder, Fd, Timespec},
};
use nix::libc::{self, SOCK_CLOEXEC};
use socket2::SockAddr;

/// Requests that are handed over at a time; more go in several turns.
const REQUESTS: u32 = 1024;

/// Completions that have room before the kernel must keep them elsewhere: a burst of each of many connections.
const COMPLETIONS: u32 = 8192;

/// How long a ring may take to end what was told to end, or to take what it is handed, before it is taken for broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Wait until there is something before the first try (`IORING_RECVSEND_POLL_FIRST` in include/uapi/linux/io_uring.h).
const POLL_FIRST: u16 = 1;

/// How a ring is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum SetUp {
    /// With all flags that help one thread: completions are worked off when it asks, and nobody is interrupted for them.
    Tuned,
    /// Without any.
    Plain,
}

impl SetUp {
    /// Makes the ring, with the best flags that the kernel has.
    ///
    /// # Errors
    /// The kernel's, when it gives no ring at all.
    pub(super) fn build(self) -> io::Result<IoUring> {
        if self == Self::Plain {
            return IoUring::new(REQUESTS);
        }
        // As of Linux 6.6, 6.1, and 5.19. An unknown flag is EINVAL (io_uring_setup(2)).
        let flags: [fn(&mut Builder) -> &mut Builder; 3] = [
            |ring| ring.setup_single_issuer().setup_defer_taskrun().setup_no_sqarray(),
            |ring| ring.setup_single_issuer().setup_defer_taskrun(),
            |ring| ring.setup_coop_taskrun(),
        ];
        let mut made =
            flags.iter().map(|set| set(IoUring::builder().setup_cqsize(COMPLETIONS)).build(REQUESTS));
        let lacks = |made: &io::Result<_>| {
            made.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL))
        };
        made.find(|made| !lacks(made)).unwrap_or_else(|| Err(io::Error::from_raw_os_error(libc::EINVAL)))
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Request {
    Accept,
    Connect,
    Receive,
    Send,
    Cancel,
    Close,
    /// Before the next accept.
    Pause,
    /// Of a link.
    Sleep,
}

impl Request {
    const ALL: [Self; 8] = [
        Self::Accept,
        Self::Connect,
        Self::Receive,
        Self::Send,
        Self::Cancel,
        Self::Close,
        Self::Pause,
        Self::Sleep,
    ];

    /// What the kernel gives back with the answer: the request, and whose it was.
    fn tag(self, owner: usize) -> u64 {
        (self as u64) << 56 | owner as u64
    }
}

/// An answer of the kernel's.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) request: Request,
    /// Whose request it was.
    pub(super) owner: usize,
    /// What the system call would have returned; negative for an error.
    result: i32,
    flags: u32,
    /// Whom an accept has brought; closed with the answer if nobody takes it.
    accepted: Option<OwnedFd>,
}

impl Completion {
    pub(super) fn result(&self) -> io::Result<u32> {
        u32::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }

    /// The socket that was accepted, or why none was.
    pub(super) fn accepted(self) -> io::Result<OwnedFd> {
        self.result()?;
        self.accepted.ok_or_else(|| io::Error::other("the answer to another request"))
    }

    /// Whether this was the last answer to its request.
    pub(super) fn is_last(&self) -> bool {
        !cqueue::more(self.flags)
    }

    /// Reads an answer, which the queue gives once.
    fn read(entry: cqueue::Entry) -> Self {
        let tag = entry.user_data();
        let request = Request::ALL[(tag >> 56) as usize % Request::ALL.len()];
        let owner = (tag & ((1 << 56) - 1)) as usize;
        let result = entry.result();
        // SAFETY: the answer to an accept is a descriptor of ours, as accept4(2) would return it, and is told once.
        let socket = || unsafe { OwnedFd::from_raw_fd(result) };
        let accepted = (request == Request::Accept && result >= 0).then(socket);
        Self { request, owner, result, flags: entry.flags(), accepted }
    }
}

/// What a request points at until it was handed over; the kernel has copied it by then.
enum Parameter {
    Address(#[allow(dead_code, reason = "the kernel reads it")] Box<SockAddr>),
    Time(#[allow(dead_code, reason = "the kernel reads it")] Box<Timespec>),
}

/// How connections are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Accepting {
    /// All, by one request: nothing is asked for again.
    All,
    /// The next one. Where several rings wait for one listener, the kernel wakes the one that asked first and has not been
    /// answered for the last time (`__wake_up_common` in kernel/sched/wait.c); with a request for all connections it would
    /// be the same ring for ever.
    Next,
}

impl Accepting {
    /// As so many workers of one listener should.
    pub(in crate::backend) fn by(workers: usize) -> Self {
        if workers == 1 { Self::All } else { Self::Next }
    }
}

/// A ring; of one thread.
pub(super) struct Ring {
    uring: IoUring,
    /// Requests that will be answered, and were not for the last time.
    under_way: usize,
    until_handed_over: Vec<Parameter>,
}

impl Ring {
    /// Sets a ring up.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub(super) fn new(set_up: SetUp) -> io::Result<Self> {
        Ok(Self { uring: set_up.build()?, under_way: 0, until_handed_over: Vec::new() })
    }

    /// Hands all requests over, waits until there is an answer, and puts all that are there into `completions`.
    ///
    /// # Errors
    /// When the ring is broken.
    pub(super) fn turn(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        completions.clear();
        match self.uring.submit_and_wait(1) {
            // Take the answers that are there first.
            Err(error) if !passes(&error) => return Err(error),
            _ => {}
        }
        if self.uring.submission().is_empty() {
            self.until_handed_over.clear();
        }
        completions.extend(self.uring.completion().map(Completion::read));
        // Cancelling is answered at once, and not counted.
        let last = |it: &&Completion| it.is_last() && !matches!(it.request, Request::Cancel);
        self.under_way -= completions.iter().filter(last).count();
        Ok(())
    }

    /// Accepts.
    pub(super) fn accept(&mut self, listener: BorrowedFd<'_>, accepting: Accepting) {
        let listener = Fd(listener.as_raw_fd());
        let entry = match accepting {
            Accepting::All => opcode::AcceptMulti::new(listener).flags(SOCK_CLOEXEC).build(),
            Accepting::Next => {
                opcode::Accept::new(listener, ptr::null_mut(), ptr::null_mut()).flags(SOCK_CLOEXEC).build()
            }
        };
        // SAFETY: it points at nothing.
        unsafe { self.push(entry, Request::Accept, 0) }
    }

    /// Answers after so long, before accepting again.
    pub(super) fn pause(&mut self, time: Duration) {
        self.answer_after(time, Request::Pause, 0);
    }

    /// Answers a link after so long. The kernel says of such an answer that its time is over, ETIME.
    pub(super) fn sleep(&mut self, time: Duration, owner: usize) {
        self.answer_after(time, Request::Sleep, owner);
    }

    fn answer_after(&mut self, time: Duration, request: Request, owner: usize) {
        let time = Box::new(Timespec::new().sec(time.as_secs()).nsec(time.subsec_nanos()));
        let entry = opcode::Timeout::new(&raw const *time).build();
        self.until_handed_over.push(Parameter::Time(time));
        // SAFETY: the time is kept until the request was handed over, and the kernel has copied it by then
        // (IORING_FEAT_SUBMIT_STABLE, io_uring_setup(2)).
        unsafe { self.push(entry, request, owner) }
    }

    /// Connects.
    pub(super) fn connect(&mut self, socket: BorrowedFd<'_>, to: SocketAddr, owner: usize) {
        let to = Box::new(SockAddr::from(to));
        let entry = opcode::Connect::new(Fd(socket.as_raw_fd()), to.as_ptr().cast(), to.len()).build();
        self.until_handed_over.push(Parameter::Address(to));
        // SAFETY: the address is kept until the request was handed over, and the kernel has copied it by then
        // (IORING_FEAT_SUBMIT_STABLE, io_uring_setup(2)).
        unsafe { self.push(entry, Request::Connect, owner) }
    }

    /// Receives what comes first, up to the buffer's size.
    ///
    /// The kernel waits before it tries: a peer that was just answered has hardly ever sent its next message yet.
    ///
    /// # Safety
    /// The buffer stays where it is, and nobody else reads or writes it until the answer.
    pub(super) unsafe fn receive(&mut self, socket: BorrowedFd<'_>, buffer: &mut [u8], owner: usize) {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let entry = opcode::Recv::new(Fd(socket.as_raw_fd()), buffer.as_mut_ptr(), length);
        // SAFETY: the caller's promise.
        unsafe { self.push(entry.ioprio(POLL_FIRST).build(), Request::Receive, owner) }
    }

    /// Sends all of `bytes`, or as many as can be before an error.
    ///
    /// # Safety
    /// The bytes stay where and as they are until the answer.
    pub(super) unsafe fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8], owner: usize) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), length).flags(flags).build();
        // SAFETY: the caller's promise.
        unsafe { self.push(entry, Request::Send, owner) }
    }

    /// Closes.
    pub(super) fn close(&mut self, socket: OwnedFd, owner: usize) {
        let entry = opcode::Close::new(Fd(socket.into_raw_fd())).build();
        // SAFETY: it points at nothing.
        unsafe { self.push(entry, Request::Close, owner) }
    }

    /// Ends all that is under way, and waits until it has ended: the kernel may write into buffers until then.
    ///
    /// # Errors
    /// When the ring is broken, or does not end what it was told to.
    pub(super) fn end_all(&mut self) -> io::Result<()> {
        let mut completions = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while self.under_way > 0 {
            let entry = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
            // SAFETY: it points at nothing.
            unsafe { self.push(entry, Request::Cancel, 0) };
            // The answer to the cancelling ends this, so that the time is looked at. Whoever was accepted meanwhile is closed
            // with the answers.
            self.turn(&mut completions)?;
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Puts a request in the queue; a full queue is handed over first.
    ///
    /// # Safety
    /// What it points at is valid until its last answer, or until it was handed over where the kernel copies it.
    unsafe fn push(&mut self, entry: Entry, request: Request, owner: usize) {
        let entry = entry.user_data(request.tag(owner));
        if self.uring.submission().is_full() {
            self.make_room();
        }
        // SAFETY: the caller's promise.
        unsafe { self.uring.submission().push(&entry) }.expect("there is room");
        self.under_way += usize::from(request != Request::Cancel);
    }

    /// Hands the queue over until it has room. A kernel as of 5.19 takes requests whatever answers wait (IORING_FEAT_NODROP).
    fn make_room(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.uring.submission().is_full() {
            match self.uring.submit() {
                Err(error) if !passes(&error) || Instant::now() > deadline => {
                    panic!("the kernel takes no request: {error}")
                }
                _ => {}
            }
        }
    }
}

/// Whether an error of io_uring_enter(2) says no more than "not now": interrupted, out of memory or of room for answers.
fn passes(error: &io::Error) -> bool {
    [libc::EINTR, libc::EBUSY, libc::EAGAIN].map(Some).contains(&error.raw_os_error())
}

impl Drop for Ring {
    #[expect(clippy::print_stderr, reason = "nobody would hear why otherwise")]
    fn drop(&mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.end_all()));
        if !matches!(ended, Ok(Ok(()))) {
            // A ring that neither ends its requests nor tells of them would write into freed memory.
            eprintln!("a ring does not end what is under way: {ended:?}");
            std::process::abort();
        }
    }
}
