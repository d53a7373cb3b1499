//! What a server must stand from clients that misbehave, or do what is rare, with a healthy session around each.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{Subject, peers::RawClient, started::FIXED};
use crate::{
    protocol::{Framing, text},
    service::Served,
};

/// Longer than anything that a kernel or a runtime would coalesce.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// What a server has, that can't be asked whether it has noticed, to notice how a connection ended.
const UNTIL_NOTICED: Duration = Duration::from_millis(200);

/// The size of big messages: some of them fill every socket buffer.
const BIG: usize = 65_536;

/// After so many writes in a row that take nothing, both directions are full.
const FULL_AFTER: u32 = 20;

const BIG_FRAMING: Framing = Framing::fixed(BIG);

pub(super) fn a_byte_at_a_time(subject: &Subject) -> anyhow::Result<()> {
    costs_nobody_else(subject, "the messages of a client that sends byte by byte", 0, |mut client| {
        for n in [1, 2] {
            for byte in text(n).as_bytes() {
                client.send([*byte])?;
                thread::sleep(PAUSE);
            }
            client.expect(format!("Re:{}", text(n)))?;
        }
        Ok(())
    })
}

pub(super) fn two_and_a_half_at_once(subject: &Subject) -> anyhow::Result<()> {
    costs_nobody_else(subject, "messages that came together", 0, |mut client| {
        client.send("1 - Send Message2 - Send Message3 - Send")?;
        client.expect("Re:1 - Send MessageRe:2 - Send Message")?;
        client.send(" Message")?;
        client.expect("Re:3 - Send Message")
    })
}

pub(super) fn a_burst(subject: &Subject) -> anyhow::Result<()> {
    costs_nobody_else(subject, "a burst", 0, |mut client| {
        let mut writer = client.stream.try_clone()?;
        thread::scope(|scope| {
            let sending = scope.spawn(move || writer.write_all(&b"0123456789abcdef".repeat(1000)));
            let received = (0..1000).try_for_each(|_| client.expect("Re:0123456789abcdef"));
            received.and(joined(sending).context("a burst is not taken"))
        })
    })
}

pub(super) fn a_half_close(subject: &Subject) -> anyhow::Result<()> {
    costs_nobody_else(subject, "a half close", 0, |mut client| {
        client.send("1 - Send Message2 - Send Message")?;
        client.half_close()?;
        client.expect("Re:1 - Send MessageRe:2 - Send Message")?;
        client.expect_end()
    })
}

pub(super) fn a_close_inside_a_message(subject: &Subject) -> anyhow::Result<()> {
    costs_nobody_else(subject, "sent \"2 - Send\" and a close", 1, |mut client| {
        client.exchange(1)?;
        client.send("2 - Send")?;
        client.half_close()?;
        client.expect_end()
    })
}

pub(super) fn a_reset(subject: &Subject) -> anyhow::Result<()> {
    costs_nobody_else(subject, "sent \"2 - Send\" and a reset", 1, |mut client| {
        client.exchange(1)?;
        client.send("2 - Send")?;
        client.reset()
    })
}

/// Runs a healthy session around what a client does, and one after it; then looks at what was counted as failures.
fn costs_nobody_else(
    subject: &Subject,
    what: &str,
    failures: u64,
    client: impl Fn(RawClient) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let mut healthy = server.connect()?;
    healthy.exchange(1)?;
    client(server.connect()?)?;
    if subject.is_alone {
        thread::sleep(UNTIL_NOTICED + subject.delay_of_link());
    }
    (2..=8).try_for_each(|n| healthy.exchange(n)).context("a healthy session beside it")?;
    healthy.half_close()?;
    healthy.expect_end().context("a healthy session beside it")?;
    let mut after = server.connect()?;
    after.exchange(1).context("a healthy session after it")?;
    drop(after);
    server.wait_for(&format!("{what}: failures"), |served| served.failures, failures)?;
    server.stop_and_expect(|served| Served { failures, ..*served }).with_context(|| what.to_owned())
}

pub(super) fn a_stall(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(BIG_FRAMING)?;
    let mut client = server.connect()?;
    let sent = fill_both_ways(subject, &client)?;
    ensure!(sent > 4 * BIG, "it takes only {sent} bytes whose replies nobody takes");
    let messages = sent / BIG + 1;
    let mut writer = client.stream.try_clone()?;
    thread::scope(|scope| {
        let rest = scope.spawn(move || writer.write_all(&vec![b'z'; messages * BIG - sent]));
        let reply = [b"Re:", &[b'z'; BIG][..]].concat();
        let received = (0..messages).try_for_each(|_| client.expect(&reply));
        received.and(joined(rest).context("the rest of a message is not taken"))
    })?;
    drop(client);
    server.wait_for("messages", |served| served.messages, messages as u64)?;
    server.stop_and_expect(|served| Served { failures: 0, ..*served })
}

pub(super) fn a_reset_in_a_reply(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(BIG_FRAMING)?;
    let mut healthy = server.connect()?;
    let stalled = server.connect()?;
    fill_both_ways(subject, &stalled)?;
    let exchange = |healthy: &mut RawClient| {
        healthy.send([b'h'; BIG])?;
        healthy.expect([b"Re:", &[b'h'; BIG][..]].concat())
    };
    exchange(&mut healthy).context("while another connection is stalled")?;
    stalled.reset()?;
    server.wait_for("a reset in the middle of a reply: failures", |served| served.failures, 1)?;
    exchange(&mut healthy).context("after another connection was reset")
}

/// Sends big messages until the server, whose replies nobody takes, takes no more; returns how many bytes went.
fn fill_both_ways(subject: &Subject, client: &RawClient) -> anyhow::Result<usize> {
    client.stream.set_nonblocking(true)?;
    let piece = vec![b'z'; BIG];
    let (mut sent, mut stuck) = (0, 0);
    let pause = 5 * PAUSE + subject.delay_of_link() / FULL_AFTER;
    while stuck < FULL_AFTER {
        match (&client.stream).write(&piece[sent % BIG..]) {
            Ok(n) => (sent, stuck) = (sent + n, 0),
            Err(_) => {
                stuck += 1;
                thread::sleep(pause);
            }
        }
    }
    client.stream.set_nonblocking(false)?;
    Ok(sent)
}

pub(super) fn a_flood(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let flood = server.connect()?.stream;
    let (mut writer, mut reader) = (flood.try_clone()?, flood.try_clone()?);
    let mut healthy = server.connect()?;
    let flooding = AtomicBool::new(true);
    let begun = Instant::now();
    let outcome = thread::scope(|scope| {
        let flooding = &flooding;
        scope.spawn(move || while flooding.load(Relaxed) && writer.write_all(&[b'f'; 65_536]).is_ok() {});
        scope.spawn(move || while reader.read(&mut [0; 65_536]).is_ok_and(|n| n > 0) {});
        let outcome = (0..50).try_for_each(|_| {
            ensure!(
                begun.elapsed() < subject.patience,
                "fifty exchanges take more than {:?}",
                subject.patience
            );
            healthy.exchange(1)
        });
        flooding.store(false, Relaxed);
        // Both threads end now, without the replies to all that is still under way.
        flood.shutdown(Shutdown::Both)?;
        outcome
    });
    outcome.context("a session beside a flood")?;
    server.stop().map(drop)
}

/// What a thread that writes came to.
fn joined(thread: thread::ScopedJoinHandle<'_, std::io::Result<()>>) -> anyhow::Result<()> {
    Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
}
