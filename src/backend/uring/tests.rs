//! The parts of a ring whose order decides whether memory stays what it is.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
};

use super::ring::{Completion, Request, Ring, SetUp};

/// Both ends of a connection, or nothing where io_uring can't be had.
fn connected() -> Option<(TcpStream, TcpStream)> {
    super::available().ok()?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    Some((client, server))
}

/// Turns until there is an answer to a receive.
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
fn every_buffer_is_lent_again_however_often() {
    let Some((mut client, server)) = connected() else { return };
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        // Two buffers, for a message is larger than all of them may be together.
        let mut ring = Ring::new(set_up, 8 << 20).unwrap();
        ring.receive(server.as_fd(), 7);
        for turn in 0..100_u8 {
            client.write_all(&[turn; 3]).unwrap();
            let it = received(&mut ring);
            let buffer = it.buffer().unwrap();
            assert_eq!((it.owner, it.is_last()), (7, false));
            assert_eq!(ring.inbox.bytes(buffer, it.result().unwrap() as usize), [turn; 3]);
            ring.inbox.give_back(buffer);
        }
    }
}

#[test]
fn without_a_buffer_a_receive_ends_and_is_had_again() {
    let Some((mut client, server)) = connected() else { return };
    let mut ring = Ring::new(SetUp::Tuned, 8 << 20).unwrap();
    ring.receive(server.as_fd(), 0);
    let mut kept = Vec::new();
    for _ in 0..2 {
        client.write_all(b"x").unwrap();
        kept.extend(received(&mut ring).buffer());
    }
    client.write_all(b"y").unwrap();
    let it = received(&mut ring);
    assert_eq!(it.result().unwrap_err().raw_os_error(), Some(nix::libc::ENOBUFS));
    assert!(it.is_last());
    kept.into_iter().for_each(|buffer| ring.inbox.give_back(buffer));
    ring.receive(server.as_fd(), 0);
    let it = received(&mut ring);
    assert_eq!(ring.inbox.bytes(it.buffer().unwrap(), it.result().unwrap() as usize), b"y");
}

#[test]
fn a_ring_that_is_dropped_leaves_nothing_that_writes() {
    let Some((mut client, server)) = connected() else { return };
    for set_up in [SetUp::Tuned, SetUp::Plain] {
        let mut ring = Ring::new(set_up, 16).unwrap();
        ring.receive(server.as_fd(), 0);
        ring.wait(std::time::Duration::from_secs(3600));
        drop(ring);
        client.write_all(b"late").unwrap();
        // Nobody took it: it lies in the socket.
        let mut late = [0; 4];
        std::io::Read::read_exact(&mut &server, &mut late).unwrap();
        assert_eq!(&late, b"late");
    }
}
