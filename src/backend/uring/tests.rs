//! The parts of a ring whose order decides whether memory stays what it is.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    time::Duration,
};

use super::ring::{Accepting, Completion, Request, Ring, SetUp};

/// Both ends of a connection, or nothing where io_uring can't be had.
fn connected() -> Option<(TcpStream, TcpStream)> {
    super::available().ok()?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    Some((client, server))
}

/// Turns until there is an answer to a receive; what comes beside it is kept for the next.
fn received(ring: &mut Ring, unread: &mut Vec<Completion>) -> Completion {
    let mut completions = Vec::new();
    loop {
        if let Some(at) = unread.iter().position(|it| it.request == Request::Receive) {
            return unread.remove(at);
        }
        ring.turn(&mut completions).unwrap();
        unread.append(&mut completions);
    }
}

#[test]
fn every_buffer_is_lent_again_however_often() {
    // More often than the list's tail can count.
    const TURNS: u32 = u16::MAX as u32 + 100;
    let Some((mut client, server)) = connected() else { return };
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        // Two buffers, for a message is larger than all of them may be together.
        let (mut ring, mut unread) = (Ring::new(set_up, 8 << 20).unwrap(), Vec::new());
        ring.receive(server.as_fd(), 7);
        for turn in 0..TURNS {
            client.write_all(&turn.to_ne_bytes()).unwrap();
            let it = received(&mut ring, &mut unread);
            let buffer = it.buffer().unwrap();
            assert_eq!((it.owner, it.is_last()), (7, false));
            assert_eq!(ring.inbox.bytes(buffer, it.result().unwrap() as usize), turn.to_ne_bytes());
            ring.inbox.give_back(buffer);
        }
    }
}

#[test]
fn without_a_buffer_a_receive_ends_and_is_had_again() {
    let Some((mut client, server)) = connected() else { return };
    let (mut ring, mut unread) = (Ring::new(SetUp::Tuned, 8 << 20).unwrap(), Vec::new());
    ring.receive(server.as_fd(), 0);
    let mut kept = Vec::new();
    for _ in 0..2 {
        client.write_all(b"x").unwrap();
        kept.extend(received(&mut ring, &mut unread).buffer());
    }
    client.write_all(b"y").unwrap();
    let it = received(&mut ring, &mut unread);
    assert_eq!(it.result().unwrap_err().raw_os_error(), Some(nix::libc::ENOBUFS));
    assert!(it.is_last());
    kept.into_iter().for_each(|buffer| ring.inbox.give_back(buffer));
    ring.receive(server.as_fd(), 0);
    let it = received(&mut ring, &mut unread);
    assert_eq!(ring.inbox.bytes(it.buffer().unwrap(), it.result().unwrap() as usize), b"y");
}

#[test]
fn a_ring_that_was_ended_receives_no_more() {
    let Some((mut client, server)) = connected() else { return };
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        let (mut ring, mut unread) = (Ring::new(set_up, 16).unwrap(), Vec::new());
        ring.receive(server.as_fd(), 0);
        ring.wait(Duration::from_secs(3600));
        client.write_all(b"soon").unwrap();
        let it = received(&mut ring, &mut unread);
        assert!(!it.is_last(), "it is under way");
        ring.inbox.give_back(it.buffer().unwrap());
        ring.end_all().unwrap();
        client.write_all(b"late").unwrap();
        // A receive that was under way still would be worked off here.
        ring.wait(Duration::from_millis(1));
        ring.turn(&mut unread).unwrap();
        assert!(unread.iter().all(|it| it.request == Request::Wait), "{unread:?}");
        let mut late = [0; 4];
        (&server).read_exact(&mut late).unwrap();
        assert_eq!(&late, b"late", "nobody took it: it lay in the socket");
    }
}

#[test]
fn who_is_accepted_while_a_ring_ends_is_closed() {
    if super::available().is_err() {
        return;
    }
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ring = Ring::new(set_up, 16).unwrap();
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
