//! What a server does beside echoing: longer replies, and work for each message. Requests of the second version ask for it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::{
    CannotTell, Subject,
    started::{Started, expect_sessions, sessions},
};
use crate::{
    agent::{Answer, Refusal, Reply, Request},
    load::LoadPlan,
    net::ListenAt,
    protocol::{REPLY_PREFIX, Shape},
    service::{Served, ServerConfig},
    work::{Distribution, LEAST_MESSAGE_BYTES, Work, WorkKind},
};

/// Messages that have work, as the reference sends them.
const MESSAGES: u32 = 64;

fn shape() -> anyhow::Result<Shape> {
    Ok(Shape::new(MESSAGES, LEAST_MESSAGE_BYTES)?)
}

/// Lets the subject serve messages that have work. One that refuses knows the first version of requests alone, and has no fault.
fn serve(subject: &Subject, work: Work) -> anyhow::Result<Started> {
    serve_as(subject, ServerConfig { work: Some(work), ..ServerConfig::echoing(shape()?.framing()) })
}

fn serve_as(subject: &Subject, config: ServerConfig) -> anyhow::Result<Started> {
    let mut server = subject.start()?;
    match server.serve_as(config, ListenAt::Loopback) {
        Err(error) if error.is::<Refusal>() => bail!(CannotTell(format!("it does not do that: {error}"))),
        other => other.map(|()| server),
    }
}

fn work(kind: WorkKind, mean: Duration, distribution: Distribution) -> Work {
    Work { kind, mean_ns: mean.as_nanos() as u64, distribution, seed: 9 }
}

pub(super) fn answers_at_length(subject: &Subject) -> anyhow::Result<()> {
    let shape = Shape::new(8, 16)?.with_replies(Some(65_536))?;
    let mut server = serve_as(subject, ServerConfig::echoing(shape.framing()))?;
    let plan = LoadPlan { shape, ..sessions(&server.destinations, 4, 20) };
    expect_sessions(&subject.reference()?.drive(plan)?, 20, 0)?;
    server.wait_for("messages", |served| served.messages, 160)
}

/// CPU time that is spent for a message, or handed to a thread for what blocks, is the process's.
fn costs(subject: &Subject, kind: WorkKind) -> anyhow::Result<()> {
    const EACH: Duration = Duration::from_millis(2);
    let mut server = serve(subject, work(kind, EACH, Distribution::Fixed))?;
    let plan = LoadPlan { shape: shape()?, ..sessions(&server.destinations, 2, 2) };
    let messages = 2 * MESSAGES;
    expect_sessions(&subject.reference()?.drive(plan)?, 2, 0)?;
    let Reply { cost, .. } = server.ask(&Request::Cost)?;
    let asked = (EACH * messages).as_secs_f64();
    // Spent are no less than 98%; and the echo itself, and handing over, take a quarter of it at most.
    ensure!(
        (0.98 * asked..1.25 * asked).contains(&cost.cpu_s()),
        "{messages} messages of {EACH:?} each: expected {asked:.3} s of CPU time and a little more, got {:.3}",
        cost.cpu_s()
    );
    Ok(())
}

pub(super) fn spins(subject: &Subject) -> anyhow::Result<()> {
    costs(subject, WorkKind::Spin)
}

pub(super) fn offloads(subject: &Subject) -> anyhow::Result<()> {
    costs(subject, WorkKind::Offload)
}

/// A message that waits holds up no other, and waits as long as is drawn from its bytes.
pub(super) fn waits(subject: &Subject) -> anyhow::Result<()> {
    const LEAST_MEAN: Duration = Duration::from_millis(20);
    const CONNECTIONS: usize = 40;
    /// By how much a busy machine may be late.
    const LATE: Duration = Duration::from_millis(300);
    // Longer than what a link does to an answer.
    let mean = LEAST_MEAN + 2 * subject.delay_of_link();
    let work = work(WorkKind::Wait, mean, Distribution::Exponential);
    let server = serve(subject, work)?;
    let message = |number: usize| {
        let text = format!("{} - Send Message", number + 1);
        format!("{text:.<LEAST_MESSAGE_BYTES$}")
    };
    let mut open = (0..CONNECTIONS).map(|_| server.connect()).collect::<anyhow::Result<Vec<_>>>()?;
    let mut begun = Vec::new();
    for (number, client) in open.iter_mut().enumerate() {
        begun.push(Instant::now());
        client.send(message(number))?;
    }
    let mut order: Vec<usize> = (0..CONNECTIONS).collect();
    order.sort_by_key(|number| work.of(message(*number).as_bytes()));
    let all: Duration = order.iter().map(|number| work.of(message(*number).as_bytes())).sum();
    for number in order.iter().copied() {
        let prefix = std::str::from_utf8(REPLY_PREFIX)?;
        open[number].expect(format!("{prefix}{}", message(number)))?;
        let (took, drawn) = (begun[number].elapsed(), work.of(message(number).as_bytes()));
        ensure!(
            took >= drawn,
            "{:?}: expected a reply after {drawn:?} at least, got one after {took:?}",
            message(number)
        );
    }
    let took = begun[0].elapsed();
    let longest = order.last().map_or(Duration::ZERO, |number| work.of(message(*number).as_bytes()));
    ensure!(
        took < LATE + subject.delay_of_link() + longest,
        "the longest waits {longest:?}: all took {took:?}"
    );
    ensure!(
        took < all / 2,
        "one after the other they wait {all:?}: expected half of that at most, got {took:?}"
    );
    Ok(())
}

/// A half close is answered when the message has waited, and a close only ends its own connection.
pub(super) fn leaves_meanwhile(subject: &Subject) -> anyhow::Result<()> {
    const EACH: Duration = Duration::from_millis(50);
    let mut server = serve(subject, work(WorkKind::Wait, EACH, Distribution::Fixed))?;
    let message = format!("{:.<LEAST_MESSAGE_BYTES$}", "1 - Send Message");
    let reply = format!("Re:{message}");
    let [mut half, mut gone, mut stays] = [server.connect()?, server.connect()?, server.connect()?];
    for client in [&mut half, &mut gone, &mut stays] {
        client.send(&message)?;
    }
    half.half_close()?;
    drop(gone);
    stays.expect(&reply)?;
    half.expect(&reply).context("after a half close while the message waited")?;
    half.expect_end()?;
    stays.send(&message)?;
    stays.expect(&reply).context("after others have left")?;
    drop(stays);
    server.stop_and_expect(|served| Served { connections: 3, ..*served })
}

/// A thread that sleeps keeps all waiting that it serves, or, with a thread for each, nobody.
pub(super) fn blocks(subject: &Subject) -> anyhow::Result<()> {
    const EACH: Duration = Duration::from_millis(20);
    let server = serve(subject, work(WorkKind::Block, EACH, Distribution::Fixed))?;
    let begun = Instant::now();
    let plan = LoadPlan { shape: shape()?.of(4)?, ..sessions(&server.destinations, 1, 2) };
    expect_sessions(&subject.reference()?.drive(plan)?, 2, 0)?;
    let took = begun.elapsed();
    ensure!(took >= 8 * EACH, "8 messages of {EACH:?} each, one after the other, took {took:?}");
    Ok(())
}

pub(super) fn tells_of_its_threads(subject: &Subject) -> anyhow::Result<()> {
    let mut server = serve(subject, work(WorkKind::Wait, Duration::from_millis(1), Distribution::Fixed))?;
    let plan = LoadPlan { shape: shape()?, ..sessions(&server.destinations, 4, 8) };
    let messages = u64::from(8 * MESSAGES);
    expect_sessions(&subject.reference()?.drive(plan)?, 8, 0)?;
    let Answer::ThreadWork(told) = server.ask(&Request::ThreadWork)?.answer else {
        bail!("asked what its threads did, it answered something else")
    };
    let (sum, timers) = (told.messages.iter().sum::<u64>(), told.timer_lateness.count());
    ensure!(
        (sum, timers) == (messages, messages),
        "{messages} messages: threads tell {sum}, timers {timers}"
    );
    Ok(())
}
