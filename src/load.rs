//! What to drive ([`LoadPlan`]) and what came of it ([`LoadRun`]): a closed loop, counted or timed.
//!
//! A load is a number of connection slots, each running sessions back to back. A backend's client takes the
//! [`Slot`]s of a [`Load`] and runs each as its runtime would: ask [`Slot::next_session`] where to connect, report
//! [`Slot::connected`], drive the slot as an [`End`](crate::protocol::End), report [`Slot::ended`], and again. Slots take sessions from
//! one common count, so a slow one is never waited for with work that another could do.
//!
//! Absent from here: sockets, and any loop of a backend. Memory does not grow with the number of messages.

mod histogram;
mod slot;
mod workload;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    net::PortLimit,
    protocol::{ProtocolError, SessionError, Shape},
};

pub use histogram::{LatencyHistogram, Summary};
pub use slot::Slot;
pub use workload::Workload;

/// After so many failed sessions the peer is taken for broken and the load ends.
const MOST_FAILURES: u64 = 100;

/// What to drive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadPlan {
    /// The addresses that the sessions rotate over; not empty.
    pub destinations: Vec<SocketAddr>,
    /// How many sessions run at a time; at least 1.
    pub connections: usize,
    /// What each session is.
    pub shape: Shape,
    /// When it is over.
    pub extent: Extent,
    /// Worker threads of the client, where the backend has such; its default when absent.
    pub workers: Option<usize>,
}

/// When a load is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Extent {
    /// After this many sessions; all of them count.
    Sessions(u64),
    /// After a time. What ends within the window counts, whenever it began.
    Timed {
        /// What is discarded at the head: connections open, caches fill.
        ramp_ms: u64,
        /// What counts.
        window_ms: u64,
    },
}

/// What came of a load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadRun {
    /// Sessions completed within the window.
    pub sessions: u64,
    /// Replies verified within the window.
    pub messages: u64,
    /// Replies verified in all, ramp and tail included: what CPU time is divided by.
    pub messages_in_all: u64,
    /// The length of the window, in seconds.
    pub window_s: f64,
    /// From the first session's begin to the last one's end, ramp and tail included, in seconds.
    pub elapsed_s: f64,
    /// From asking for a connection to having it.
    pub connect: LatencyHistogram,
    /// From the moment that a message could be sent to the last byte of its reply.
    pub round_trip: LatencyHistogram,
    /// From asking for a connection to having closed it.
    pub session: LatencyHistogram,
    /// Sessions that ended before their time.
    pub failures: u64,
    /// Why the first of them did.
    pub first_failure: Option<String>,
    /// What the client's port table allows towards these destinations.
    pub port_limit: PortLimit,
}

impl LoadRun {
    /// Sessions completed per second.
    pub fn sessions_per_second(&self) -> f64 {
        per_second(self.sessions, self.window_s)
    }

    /// Replies verified per second.
    pub fn messages_per_second(&self) -> f64 {
        per_second(self.messages, self.window_s)
    }

    /// Takes in what another machine measured at the same time.
    pub fn merge(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.messages += other.messages;
        self.messages_in_all += other.messages_in_all;
        self.window_s = self.window_s.max(other.window_s);
        self.elapsed_s = self.elapsed_s.max(other.elapsed_s);
        self.connect.merge(&other.connect);
        self.round_trip.merge(&other.round_trip);
        self.session.merge(&other.session);
        self.failures += other.failures;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        // Each machine has ports of its own.
        self.port_limit.destinations += other.port_limit.destinations;
    }

    /// By which share rate × mean session time departs from the number of connections, which Little's law says
    /// they must equal (J. D. C. Little, Operations Research 9(3), 1961).
    pub fn little_departure(&self, connections: usize) -> f64 {
        self.sessions_per_second() * self.session.mean_s() / connections as f64 - 1.0
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// A step of a session, for those who watch; see [`Load::watched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The connection stands.
    Connected(SocketAddr),
    /// A message went out, to its last byte.
    Sent(&'a [u8]),
    /// A reply came in and is right, to its last byte.
    Received(&'a [u8]),
    /// The client closed the connection.
    Closed,
}

/// What is told of every step of every session.
pub type Watcher = dyn Fn(Step<'_>) + Send + Sync;

/// A load being driven: hands out slots, collects what they measure.
pub struct Load {
    plan: LoadPlan,
    /// Sessions begun so far.
    begun: AtomicU64,
    /// When the first slot asked for work. Everything counts from there.
    start: std::sync::OnceLock<Instant>,
    /// Slots share these, a few threads one; each is locked for nanoseconds, by whoever ended a round trip.
    shards: Box<[Mutex<Tally>]>,
    failures: Mutex<Failures>,
    abandoned: AtomicBool,
    watcher: Option<Box<Watcher>>,
}

/// What some of the slots measured.
#[derive(Clone, Default)]
struct Tally {
    connect: LatencyHistogram,
    round_trip: LatencyHistogram,
    session: LatencyHistogram,
    messages_in_all: u64,
    last_end: Option<Instant>,
}

#[derive(Default)]
struct Failures {
    count: u64,
    first: Option<String>,
    /// The first reply that was not what it must be. It voids the run.
    wrong_reply: Option<ProtocolError>,
}

/// How far a load has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Sessions completed within the window so far.
    pub sessions: u64,
    /// Replies verified so far.
    pub messages: u64,
    /// Time since the first slot asked for work.
    pub elapsed: Duration,
}

impl Load {
    /// Prepares a load.
    pub fn new(plan: LoadPlan) -> Arc<Self> {
        Self::prepare(plan, None)
    }

    /// Prepares a load that tells `watcher` of every step; for showing sessions, not for measuring them.
    pub fn watched(plan: LoadPlan, watcher: Box<Watcher>) -> Arc<Self> {
        Self::prepare(plan, Some(watcher))
    }

    fn prepare(plan: LoadPlan, watcher: Option<Box<Watcher>>) -> Arc<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = threads.max(plan.workers.unwrap_or(1)).min(plan.connections.max(1));
        Arc::new(Self {
            plan,
            begun: AtomicU64::new(0),
            start: std::sync::OnceLock::new(),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            failures: Mutex::default(),
            abandoned: AtomicBool::new(false),
            watcher,
        })
    }

    /// What is to be driven.
    pub fn plan(&self) -> &LoadPlan {
        &self.plan
    }

    /// The connection slots, to be run at the same time; call once.
    pub fn slots(self: &Arc<Self>) -> impl Iterator<Item = Slot> {
        let load = Arc::clone(self);
        (0..self.plan.connections).map(move |index| Slot::new(Arc::clone(&load), index))
    }

    /// The slots, dealt evenly to so many workers.
    pub fn slots_for(self: &Arc<Self>, workers: usize) -> Vec<Vec<Slot>> {
        let workers = workers.clamp(1, self.plan.connections.max(1));
        let mut hands: Vec<Vec<Slot>> = (0..workers).map(|_| Vec::new()).collect();
        for (index, slot) in self.slots().enumerate() {
            hands[index % workers].push(slot);
        }
        hands
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress { sessions: 0, messages: 0, elapsed: Duration::ZERO };
        for shard in &self.shards {
            let tally = lock(shard);
            progress.sessions += tally.session.count();
            progress.messages += tally.messages_in_all;
        }
        Progress { elapsed: self.start.get().map_or(Duration::ZERO, Instant::elapsed), ..progress }
    }

    /// What was measured until now; right also while slots still run.
    ///
    /// # Errors
    /// The first wrong reply: a run with one wrong byte yields no numbers.
    pub fn result(&self) -> Result<LoadRun, ProtocolError> {
        let (failures, first_failure) = {
            let failures = lock(&self.failures);
            if let Some(wrong) = &failures.wrong_reply {
                return Err(wrong.clone());
            }
            (failures.count, failures.first.clone())
        };
        let mut all = Tally::default();
        self.shards.iter().for_each(|shard| all.merge(&lock(shard)));
        let window_s = self.window_length(&all).as_secs_f64();
        Ok(LoadRun {
            sessions: all.session.count(),
            messages: all.round_trip.count(),
            messages_in_all: all.messages_in_all,
            window_s,
            elapsed_s: self.elapsed(&all).as_secs_f64(),
            connect: all.connect,
            round_trip: all.round_trip,
            session: all.session,
            failures,
            first_failure,
            port_limit: PortLimit::towards(&self.plan.destinations),
        })
    }

    /// The time in which what is counted was done.
    fn window_length(&self, all: &Tally) -> Duration {
        match self.window() {
            Some((opens, closes)) => closes.min(Instant::now()).saturating_duration_since(opens),
            None => self.elapsed(all),
        }
    }

    /// The time from the first session's begin to the last one's end.
    fn elapsed(&self, all: &Tally) -> Duration {
        let (Some(start), Some(end)) = (self.start.get(), all.last_end) else { return Duration::ZERO };
        end.saturating_duration_since(*start)
    }

    /// When the window of a timed load opens and closes; `None` when it is counted, or has not begun.
    fn window(&self) -> Option<(Instant, Instant)> {
        let Extent::Timed { ramp_ms, window_ms } = self.plan.extent else { return None };
        let opens = *self.start.get()? + Duration::from_millis(ramp_ms);
        Some((opens, opens + Duration::from_millis(window_ms)))
    }

    /// Takes the next session off the common count: its number, from 1, or `None` when the load is over.
    fn take_session(&self, now: Instant) -> Option<u64> {
        self.start.get_or_init(|| now);
        if self.abandoned.load(Relaxed) {
            return None;
        }
        let most = match self.plan.extent {
            Extent::Sessions(sessions) => sessions,
            Extent::Timed { .. } if self.window().is_some_and(|(_, closes)| now >= closes) => 0,
            Extent::Timed { .. } => u64::MAX,
        };
        // Past the end the count must stay where it is, or it would say that more was begun than was.
        let taken = self.begun.fetch_update(Relaxed, Relaxed, |begun| (begun < most).then_some(begun + 1));
        taken.ok().map(|begun| begun + 1)
    }

    /// Where the session of this number connects to.
    fn destination(&self, session: u64) -> SocketAddr {
        let count = self.plan.destinations.len() as u64;
        self.plan.destinations[(session % count) as usize]
    }

    /// Takes note of a session that failed, and gives up when the peer is plainly broken.
    fn failed(&self, error: SessionError) {
        let nothing_worked = self.progress().messages == 0;
        let mut failures = lock(&self.failures);
        failures.count += 1;
        failures.first.get_or_insert_with(|| error.to_string());
        match error {
            SessionError::Protocol(wrong) if wrong.is_wrong_reply() => {
                failures.wrong_reply.get_or_insert(wrong);
            }
            _ => {}
        }
        if failures.wrong_reply.is_some() || nothing_worked || failures.count >= MOST_FAILURES {
            self.abandoned.store(true, Relaxed);
        }
    }
}

impl Tally {
    fn merge(&mut self, other: &Self) {
        self.connect.merge(&other.connect);
        self.round_trip.merge(&other.round_trip);
        self.session.merge(&other.session);
        self.messages_in_all += other.messages_in_all;
        self.last_end = self.last_end.max(other.last_end);
    }
}

/// Locks, also when a thread panicked while it held the lock: every update leaves the value whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
