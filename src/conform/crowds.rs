//! Many connections at once, more than there are descriptors, and such as say nothing.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    CannotTell, Subject,
    peers::{Meeting, RawClient, answer_all, raw_server},
    started::{FIXED, Started, expect_sessions, sessions},
};
use crate::{
    agent::Request,
    load::LoadPlan,
    net::{ListenAt, raise_descriptor_limit},
    protocol::{DEFAULT_MESSAGE_BYTES, Shape, text},
    service::Served,
};

/// How many are a crowd.
const CROWD: usize = 1000;

pub(super) fn silence(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let mut silent = (0..20).map(|_| server.connect()).collect::<anyhow::Result<Vec<_>>>()?;
    let mut healthy = server.connect()?;
    (1..=8).try_for_each(|n| healthy.exchange(n)).context("beside 20 silent connections")?;
    waits(&mut server, WATCHED / 4).context("beside 20 silent connections")?;
    // Closing by itself, a server has nobody to blame.
    server.stop_and_expect(|served| Served { failures: 0, ..*served })?;
    silent.iter_mut().try_for_each(RawClient::expect_end).context("a silent connection")
}

pub(super) fn a_thousand_connections(subject: &Subject) -> anyhow::Result<()> {
    require_descriptors(CROWD)?;
    let mut server = subject.serve(FIXED)?;
    let mut crowd = Vec::new();
    for number in 1..=CROWD {
        crowd.push(server.connect().with_context(|| format!("connection {number}"))?);
    }
    for n in [1, 2] {
        let sent = crowd.iter_mut().try_for_each(|client| client.send(text(n)));
        let reply = format!("Re:{}", text(n));
        let exchanged = sent.and_then(|()| crowd.iter_mut().try_for_each(|client| client.expect(&reply)));
        exchanged.with_context(|| format!("with {CROWD} connections open"))?;
    }
    drop(crowd);
    let all = CROWD as u64;
    server.wait_for("messages", |served| served.messages, 2 * all)?;
    server.stop_and_expect(|_| Served { connections: all, messages: 2 * all, failures: 0, most_open: all })
}

/// How many descriptors a server gets that is to run out of them.
const FEW_DESCRIPTORS: u64 = 64;

/// How long it is watched for spinning.
const WATCHED: Duration = Duration::from_millis(400);

/// The most of a processor that it may use for waiting, as a share.
const MOST_WAITING: f64 = 0.1;

pub(super) fn out_of_descriptors(subject: &Subject) -> anyhow::Result<()> {
    require_descriptors(200)?;
    let limit = format!("ulimit -n {FEW_DESCRIPTORS}; exec \"$@\"");
    let mut server = subject.start_with(&["sh", "-c", &limit, "sh"])?;
    server.serve(FIXED, ListenAt::Loopback)?;
    // The first is served before the others come: several listeners need not take them in their order.
    let mut crowd = vec![server.connect()?];
    crowd[0].exchange(1).context("on the first of 200 connections")?;
    for _ in 1..200 {
        crowd.push(server.connect()?);
    }
    waits(&mut server, WATCHED).context("out of descriptors")?;
    crowd[0].exchange(2).context("on the first of 200 connections, out of descriptors")?;
    drop(crowd);
    let mut after = server.connect()?;
    (1..=8).try_for_each(|n| after.exchange(n)).context("once descriptors are free again")?;
    drop(after);
    let most_open = server.stop()?.most_open;
    if most_open >= FEW_DESCRIPTORS {
        let why =
            format!("a limit of {FEW_DESCRIPTORS} descriptors does not reach it: {most_open} were open");
        return Err(CannotTell(why).into());
    }
    Ok(())
}

/// Checks that a server that has nothing to do does nothing, once it has done what it had.
fn waits(server: &mut Started, watched: Duration) -> anyhow::Result<()> {
    const LOOKS: usize = 5;
    server.ask(&Request::Cost)?;
    let mut share = 0.0;
    for _ in 0..LOOKS {
        let begun = Instant::now();
        thread::sleep(watched);
        let cost = server.ask(&Request::Cost)?.cost;
        share = cost.cpu_s() / begun.elapsed().as_secs_f64();
        if share < MOST_WAITING {
            return Ok(());
        }
    }
    bail!("waiting, it uses {:.0}% of a processor", share * 100.0)
}

pub(super) fn a_thousand_sessions(subject: &Subject) -> anyhow::Result<()> {
    require_descriptors(CROWD)?;
    let (all, patience) = (Meeting::new(CROWD), subject.patience);
    // Nobody is answered until all are there.
    let server = raw_server(CROWD, patience, move |_, mut stream: TcpStream| {
        all.join((), patience)?;
        answer_all(&mut stream)
    })?;
    let shape = Shape::new(1, DEFAULT_MESSAGE_BYTES)?;
    let plan = LoadPlan { shape, ..sessions(&[server.address], CROWD, CROWD as u64) };
    let run = subject.start()?.drive(plan);
    expect_sessions(&server.finish_after(run)?, CROWD as u64, 0)
}

/// Checks that a crowd can be had here, on this side.
fn require_descriptors(connections: usize) -> anyhow::Result<()> {
    raise_descriptor_limit()?.require(connections).map_err(|error| CannotTell(error.to_string()).into())
}
