//! A pair that runs in slices: stopped most of the time, continued for some milliseconds, again and again.
//!
//! Between two slices of an arm others have theirs, so each sees the machine as all see it within the same fraction of
//! a second. A rest is no part of what is measured: the client takes its times in active time ([`Board`]), replies and
//! CPU time are read at the two ends of a slice's window while the pair runs, and what the stopping and continuing
//! itself costs falls into the stretch before the window, which counts for nothing.
//!
//! What another process has spent is known to the kernel as of the last time that its threads were switched, or the last
//! tick, which is up to 4 ms ago and a fifth of a window: `thread_group_cputime` in kernel/sched/cputime.c brings only the
//! caller's own thread up to date. So whoever reads first goes to the processors of the pair: where it runs, they don't.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::{
    Asked, Launch, PATIENCE, Pair, PairPlan, Round,
    claims::{Seen, untrue},
};
use crate::{
    agent::{Cost, Reply, Request},
    clock::nanoseconds,
    load::{Board, Done, Extent, Workload},
    net::KernelCounters,
};

/// Sessions that each connection runs before anything counts, where sessions count.
const RAMP_SESSIONS: u64 = 2;

/// Messages that each connection exchanges before anything counts, where sessions don't.
const RAMP_MESSAGES: u64 = 32;

/// For how long a pair runs on once its ramp is over, before it is stopped first: context switches are counted in that
/// time, which stopping and continuing would add to.
const UNDISTURBED: Duration = Duration::from_millis(10);

/// How long a ramp may take: some hundred times the longest seen.
const RAMP_PATIENCE: Duration = Duration::from_secs(30);

/// CPU time of a process at rest that is no sign of its having run: what a stop itself may still cost.
pub const REST_CPU: Duration = Duration::from_millis(1);

/// How many times as long as it was to be a window may last: beyond, the whole machine stood still.
const LATE: u32 = 2;

/// The share of a window that reading at one of its ends may take, as 1 / this: beyond, replies and CPU time are not of the
/// same stretch.
const MOST_TORN: u32 = 50;

/// The share of a window, as 1 / this, in which nothing is timed yet: two or three round trips of 64 connections, and less than one of
/// 1,024. Without it a batch of round trips in each slice had waited for this process, and p99 was 7 to 16% too high
/// (METHODOLOGY.md, "Slices").
const SETTLES: u32 = 8;

/// How long a slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceLength {
    /// What passes after a pair was continued before the window opens.
    pub warm: Duration,
    /// The window.
    pub window: Duration,
}

/// What a pair did in the window of one slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Whose turn it was in the block, from 0.
    pub turn: usize,
    /// Replies verified.
    pub messages: u64,
    /// Sessions ended; absent in records of before they were counted by slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// The length of the window, in nanoseconds.
    pub window_ns: u64,
    /// CPU time of the server's process, in nanoseconds.
    pub server_cpu_ns: u64,
    /// CPU time of the client's process, in nanoseconds.
    pub client_cpu_ns: u64,
    /// Why it must not count as a block; absent when it does. What was timed in it is in the round's histograms all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
}

/// A pair that rests between slices.
#[derive(Debug)]
pub struct SlicedPair {
    pair: Pair,
    board: Board,
    workload: Workload,
    /// Since when it rests.
    stopped: Instant,
    /// What both processes had spent when they were stopped.
    spent: Spent,
    slices: Vec<Slice>,
    /// For how long what ended was counted in histograms.
    timed: Duration,
    /// What the server told of its cost until now.
    server: Cost,
    server_switches_per_message: Option<f64>,
}

/// The CPU time of both processes since they were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spent {
    server: Duration,
    client: Duration,
}

/// What is read at either end of a window.
struct Reading {
    at: Instant,
    /// How long it took to read the rest.
    took: Duration,
    done: Done,
    spent: Spent,
}

impl SlicedPair {
    /// Starts a pair, lets it drive until it is in steady state, and stops it. The seed decides where its slots begin.
    ///
    /// # Errors
    /// When an agent cannot be started, cannot drive in slices, or gets no further.
    pub fn start(launch: &Launch, plan: PairPlan, workload: &Workload, seed: u64) -> anyhow::Result<Self> {
        let board = Board::create().context("cannot share memory with the client")?;
        let mut pair = Pair::start(launch, plan)?;
        pair.hold_idle(workload.idle)?;
        pair.start_sliced(&board, workload, seed)?;
        let spent = Spent::read(&pair)?;
        let mut sliced = Self {
            pair,
            board,
            workload: workload.clone(),
            stopped: Instant::now(),
            spent,
            slices: Vec::new(),
            timed: Duration::ZERO,
            server: Cost::default(),
            server_switches_per_message: None,
        };
        sliced.ramp()?;
        sliced.keep_their_processes()?;
        sliced.board.hide();
        sliced.server_switches_per_message = sliced.run_undisturbed()?;
        sliced.stop()?;
        Ok(sliced)
    }

    /// Waits until each connection has run some sessions, or exchanged some messages.
    fn ramp(&mut self) -> anyhow::Result<()> {
        let Workload { connections, counts_sessions, .. } = self.workload;
        let connections = connections as u64;
        let begun = Instant::now();
        loop {
            let Done { messages, sessions } = self.board.done();
            let steady = if counts_sessions {
                sessions >= RAMP_SESSIONS * connections
            } else {
                messages >= RAMP_MESSAGES * connections
            };
            if steady {
                return Ok(());
            }
            self.pair.check_client()?;
            if begun.elapsed() > RAMP_PATIENCE {
                let waited = RAMP_PATIENCE.as_secs();
                bail!(
                    "client {}: only {messages} messages in {waited} s over {connections} connections: too few to begin measuring",
                    self.pair.plan.client
                )
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// A program that starts a process for each connection is not metered in slices, whose CPU time is read of the same processes.
    fn keep_their_processes(&self) -> anyhow::Result<()> {
        let PairPlan { server, client, .. } = &self.pair.plan;
        let clients = self.pair.clients.iter().map(|agent| (client, agent));
        for (name, agent) in std::iter::once((server, &self.pair.server)).chain(clients) {
            anyhow::ensure!(
                !agent.changes_its_processes(),
                "{name}: it starts and ends processes while it runs, whose CPU time is not known in slices; remove `slices = true` from its file in contestants/"
            );
        }
        Ok(())
    }

    /// Lets the pair run for a while, and says how many context switches the server makes for each message.
    fn run_undisturbed(&mut self) -> anyhow::Result<Option<f64>> {
        // The cost stands beside every answer; asked for what it served, a server does not wait for connections to end.
        let Reply { cost: ramp, .. } = self.pair.server.ask(&Request::Served, PATIENCE)?;
        let before = self.board.done().messages;
        thread::sleep(UNDISTURBED);
        let Reply { cost, .. } = self.pair.server.ask(&Request::Served, PATIENCE)?;
        self.server = ramp + cost;
        let messages = self.board.done().messages - before;
        let switches = cost.voluntary_switches + cost.involuntary_switches;
        Ok((messages > 0).then(|| switches as f64 / messages as f64))
    }

    /// Stops both processes, and returns when they stand still.
    fn stop(&mut self) -> anyhow::Result<()> {
        self.pair.each_agent(|agent| agent.send_stop())?;
        self.stopped = Instant::now();
        self.pair.each_agent(|agent| agent.wait_until_stopped())?;
        self.spent = Spent::read(&self.pair)?;
        Ok(())
    }

    /// Runs one slice, and stops the pair again.
    ///
    /// # Errors
    /// When a process of the pair is gone.
    pub fn slice(&mut self, length: SliceLength, turn: usize) -> anyhow::Result<()> {
        let ran_at_rest = self.ran_at_rest()?;
        let (counters, segments) = (self.pair.counters(), self.pair.segments());
        self.resume()?;
        thread::sleep(length.warm);
        let away = self.pair.placement.visit();
        let opened = self.read()?;
        drop(away);
        // Whoever was under way when this process took the processor to read is late for that, and counts in no histogram.
        let settles = length.window / SETTLES;
        thread::sleep(settles);
        self.board.set_open(true);
        let timed_from = Instant::now();
        thread::sleep(length.window - settles);
        let away = self.pair.placement.visit();
        let closed = self.read()?;
        self.board.set_open(false);
        self.timed += closed.at - timed_from;
        self.stop()?;
        drop(away);
        let took = closed.at - opened.at;
        let torn = [&opened, &closed].iter().any(|reading| reading.took > took / MOST_TORN);
        let late = (torn || took > LATE * length.window).then(|| "late".to_owned());
        let messages = closed.done.messages - opened.done.messages;
        let sent = self.pair.segments().zip(segments).map(|(after, before)| after - before);
        // More were sent than in the window alone; but for each connection a message and its reply may have left before the rest.
        let before = 2 * self.workload.connections as u64;
        let made_up = sent.is_some_and(|sent| sent + before < 2 * messages).then(|| "untrue".to_owned());
        self.slices.push(Slice {
            turn,
            messages,
            sessions: Some(closed.done.sessions - opened.done.sessions),
            window_ns: nanoseconds(took),
            server_cpu_ns: nanoseconds(closed.spent.server.saturating_sub(opened.spent.server)),
            client_cpu_ns: nanoseconds(closed.spent.client.saturating_sub(opened.spent.client)),
            excluded: ran_at_rest
                .or(late)
                .or(made_up)
                .or_else(|| (messages == 0).then(|| "no replies".to_owned()))
                .or_else(|| self.kernel_moved_since(counters)),
        });
        Ok(())
    }

    /// Lets both processes go on.
    fn resume(&mut self) -> anyhow::Result<()> {
        self.board.resume(self.stopped);
        self.pair.each_agent(|agent| agent.resume())
    }

    fn read(&self) -> anyhow::Result<Reading> {
        let at = Instant::now();
        let done = self.board.done();
        let spent = Spent::read(&self.pair)?;
        Ok(Reading { at, took: at.elapsed(), done, spent })
    }

    /// Whether somebody else continued a process of the pair while it was to rest.
    fn ran_at_rest(&self) -> anyhow::Result<Option<String>> {
        let now = Spent::read(&self.pair)?;
        let ran = |is: Duration, was: Duration| is.saturating_sub(was) > REST_CPU;
        let either = ran(now.server, self.spent.server) || ran(now.client, self.spent.client);
        Ok(either.then(|| "ran while it was to rest".to_owned()))
    }

    /// Whether the kernel dropped or sent again since the slice began.
    fn kernel_moved_since(&self, was: Option<KernelCounters>) -> Option<String> {
        (!(self.pair.counters()? - was?).is_quiet_but_for_probes()).then(|| "kernel".to_owned())
    }

    /// What both processes have spent since they were started.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn spent(&self) -> anyhow::Result<Duration> {
        let Spent { server, client } = Spent::read(&self.pair)?;
        Ok(server + client)
    }

    /// Ends the load, and says what came of it.
    ///
    /// # Errors
    /// When an agent fails, dies or hangs, or a reply was wrong by one byte.
    pub fn end(mut self) -> anyhow::Result<Round> {
        self.keep_their_processes()?;
        self.resume()?;
        self.board.end();
        let (mut run, client) = self.pair.receive_run()?;
        let last = self.pair.server.ask(&Request::Cost, PATIENCE)?.cost;
        let thread_work = self.pair.thread_work()?;
        // Times add up; memory is what it was last.
        let Cost { peak_memory_bytes, resident_bytes, .. } = last;
        let server = Cost { peak_memory_bytes, resident_bytes, ..self.server + last };
        let Done { messages: counted, sessions } = self.board.done();
        let name = &self.pair.plan.client;
        if counted != run.messages_in_all {
            let told = run.messages_in_all;
            bail!("client {name}: it counted {counted} messages while it ran, and {told} in its answer")
        }
        let Workload { connections, messages, idle, counts_sessions, .. } = self.workload;
        // The server has answered nobody else but, once each, those who are silent since.
        let served = thread_work.as_ref().map(|work| work.messages.iter().sum());
        let extent = Extent::Sliced { board: self.board.path() };
        let sessions = counts_sessions.then_some((sessions, messages));
        let untrue = untrue(&run, &extent, connections + idle, Seen { served, sessions, ..Seen::default() });
        run.window_s = self.timed.as_secs_f64();
        let asked = Asked { connections, messages, extent, offer: None };
        Ok(Round {
            slices: std::mem::take(&mut self.slices),
            server_switches_per_message: self.server_switches_per_message,
            thread_work,
            untrue,
            ..self.pair.round_of(asked, run, server, client)?
        })
    }
}

impl Spent {
    fn read(pair: &Pair) -> anyhow::Result<Self> {
        let client = pair.clients.first().context("a pair has at least one client")?;
        Ok(Self { server: pair.server.cpu_time()?, client: client.cpu_time()? })
    }
}
