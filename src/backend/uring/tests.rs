//! The parts of a ring whose order decides whether memory stays what it is, and whether an end is seen.

#![allow(unsafe_code)]

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    time::Duration,
};

use super::ring::{Accepting, Completion, Request, Ring, SetUp};
use crate::conform::peers::reset;

/// Both ends of a connection, or nothing where io_uring can't be had.
fn connected() -> Option<(TcpStream, TcpStream)> {
    super::available().ok()?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    Some((client, server))
}

/// Receives; `None` if nothing comes for long.
fn received(ring: &mut Ring, server: &TcpStream, buffer: &mut [u8]) -> Option<io::Result<u32>> {
    // SAFETY: every caller declares its buffer before its ring, so that it is there until the ring has ended.
    unsafe { ring.receive(server.as_fd(), buffer, 0) };
    ring.pause(Duration::from_secs(10));
    let mut completions = Vec::new();
    while completions.is_empty() {
        ring.turn(&mut completions).unwrap();
    }
    let answer = completions.iter().find(|it| it.request == Request::Receive);
    answer.map(Completion::result)
}

#[test]
fn what_comes_at_once_with_the_end_hides_no_end() {
    type Leave = fn(TcpStream);
    let closed: Result<u32, ErrorKind> = Ok(0);
    let ways: [(Leave, _); 2] =
        [(drop, closed), (|client| reset(client).unwrap(), Err(ErrorKind::ConnectionReset))];
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        for (leave, end) in ways {
            let Some((mut client, server)) = connected() else { return };
            client.write_all(b"1 - Send").unwrap();
            leave(client);
            let mut buffer = [0; 64];
            let mut ring = Ring::new(set_up).unwrap();
            assert_eq!(received(&mut ring, &server, &mut buffer).unwrap().unwrap(), 8);
            assert_eq!(&buffer[..8], b"1 - Send");
            let then = received(&mut ring, &server, &mut buffer).expect("an end");
            assert_eq!(then.map_err(|error| error.kind()), end);
        }
    }
}

#[test]
fn a_ring_that_was_ended_receives_no_more() {
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        let Some((mut client, server)) = connected() else { return };
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 4];
        let mut ring = Ring::new(set_up).unwrap();
        // SAFETY: the buffer is declared before its ring, and looked at only after that has ended.
        unsafe { ring.receive(server.as_fd(), &mut buffer, 0) };
        // Handed over, and waited for.
        ring.pause(Duration::from_millis(1));
        let mut completions = Vec::new();
        ring.turn(&mut completions).unwrap();
        assert!(completions.iter().all(|it| it.request == Request::Pause), "{completions:?}");
        ring.end_all().unwrap();
        client.write_all(b"late").unwrap();
        // A receive that was under way still would be worked off here.
        ring.pause(Duration::from_millis(1));
        ring.turn(&mut completions).unwrap();
        assert!(completions.iter().all(|it| it.request == Request::Pause), "{completions:?}");
        assert_eq!(buffer, [0; 4]);
        (&server).read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"late", "nobody took it: it lay in the socket");
    }
}

#[test]
fn who_is_accepted_while_a_ring_ends_is_closed() {
    if super::available().is_err() {
        return;
    }
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ring = Ring::new(set_up).unwrap();
        // Handed over together with the cancelling, so that its answer is seen by what ends the ring.
        ring.accept(listener.as_fd(), Accepting::All);
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        ring.end_all().unwrap();
        // Whoever had not been accepted would be reset with the listener.
        drop(listener);
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
}
