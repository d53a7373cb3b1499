//! The parts of a ring whose order decides whether memory stays what it is, and whether an end is seen.

#![allow(unsafe_code)]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
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

/// Turns until there is the answer to a receive.
fn received(ring: &mut Ring) -> Completion {
    let mut completions = Vec::new();
    loop {
        ring.turn(&mut completions).unwrap();
        if let Some(it) = completions.iter().find(|it| it.request == Request::Receive) {
            return *it;
        }
    }
}

#[test]
fn what_comes_at_once_with_the_end_hides_no_end() {
    type Leave = fn(TcpStream);
    let ways: [Leave; 3] =
        [drop, |client| client.shutdown(Shutdown::Write).unwrap(), |client| reset(client).unwrap()];
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        for leave in ways {
            let Some((mut client, server)) = connected() else { return };
            client.write_all(b"1 - Send").unwrap();
            leave(client);
            let (mut ring, mut buffer) = (Ring::new(set_up).unwrap(), [0; 64]);
            // SAFETY: the buffer is declared beside its ring, and not looked at before the answer.
            unsafe { ring.receive(server.as_fd(), &mut buffer, 0) };
            assert_eq!(received(&mut ring).result().unwrap(), 8);
            assert_eq!(&buffer[..8], b"1 - Send");
            // SAFETY: as above.
            unsafe { ring.receive(server.as_fd(), &mut buffer, 0) };
            let end = received(&mut ring).result().map_err(|error| error.kind());
            assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
        }
    }
}

#[test]
fn a_ring_that_was_ended_receives_no_more() {
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        let Some((mut client, server)) = connected() else { return };
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (mut ring, mut buffer) = (Ring::new(set_up).unwrap(), [0; 4]);
        // SAFETY: the buffer is declared beside its ring, and looked at only after that has ended.
        unsafe { ring.receive(server.as_fd(), &mut buffer, 0) };
        // Handed over, and waited for.
        ring.wait(Duration::from_millis(1));
        let mut completions = Vec::new();
        ring.turn(&mut completions).unwrap();
        assert!(completions.iter().all(|it| it.request == Request::Wait), "{completions:?}");
        ring.end_all().unwrap();
        client.write_all(b"late").unwrap();
        // A receive that was under way still would be worked off here.
        ring.wait(Duration::from_millis(1));
        ring.turn(&mut completions).unwrap();
        assert!(completions.iter().all(|it| it.request == Request::Wait), "{completions:?}");
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
        // There are answers only once both are handed over, and then the accept's is left to the end.
        ring.accept(listener.as_fd(), Accepting::All);
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        ring.end_all().unwrap();
        // Whoever waits in the backlog is reset with its listener, whoever was accepted finds the end.
        drop(listener);
        let mut byte = [0];
        let outcome = client.read(&mut byte).map_err(|error| error.kind());
        assert!(matches!(outcome, Ok(0) | Err(ErrorKind::ConnectionReset)), "{outcome:?}");
    }
}
