//! The smallest echo server on the system calls.
// dependency: nix = { version = "0.31", features = ["event"] }

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:31400")?;
    let own = listener.as_raw_fd() as u64;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, own))?;
    let mut events = [EpollEvent::empty(); 256];
    let mut streams = HashMap::new();
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            if event.data() == own {
                let (stream, _) = listener.accept()?;
                let key = stream.as_raw_fd() as u64;
                epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, key))?;
                streams.insert(key, stream);
            } else if streams.get_mut(&event.data()).is_some_and(|stream| !echo(stream)) {
                streams.remove(&event.data());
            }
        }
    }
}

/// Echoes one message; whether the connection goes on.
fn echo(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 128];
    buffer[..3].copy_from_slice(b"Re:");
    matches!(stream.read(&mut buffer[3..]), Ok(n @ 1..) if stream.write_all(&buffer[..3 + n]).is_ok())
}
