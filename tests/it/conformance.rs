//! What every backend must stand, as server and as client, with a healthy session beside each fault.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use ioduel::{
    backend::{ALL, Backend},
    protocol::{Framing, ProtocolError, Shape},
};

use crate::peers::{
    FIXED, RawClient, Server, answer_all, drive, raw_server, read_message, reply_to, reset, wait_until,
};

/// Longer than anything that a kernel or a runtime would coalesce.
const PAUSE: Duration = Duration::from_millis(2);

fn for_every_backend(check: impl Fn(&'static dyn Backend)) {
    for backend in ALL {
        eprintln!("{}", backend.about().name);
        check(*backend);
    }
}

#[test]
fn every_client_completes_against_every_server() {
    for_every_backend(|server| {
        let started = Server::start(server, FIXED);
        for_every_backend(|client| {
            let run = drive(client, &started.destinations, 16, 100, Shape::default()).unwrap();
            let sum = (run.sessions, run.messages, run.failures, run.first_failure);
            assert_eq!(sum, (100, 800, 0, None));
        });
        let served = started.stop();
        let clients = ALL.len() as u64;
        assert_eq!((served.connections, served.messages), (100 * clients, 800 * clients));
        assert_eq!(served.failures, 0);
    });
}

#[test]
fn every_client_completes_against_every_server_in_chunk_framing() {
    for_every_backend(|server| {
        let started = Server::start(server, Framing::Chunk);
        for_every_backend(|client| {
            let run = drive(client, &started.destinations, 4, 20, Shape::default()).unwrap();
            assert_eq!((run.sessions, run.failures), (20, 0));
        });
        started.stop();
    });
}

#[test]
fn every_client_exchanges_big_messages_with_every_server() {
    let shape = Shape::new(4, 65_536).unwrap();
    for_every_backend(|server| {
        let started = Server::start(server, Framing::Fixed { message_bytes: 65_536 });
        for_every_backend(|client| {
            let run = drive(client, &started.destinations, 4, 8, shape).unwrap();
            assert_eq!((run.sessions, run.messages, run.failures), (8, 32, 0));
        });
        started.stop();
    });
}

/// Runs a healthy session around a fault, and one after it, against each server; then looks at what was counted.
fn a_fault_costs_only_its_own_connection(framing: Framing, failures: u64, fault: impl Fn(SocketAddr)) {
    for_every_backend(|backend| {
        let server = Server::start(backend, framing);
        let mut healthy = RawClient::connect(server.address());
        healthy.exchange(1);
        fault(server.address());
        (2..=8).for_each(|n| healthy.exchange(n));
        healthy.0.shutdown(Shutdown::Write).unwrap();
        healthy.expect_end();
        let mut after = RawClient::connect(server.address());
        after.exchange(1);
        drop(after);
        wait_until("the fault is counted", || server.served().failures == failures);
        assert_eq!(server.stop().failures, failures, "{}", backend.about().name);
    });
}

#[test]
fn a_server_takes_a_message_a_byte_at_a_time() {
    a_fault_costs_only_its_own_connection(FIXED, 0, |address| {
        let mut client = RawClient::connect(address);
        for message in ["1 - Send Message", "2 - Send Message"] {
            for byte in message.as_bytes() {
                client.send(&[*byte]);
                thread::sleep(PAUSE);
            }
            client.expect(&format!("Re:{message}"));
        }
    });
}

#[test]
fn a_server_takes_two_messages_and_a_half_in_one_segment() {
    a_fault_costs_only_its_own_connection(FIXED, 0, |address| {
        let mut client = RawClient::connect(address);
        client.send(b"1 - Send Message2 - Send Message3 - Send");
        client.expect("Re:1 - Send MessageRe:2 - Send Message");
        client.send(b" Message");
        client.expect("Re:3 - Send Message");
    });
}

#[test]
fn a_server_takes_a_burst_of_a_thousand_messages() {
    a_fault_costs_only_its_own_connection(FIXED, 0, |address| {
        let mut client = RawClient::connect(address);
        let mut writer = client.0.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&b"0123456789abcdef".repeat(1000)).unwrap());
            (0..1000).for_each(|_| client.expect("Re:0123456789abcdef"));
        });
    });
}

#[test]
fn a_chunk_server_answers_whatever_a_read_returns() {
    a_fault_costs_only_its_own_connection(Framing::Chunk, 0, |address| {
        let mut client = RawClient::connect(address);
        client.send(b"hello");
        client.expect("Re:hello");
        client.send(&[b'x'; 125]);
        client.expect(&format!("Re:{}", "x".repeat(125)));
        client.send(&[b'y'; 126]);
        client.expect(&format!("Re:{}Re:y", "y".repeat(125)));
    });
}

#[test]
fn a_client_that_closes_inside_a_message_costs_only_its_own_connection() {
    a_fault_costs_only_its_own_connection(FIXED, 1, |address| {
        let mut client = RawClient::connect(address);
        client.exchange(1);
        client.send(b"2 - Send");
        client.0.shutdown(Shutdown::Write).unwrap();
        client.expect_end();
    });
}

#[test]
fn a_reset_costs_only_its_own_connection() {
    a_fault_costs_only_its_own_connection(FIXED, 1, |address| {
        let mut client = RawClient::connect(address);
        client.exchange(1);
        client.send(b"2 - Send");
        client.reset();
    });
}

/// Sends messages of 64 KiB until the server, whose replies nobody takes, takes no more; returns how many bytes went.
fn fill_both_ways(client: &RawClient) -> usize {
    client.0.set_nonblocking(true).unwrap();
    let piece = vec![b'z'; BIG];
    let (mut sent, mut stuck) = (0, 0);
    while stuck < 20 {
        match (&client.0).write(&piece[sent % BIG..]) {
            Ok(n) => (sent, stuck) = (sent + n, 0),
            Err(_) => {
                stuck += 1;
                thread::sleep(PAUSE * 5);
            }
        }
    }
    client.0.set_nonblocking(false).unwrap();
    sent
}

const BIG: usize = 65_536;

#[test]
fn a_server_that_stalls_in_the_middle_of_a_reply_goes_on_when_it_is_taken() {
    for_every_backend(|backend| {
        let server = Server::start(backend, Framing::Fixed { message_bytes: BIG });
        let mut client = RawClient::connect(server.address());
        let sent = fill_both_ways(&client);
        assert!(sent > 4 * BIG, "both socket buffers are full: {sent}");
        let mut writer = client.0.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&vec![b'z'; BIG - sent % BIG]).unwrap());
            let reply = format!("Re:{}", "z".repeat(BIG));
            (0..=sent / BIG).for_each(|_| client.expect(&reply));
        });
        drop(client);
        wait_until("the session ends", || server.served().messages > (sent / BIG) as u64);
        assert_eq!(server.stop().failures, 0);
    });
}

#[test]
fn a_reset_in_the_middle_of_a_reply_costs_only_its_own_connection() {
    for_every_backend(|backend| {
        let server = Server::start(backend, Framing::Fixed { message_bytes: BIG });
        let mut healthy = RawClient::connect(server.address());
        let stalled = RawClient::connect(server.address());
        fill_both_ways(&stalled);
        healthy.send(&vec![b'h'; BIG]);
        healthy.expect(&format!("Re:{}", "h".repeat(BIG)));
        stalled.reset();
        wait_until("the reset is counted", || server.served().failures == 1);
        healthy.send(&vec![b'h'; BIG]);
        healthy.expect(&format!("Re:{}", "h".repeat(BIG)));
        drop(healthy);
        server.stop();
    });
}

#[test]
fn a_flood_on_one_connection_holds_up_no_other() {
    for_every_backend(|backend| {
        let server = Server::start(backend, FIXED);
        let flood = RawClient::connect(server.address());
        let (mut writer, mut reader) = (flood.0.try_clone().unwrap(), flood.0.try_clone().unwrap());
        let mut healthy = RawClient::connect(server.address());
        let flooding = AtomicBool::new(true);
        thread::scope(|scope| {
            let flooding = &flooding;
            scope.spawn(
                move || while flooding.load(Relaxed) && writer.write_all(&[b'f'; 16 * 4096]).is_ok() {},
            );
            scope.spawn(move || while reader.read(&mut [0; 65_536]).is_ok_and(|n| n > 0) {});
            (0..200).for_each(|_| healthy.exchange(1));
            flooding.store(false, Relaxed);
            flood.0.shutdown(Shutdown::Write).unwrap();
        });
        server.stop();
    });
}

#[test]
fn a_client_may_close_its_sending_side_and_gets_every_reply() {
    a_fault_costs_only_its_own_connection(FIXED, 0, |address| {
        let mut client = RawClient::connect(address);
        client.send(b"1 - Send Message2 - Send Message");
        client.0.shutdown(Shutdown::Write).unwrap();
        client.expect("Re:1 - Send MessageRe:2 - Send Message");
        client.expect_end();
    });
}

#[test]
fn connections_that_never_say_anything_hold_up_nobody_not_even_the_end() {
    for_every_backend(|backend| {
        let server = Server::start(backend, FIXED);
        let mut silent: Vec<_> = (0..20).map(|_| RawClient::connect(server.address())).collect();
        let mut healthy = RawClient::connect(server.address());
        (1..=8).for_each(|n| healthy.exchange(n));
        assert_eq!(server.stop().failures, 0, "closing by itself, a server has nothing to blame");
        silent.iter_mut().for_each(RawClient::expect_end);
    });
}

/// Drives two connections' worth of sessions against a raw server that treats its second connection badly.
fn beside_a_fault(
    sessions: u64,
    fault: fn(std::net::TcpStream),
    check: impl Fn(&str, Result<ioduel::load::LoadRun, ProtocolError>),
) {
    for_every_backend(|client| {
        let (address, thread) = raw_server(usize::try_from(sessions).unwrap(), move |index, mut stream| {
            if index == 1 { fault(stream) } else { answer_all(&mut stream) }
        });
        check(client.about().name, drive(client, &[address], 2, sessions, Shape::default()));
        thread.join().unwrap();
    });
}

#[test]
fn a_client_takes_a_reply_a_byte_at_a_time() {
    let slowly = |mut stream: std::net::TcpStream| {
        while let Some(message) = read_message(&mut stream) {
            for byte in reply_to(&message) {
                stream.write_all(&[byte]).unwrap();
                thread::sleep(PAUSE);
            }
        }
    };
    beside_a_fault(4, slowly, |name, outcome| {
        let run = outcome.unwrap();
        assert_eq!((run.sessions, run.failures), (4, 0), "{name}");
    });
}

#[test]
fn a_client_takes_a_last_reply_that_comes_together_with_the_end() {
    let closing = |mut stream: std::net::TcpStream| {
        for _ in 1..8 {
            let message = read_message(&mut stream).unwrap();
            stream.write_all(&reply_to(&message)).unwrap();
        }
        let last = read_message(&mut stream).unwrap();
        stream.write_all(&reply_to(&last)).unwrap();
    };
    beside_a_fault(4, closing, |name, outcome| {
        let run = outcome.unwrap();
        assert_eq!((run.sessions, run.failures), (4, 0), "{name}");
    });
}

#[test]
fn a_server_that_closes_early_costs_only_that_session() {
    let early = |mut stream: std::net::TcpStream| {
        let message = read_message(&mut stream).unwrap();
        stream.write_all(&reply_to(&message)).unwrap();
        read_message(&mut stream).unwrap();
        stream.write_all(b"Re:2").unwrap();
    };
    beside_a_fault(6, early, |name, outcome| {
        let run = outcome.unwrap();
        assert_eq!(run.failures, 1, "{name}");
        assert_eq!(run.sessions, 5, "{name}");
        let why = run.first_failure.unwrap();
        assert!(why.ends_with("message 2: the server closed at offset 4 of the reply"), "{name}: {why}");
    });
}

#[test]
fn a_server_that_resets_costs_only_that_session() {
    let resetting = |mut stream: std::net::TcpStream| {
        let message = read_message(&mut stream).unwrap();
        stream.write_all(&reply_to(&message)).unwrap();
        read_message(&mut stream).unwrap();
        reset(stream);
    };
    beside_a_fault(6, resetting, |name, outcome| {
        let run = outcome.unwrap();
        assert_eq!((run.sessions, run.failures), (5, 1), "{name}");
        assert!(run.first_failure.unwrap().contains("reset"), "{name}");
    });
}

#[test]
fn one_wrong_byte_fails_the_run_and_is_told_exactly() {
    for_every_backend(|client| {
        let (address, thread) = raw_server(2, |index, mut stream| {
            for n in 1.. {
                let Some(message) = read_message(&mut stream) else { return };
                let mut reply = reply_to(&message);
                if index == 1 && n == 3 {
                    reply[17] ^= 0x20;
                }
                if stream.write_all(&reply).is_err() {
                    return;
                }
            }
        });
        let wrong = drive(client, &[address], 1, 2, Shape::default()).unwrap_err();
        let (expected, received) = (b'g', b'G');
        assert_eq!(
            wrong,
            ProtocolError::WrongByte { session: 2, message: 3, offset: 17, expected, received }
        );
        thread.join().unwrap();
    });
}

#[test]
fn nobody_listening_is_an_error_and_no_hang() {
    for_every_backend(|client| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let run = drive(client, &[free], 4, 100, Shape::default()).unwrap();
        assert_eq!(run.sessions, 0);
        assert!(run.first_failure.unwrap().contains("refused"), "{}", client.about().name);
    });
}
