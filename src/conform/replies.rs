//! What a client must stand from servers that misbehave, or do what is rare, with healthy sessions beside each.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, bail, ensure};

use super::{
    Subject,
    faults::PAUSE,
    peers::{Meeting, answer_all, answer_one, next_message, raw_server, read_message, reply_to, reset},
    started::{expect_sessions, sessions},
};
use crate::{
    agent::Refusal,
    load::{LoadPlan, LoadRun},
    protocol::Shape,
};

pub(super) fn a_byte_at_a_time(subject: &Subject) -> anyhow::Result<()> {
    let run = beside(subject, 4, |stream| {
        while let Some(message) = read_message(stream)? {
            for byte in reply_to(&message) {
                stream.write_all(&[byte])?;
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    })?;
    expect_sessions(&run, 4, 0)
}

pub(super) fn the_last_with_the_end(subject: &Subject) -> anyhow::Result<()> {
    let run = beside(subject, 4, |stream| (1..=8).try_for_each(|_| answer_one(stream)))?;
    expect_sessions(&run, 4, 0)
}

pub(super) fn an_early_close(subject: &Subject) -> anyhow::Result<()> {
    let run = beside(subject, 6, |stream| {
        answer_one(stream)?;
        next_message(stream)?;
        Ok(stream.write_all(b"Re:2")?)
    })?;
    expect_sessions(&run, 5, 1)?;
    expect_words(run.first_failure.as_deref(), &["message 2", "offset 4"])
}

pub(super) fn a_reset(subject: &Subject) -> anyhow::Result<()> {
    let run = beside(subject, 6, |stream| {
        answer_one(stream)?;
        next_message(stream)?;
        reset(stream.try_clone()?)
    })?;
    expect_sessions(&run, 5, 1)?;
    expect_words(run.first_failure.as_deref(), &["reset"])
}

/// Lets the subject drive two connections' worth of sessions against a server that treats its second one so.
fn beside(
    subject: &Subject,
    count: u64,
    second: fn(&mut TcpStream) -> anyhow::Result<()>,
) -> anyhow::Result<LoadRun> {
    let server = raw_server(count as usize, subject.patience, move |index, mut stream| {
        if index == 1 { second(&mut stream) } else { answer_all(&mut stream) }
    })?;
    let run = subject.start()?.drive(sessions(&[server.address], 2, count));
    server.finish_after(run)
}

pub(super) fn one_wrong_byte(subject: &Subject) -> anyhow::Result<()> {
    let server = raw_server(2, subject.patience, |index, mut stream| {
        for n in 1.. {
            let Ok(Some(message)) = read_message(&mut stream) else { break };
            let mut reply = reply_to(&message);
            if index == 1 && n == 3 {
                reply[17] ^= 0x20;
            }
            if stream.write_all(&reply).is_err() {
                break;
            }
        }
        Ok(())
    })?;
    let run = subject.start()?.drive(sessions(&[server.address], 1, 2));
    refused(server.finish_after(run), &["session 2", "message 3", "offset 17"])
}

pub(super) fn of_another_session(subject: &Subject) -> anyhow::Result<()> {
    const MESSAGE_BYTES: usize = 64;
    let (both, patience) = (Meeting::new(2), subject.patience);
    // Each of two connections is answered with what came on the other.
    let server = raw_server(2, patience, move |index, mut stream: TcpStream| {
        let mut message = vec![0; MESSAGE_BYTES];
        stream.read_exact(&mut message).context("no message")?;
        let brought = both.join((index, message), patience)?;
        let theirs = brought.iter().find(|(other, _)| *other != index).context("two connections meet")?;
        // The client may have given up at the other one's.
        let _ = stream.write_all(&reply_to(&theirs.1));
        Ok(())
    })?;
    let shape = Shape::new(1, MESSAGE_BYTES)?;
    let run = subject.start()?.drive(LoadPlan { shape, ..sessions(&[server.address], 2, 2) });
    refused(server.finish_after(run), &["session", "message 1", "offset"])
}

pub(super) fn nobody_listening(subject: &Subject) -> anyhow::Result<()> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let run = subject.start()?.drive(sessions(&[free], 4, 100))?;
    ensure!(
        run.sessions == 0 && run.failures > 0,
        "got {} sessions, {} failures",
        run.sessions,
        run.failures
    );
    expect_words(run.first_failure.as_deref(), &["refused"])
}

/// Checks that a load was answered as failed, in such words.
fn refused(run: anyhow::Result<LoadRun>, words: &[&str]) -> anyhow::Result<()> {
    match run {
        Err(error) if error.is::<Refusal>() => expect_words(Some(&error.to_string()), words),
        Err(error) => Err(error),
        Ok(run) => bail!(r#"expected {{"failed":…}}, got a load of {} sessions"#, run.sessions),
    }
}

fn expect_words(text: Option<&str>, words: &[&str]) -> anyhow::Result<()> {
    let text = text.unwrap_or_default();
    for word in words {
        ensure!(text.to_lowercase().contains(word), "expected a failure that names {word:?}, got {text:?}");
    }
    Ok(())
}
