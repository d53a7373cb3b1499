//! What a server does for clients that do nothing wrong.

use std::{
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{
    Subject,
    peers::RawClient,
    started::{FIXED, expect_sessions, sessions},
};
use crate::{
    load::LoadPlan,
    net::ListenAt,
    protocol::{DEFAULT_MESSAGE_BYTES, Framing, REPLY_PREFIX, Shape, text},
    service::Served,
};

pub(super) fn answers_a_session(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let to = server.destinations.clone();
    ensure!(to.iter().all(|to| to.ip().is_loopback()), "asked to listen on loopback, it names {to:?}");
    // The first and the last of all destinations.
    for to in to.first().into_iter().chain(to.last()) {
        let mut client = RawClient::connect(*to, subject.patience)?;
        (1..=8).try_for_each(|n| client.exchange(n))?;
        client.half_close()?;
        client.expect_end().context("after the session")?;
    }
    server.wait_for("messages", |served| served.messages, 16)?;
    server.stop_and_expect(|_| Served { connections: 2, messages: 16, failures: 0, most_open: 1 })
}

/// For how long a server must keep silent about a message that is not whole.
const SILENT: Duration = Duration::from_millis(30);

/// Messages that nobody can have guessed, each cut where nobody knows: a reply that is there before the rest of its message was
/// sent was made up.
pub(super) fn answers_what_was_drawn(subject: &Subject) -> anyhow::Result<()> {
    let server = subject.serve(FIXED)?;
    let mut client = server.connect()?;
    let drawn = || 1 + usize::from(rand::random::<u8>()) % (DEFAULT_MESSAGE_BYTES - 1);
    for cut in [drawn(), drawn(), drawn(), DEFAULT_MESSAGE_BYTES - 1] {
        let message: [u8; DEFAULT_MESSAGE_BYTES] = rand::random();
        client.send(&message[..cut])?;
        client
            .expect_silence(SILENT + subject.link.round_trip())
            .with_context(|| format!("after {cut} bytes of a message of 16"))?;
        client.send(&message[cut..])?;
        client.expect([REPLY_PREFIX, &message].concat())?;
    }
    Ok(())
}

pub(super) fn answers_several(subject: &Subject) -> anyhow::Result<()> {
    let server = subject.serve(FIXED)?;
    let mut open = (0..3).map(|_| server.connect()).collect::<anyhow::Result<Vec<_>>>()?;
    for client in open.iter_mut().rev() {
        client
            .exchange(1)
            .context("on the last of three connections, while the others are open and silent")?;
    }
    Ok(())
}

/// A reply that is written in two calls is two segments, and twice the system calls.
pub(super) fn sends_replies_whole(subject: &Subject) -> anyhow::Result<()> {
    let server = subject.serve(FIXED)?;
    let mut client = server.connect()?;
    let parts = (0..40).map(|n| client.exchange_in_parts(n % 10)).collect::<anyhow::Result<Vec<_>>>()?;
    // On a busy machine the parts of most may have come before they are looked for; what is written whole never comes in parts.
    let in_parts: Vec<_> = parts.iter().filter(|parts| parts.len() > 1).collect();
    ensure!(
        in_parts.len() < 2,
        "its replies come in parts of {:?} bytes; write each by one call",
        in_parts[0]
    );
    Ok(())
}

/// What a reply takes at least that waits for an acknowledgement (`TCP_DELACK_MIN` is 40 ms).
const NAGLE: Duration = Duration::from_millis(25);

/// Without TCP_NODELAY the second of two replies waits until the first is acknowledged, which takes 40 ms (RFC 896, RFC 1122).
pub(super) fn sends_replies_at_once(subject: &Subject) -> anyhow::Result<()> {
    let server = subject.serve(FIXED)?;
    let mut client = server.connect()?;
    // The first segments of a connection are acknowledged at once.
    (1..=40).try_for_each(|n| client.exchange(n % 10))?;
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        client.send([text(1), text(2)].concat())?;
        client.expect(format!("Re:{}Re:{}", text(1), text(2)))?;
        fastest = fastest.min(begun.elapsed());
    }
    ensure!(
        fastest < NAGLE + subject.link.round_trip(),
        "the second of two replies takes {} ms every time: it does not set TCP_NODELAY",
        fastest.as_millis()
    );
    Ok(())
}

pub(super) fn listens_where_told(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.start()?;
    server.serve(FIXED, ListenAt::Address((Ipv4Addr::LOCALHOST, 0).into()))?;
    let [only] = server.destinations[..] else {
        anyhow::bail!("asked to listen on 127.0.0.1, it names {:?}", server.destinations)
    };
    ensure!(only.ip() == Ipv4Addr::LOCALHOST, "asked to listen on 127.0.0.1, it names {only}");
    server.connect()?.exchange(1)
}

pub(super) fn counts_what_happened(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let run = subject.reference()?.drive(sessions(&server.destinations, 5, 50))?;
    expect_sessions(&run, 50, 0)?;
    server.wait_for("messages", |served| served.messages, 400)?;
    // How many were open at a time is for the scheduler to say, within bounds.
    let within = |served: &Served| served.most_open.clamp(1, 50);
    server.stop_and_expect(|served| Served {
        connections: 50,
        messages: 400,
        failures: 0,
        most_open: within(served),
    })
}

pub(super) fn answers_big_messages(subject: &Subject) -> anyhow::Result<()> {
    let shape = Shape::new(4, 65_536)?;
    let mut server = subject.serve(shape.framing())?;
    let plan = LoadPlan { shape, ..sessions(&server.destinations, 4, 8) };
    expect_sessions(&subject.reference()?.drive(plan)?, 8, 0)?;
    server.wait_for("messages", |served| served.messages, 32)
}

pub(super) fn answers_chunks(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(Framing::Chunk)?;
    let mut client = server.connect()?;
    client.send("hello")?;
    client.expect("Re:hello")?;
    client.send([b'x'; 125])?;
    client.expect(format!("Re:{}", "x".repeat(125)))?;
    client.send([b'y'; 126])?;
    client.expect(format!("Re:{}Re:y", "y".repeat(125)))?;
    drop(client);
    server.wait_for("messages", |served| served.messages, 4)?;
    server.stop_and_expect(|_| Served { connections: 1, messages: 4, failures: 0, most_open: 1 })
}

pub(super) fn stops_and_serves_again(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let mut open = server.connect()?;
    open.exchange(1)?;
    let address = server.address()?;
    // What breaks because the server itself closes is nobody's failure.
    server.stop_and_expect(|_| Served { connections: 1, messages: 1, failures: 0, most_open: 1 })?;
    open.expect_end().context("the server was stopped")?;
    let refused = TcpStream::connect_timeout(&address, subject.patience).is_err();
    ensure!(refused, "stopped, it still accepts at {address}");
    server.serve(FIXED, ListenAt::Loopback).context("once it was stopped")?;
    server.connect()?.exchange(1)
}
