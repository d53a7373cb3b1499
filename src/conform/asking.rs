//! How an agent is spoken to, and how it ends.

use std::{io::Read as _, net::TcpStream, time::Duration};

use anyhow::{Context as _, bail, ensure};

use super::{
    Subject,
    peers::{next_message, raw_server},
    started::{FIXED, Started, sessions},
};
use crate::{
    agent::{Answer, Cost, Refusal, Request},
    net::ListenAt,
    protocol::DEFAULT_MESSAGE_BYTES,
};

/// How long an agent has to exit, whatever it is doing.
const UNTIL_EXIT: Duration = Duration::from_secs(5);

/// What no agent knows, or can do.
const NONSENSE: [&str; 4] = [
    r#"{"request":"dance"}"#,
    r#"{"request":"drive","backend":"epoll"}"#,
    r#"{"request":"stop"}"#,
    "good evening",
];

pub(super) fn answers_with_one_line(subject: &Subject) -> anyhow::Result<()> {
    let mut started = subject.start()?;
    for _ in 0..3 {
        let reply = started.ask(&Request::Cost)?;
        ensure!(
            reply.answer == Answer::Cost,
            "asked to tell its CPU time and memory, it answered {:?}",
            reply.answer
        );
        let Cost { user_s, system_s, .. } = reply.cost;
        let possible = (0.0..60.0).contains(&user_s) && (0.0..60.0).contains(&system_s);
        ensure!(possible, "expected CPU times of an idle process, got user_s {user_s}, system_s {system_s}");
    }
    exits(subject, &mut started)
}

pub(super) fn refuses_and_goes_on(subject: &Subject) -> anyhow::Result<()> {
    let mut started = subject.start()?;
    for line in NONSENSE {
        started.agent.send_line(line, format!("do this: {line}"))?;
        match started.agent.receive(subject.patience) {
            Err(error) if error.is::<Refusal>() => {}
            Err(error) => return Err(error),
            Ok(reply) => bail!(r#"sent {line}: expected {{"failed":…}}, got {:?}"#, reply.answer),
        }
    }
    started.ask(&Request::Cost).context("after what it refused")?;
    Ok(())
}

pub(super) fn exits_when_idle(subject: &Subject) -> anyhow::Result<()> {
    exits(subject, &mut subject.start()?)
}

pub(super) fn exits_while_it_serves(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let mut client = server.connect()?;
    client.exchange(1)?;
    exits(subject, &mut server)?;
    // The kernel closes for a process that is gone, by a reset where something was left to read.
    ensure!(client.stream.read(&mut [0]).map_or(true, |n| n == 0), "its connections outlive it");
    Ok(())
}

pub(super) fn exits_while_it_drives(subject: &Subject) -> anyhow::Result<()> {
    let mut driving = subject.start()?;
    let (told, asked) = std::sync::mpsc::channel();
    let silent = raw_server(1, subject.patience, move |_, mut stream: TcpStream| {
        next_message(&mut stream)?;
        told.send(())?;
        // Until it is gone, by whatever end.
        let _ = stream.read(&mut [0]);
        Ok(())
    })?;
    driving.begin_to_drive(sessions(&[silent.address], 1, 1))?;
    asked.recv_timeout(subject.patience).context("asked to drive, it sent no message")?;
    exits(subject, &mut driving)?;
    silent.finish()
}

pub(super) fn holds_and_releases(subject: &Subject) -> anyhow::Result<()> {
    const HELD: usize = 20;
    let mut server = subject.reference()?;
    server.serve(FIXED, ListenAt::Loopback)?;
    let mut holding = subject.start()?;
    let message_bytes = DEFAULT_MESSAGE_BYTES;
    let destinations = server.destinations.clone();
    let held = holding
        .ask(&Request::Hold { destinations, connections: HELD, message_bytes, reply_bytes: None })?
        .answer;
    ensure!(held == Answer::Held, "asked to hold connections, it answered {held:?}");
    let served = server.served()?;
    ensure!(
        (served.connections, served.messages) == (HELD as u64, 0),
        "asked to hold {HELD}: the server has {} connections, and {} messages of closed connections",
        served.connections,
        served.messages
    );
    let released = holding.ask(&Request::Release)?.answer;
    ensure!(released == Answer::Released, "asked to release them, it answered {released:?}");
    // Messages count once their connection is closed.
    server.wait_for("messages on released connections", |served| served.messages, HELD as u64)
}

fn exits(subject: &Subject, started: &mut Started) -> anyhow::Result<()> {
    started.agent.end(UNTIL_EXIT.min(subject.patience))
}
