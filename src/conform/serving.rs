//! What a server does for clients that do nothing wrong.

use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context as _, ensure};

use super::{
    Subject,
    peers::RawClient,
    started::{FIXED, expect_sessions, sessions},
};
use crate::{
    load::LoadPlan,
    net::ListenAt,
    protocol::{Framing, Shape},
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
    expect_served(server.stop()?, Served { connections: 2, messages: 16, failures: 0, most_open: 1 })
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
    let served = server.stop()?;
    // How many were open at a time is for the scheduler to say, within bounds.
    ensure!((1..=50).contains(&served.most_open), "most_open: expected 1 to 50, got {}", served.most_open);
    let most_open = served.most_open;
    expect_served(served, Served { connections: 50, messages: 400, failures: 0, most_open })
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
    expect_served(server.stop()?, Served { connections: 1, messages: 4, failures: 0, most_open: 1 })
}

pub(super) fn stops_and_serves_again(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let mut open = server.connect()?;
    open.exchange(1)?;
    let (address, served) = (server.address()?, server.stop()?);
    // What breaks because the server itself closes is nobody's failure.
    expect_served(served, Served { connections: 1, messages: 1, failures: 0, most_open: 1 })?;
    open.expect_end().context("the server was stopped")?;
    let refused = TcpStream::connect_timeout(&address, subject.patience).is_err();
    ensure!(refused, "stopped, it still accepts at {address}");
    server.serve(FIXED, ListenAt::Loopback).context("once it was stopped")?;
    server.connect()?.exchange(1)
}

/// Checks what a server counted.
pub(super) fn expect_served(got: Served, expected: Served) -> anyhow::Result<()> {
    ensure!(got == expected, "expected {}, got {}", counts(expected), counts(got));
    Ok(())
}

fn counts(served: Served) -> String {
    let Served { connections, messages, failures, most_open } = served;
    format!("{connections} connections, {messages} messages, {failures} failures, {most_open} open at most")
}
