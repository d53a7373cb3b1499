//! What to drive and what came of it ([`LoadRun`]): a closed loop ([`LoadPlan`]), counted, timed or in slices; or messages at a
//! rate ([`OpenPlan`]), which [`crate::pacer`] drives.
//!
//! A load is a number of connection slots, each running sessions back to back. A backend's client takes the
//! [`Slot`]s of a [`Load`] and runs each as its runtime would: ask [`Slot::next_session`] where to connect, report
//! [`Slot::connected`], drive the slot as an [`End`](crate::protocol::End), report [`Slot::ended`], and again. Slots take sessions from
//! one common count, so a slow one is never waited for with work that another could do.
//!
//! Absent from here: sockets, and any loop of a backend. Memory does not grow with the number of messages.

mod arrivals;
mod board;
mod histogram;
mod objective;
mod run;
mod slot;
mod tally;
mod workload;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    net::PortLimit,
    protocol::{ProtocolError, SessionError, Shape},
    seeded::mix,
};

pub use arrivals::{Arrival, Offered, OpenPlan, Part, PlanTooLong, Process, SHARES, Skew, check_plan};
pub use board::{Board, Done, State};
pub use histogram::{LatencyHistogram, Summary};
pub use objective::{Objective, Quantile};
pub use run::{LoadRun, OpenRun};
pub use slot::Slot;
use tally::{Tallies, Tally, lock};
pub use workload::{SESSIONS_THAT_COUNT, UnknownWorkload, Workload};

/// After so many failed sessions the peer may be taken for broken.
const MOST_FAILURES: u64 = 100;

/// How many sessions there must be for each that failed, for a peer with many failures to be taken for whole.
const FOR_EACH_FAILURE: u64 = 100;

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
    /// What decides at which message each slot begins its first session, unless sessions are counted: slots that all
    /// begin with the first go on in step for a long time, and no window is steady.
    #[serde(default)]
    pub seed: u64,
}

impl LoadPlan {
    /// The message, from 1, at which a slot begins its first session.
    fn first_message(&self, slot: usize) -> u32 {
        match self.extent {
            Extent::Sessions(_) => 1,
            Extent::Timed { .. } | Extent::Sliced { .. } => {
                let drawn = mix(mix(self.seed) ^ slot as u64);
                1 + (drawn % u64::from(self.shape.messages())) as u32
            }
        }
    }
}

/// When a load is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// When the one who asks says so on the page that both share. The process is stopped and continued meanwhile, and
    /// what ends while the window is open counts, in active time: see [`Board`].
    Sliced {
        /// Where the page is.
        board: PathBuf,
    },
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
    /// The page of a sliced load.
    board: Option<Board>,
    /// Sessions begun so far.
    begun: AtomicU64,
    /// When the first slot asked for work. Everything counts from there.
    start: std::sync::OnceLock<Instant>,
    tallies: Tallies,
    failures: Mutex<Failures>,
    abandoned: AtomicBool,
    watcher: Option<Box<Watcher>>,
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
    ///
    /// # Errors
    /// When the page of a sliced load cannot be opened.
    pub fn new(plan: LoadPlan) -> io::Result<Arc<Self>> {
        Self::prepare(plan, None)
    }

    /// Prepares a load that tells `watcher` of every step; for showing sessions, not for measuring them.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn watched(plan: LoadPlan, watcher: Box<Watcher>) -> io::Result<Arc<Self>> {
        Self::prepare(plan, Some(watcher))
    }

    fn prepare(plan: LoadPlan, watcher: Option<Box<Watcher>>) -> io::Result<Arc<Self>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = threads.max(plan.workers.unwrap_or(1)).min(plan.connections.max(1));
        let board = match &plan.extent {
            Extent::Sliced { board } => Some(Board::open(board).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot share {}: {error}", board.display()))
            })?),
            Extent::Sessions(_) | Extent::Timed { .. } => None,
        };
        Ok(Arc::new(Self {
            plan,
            board,
            begun: AtomicU64::new(0),
            start: std::sync::OnceLock::new(),
            tallies: Tallies::new(workers),
            failures: Mutex::default(),
            abandoned: AtomicBool::new(false),
            watcher,
        }))
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
        for tally in self.tallies.all() {
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
        let all = self.tallies.merged();
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
            close: all.close,
            unfinished: all.unfinished,
            failures,
            first_failure,
            port_limit: PortLimit::towards(&self.plan.destinations),
            open: None,
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

    /// Takes a reading of the clock as the time of this load: in slices, as active time.
    fn active(&self, instant: Instant) -> Instant {
        self.board.as_ref().map_or(instant, |board| board.active(instant))
    }

    /// When the window of a timed load opens and closes; `None` for another, or before it has begun.
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
            Extent::Sliced { .. } if self.board.as_ref().is_some_and(|it| it.state() == State::Over) => 0,
            Extent::Timed { .. } | Extent::Sliced { .. } => u64::MAX,
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
        let begun = self.begun.load(Relaxed);
        let is_broken = failures.count >= MOST_FAILURES && failures.count * FOR_EACH_FAILURE >= begun;
        if failures.wrong_reply.is_some() || nothing_worked || is_broken {
            self.abandoned.store(true, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
