//! Buffers that are lent to the kernel, for runtimes on io_uring that want to own them meanwhile.

/// Takes the buffer, empty and with at least so much room; it grows once or twice in its life.
pub(super) fn with_room(owned: &mut Vec<u8>, room: usize) -> Vec<u8> {
    let mut buffer = std::mem::take(owned);
    buffer.clear();
    buffer.reserve_exact(room);
    buffer
}
