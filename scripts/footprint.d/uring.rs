//! The smallest echo server on io_uring.
// dependency: io-uring = "0.7"

use std::{
    collections::HashMap,
    net::TcpListener,
    os::fd::AsRawFd,
};

use io_uring::{IoUring, opcode, squeue::Entry, types::Fd};

const ACCEPT: u64 = u64::MAX;

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:31400")?;
    let mut ring: IoUring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(1024)?;
    push(&mut ring, opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build().user_data(ACCEPT));
    // A connection's buffer, and whether a reply is being sent from it.
    let mut open: HashMap<i32, (Box<[u8; 128]>, bool)> = HashMap::new();
    loop {
        ring.submit_and_wait(1)?;
        let done: Vec<(u64, i32)> = ring.completion().map(|it| (it.user_data(), it.result())).collect();
        for (tag, result) in done {
            let fd = if tag == ACCEPT { result } else { tag as i32 };
            let (buffer, sending) = open.entry(fd).or_insert_with(|| (Box::new([0; 128]), true));
            if result < 0 || !*sending && result == 0 {
                push(&mut ring, opcode::Close::new(Fd(fd)).build().user_data(fd as u64));
                continue;
            }
            let entry = if *sending {
                opcode::Recv::new(Fd(fd), buffer[3..].as_mut_ptr(), 125).build()
            } else {
                buffer[..3].copy_from_slice(b"Re:");
                opcode::Send::new(Fd(fd), buffer.as_ptr(), 3 + result as u32).build()
            };
            *sending = !*sending;
            push(&mut ring, entry.user_data(fd as u64));
        }
    }
}

fn push(ring: &mut IoUring, entry: Entry) {
    // SAFETY: buffers are boxed and never freed.
    unsafe { ring.submission().push(&entry).expect("fewer connections than requests") }
}
