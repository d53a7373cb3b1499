//! The smallest echo server on mio.
// dependency: mio = { version = "1", features = ["net", "os-poll"] }

use std::{
    collections::HashMap,
    io::{Read, Write},
    os::fd::AsRawFd,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

const LISTENER: Token = Token(usize::MAX);

fn main() -> std::io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 31400).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut streams = HashMap::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let token = Token(stream.as_raw_fd() as usize);
                    poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    streams.insert(token, stream);
                }
            } else if streams.get_mut(&event.token()).is_some_and(|stream| !echo(stream)) {
                streams.remove(&event.token());
            }
        }
    }
}

/// Echoes what is there; whether the connection goes on.
fn echo(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 128];
    loop {
        match stream.read(&mut buffer[3..]) {
            Ok(0) => return false,
            Ok(n) => {
                buffer[..3].copy_from_slice(b"Re:");
                if stream.write_all(&buffer[..3 + n]).is_err() {
                    return false;
                }
            }
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
