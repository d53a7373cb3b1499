//! The smallest echo server on io_uring.
// dependency: io-uring = "0.7"

use std::{
    collections::HashMap,
    net::TcpListener,
    os::fd::AsRawFd,
};

use io_uring::{IoUring, opcode, squeue::Entry, types::Fd};

const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const CLOSE: u64 = 3;

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:31400")?;
    let mut ring: IoUring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(1024)?;
    push(&mut ring, opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build(), ACCEPT, 0);
    // Each connection's buffer, of which one request makes use at a time.
    let mut open: HashMap<i32, Box<[u8; 128]>> = HashMap::new();
    loop {
        ring.submit_and_wait(1)?;
        let done: Vec<(u64, i32)> = ring.completion().map(|it| (it.user_data(), it.result())).collect();
        for (tag, result) in done {
            let (kind, fd) = (tag >> 32, if tag >> 32 == ACCEPT { result } else { tag as u32 as i32 });
            if kind == CLOSE || fd < 0 {
                continue;
            }
            let buffer = open.entry(fd).or_insert_with(|| Box::new([0; 128]));
            match kind {
                RECEIVE if result > 0 => {
                    buffer[..3].copy_from_slice(b"Re:");
                    push(&mut ring, opcode::Send::new(Fd(fd), buffer.as_ptr(), 3 + result as u32).build(), SEND, fd);
                }
                RECEIVE | SEND if result <= 0 => push(&mut ring, opcode::Close::new(Fd(fd)).build(), CLOSE, fd),
                _ => push(&mut ring, opcode::Recv::new(Fd(fd), buffer[3..].as_mut_ptr(), 125).build(), RECEIVE, fd),
            }
        }
    }
}

fn push(ring: &mut IoUring, entry: Entry, kind: u64, fd: i32) {
    let entry = entry.user_data(kind << 32 | fd as u64);
    // SAFETY: buffers are boxed and never freed.
    unsafe { ring.submission().push(&entry).expect("fewer connections than requests") }
}
