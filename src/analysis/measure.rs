//! What is compared, and its value in a round, in a slice, or in several rounds merged.

use std::ops::AddAssign;

use serde::Serialize;

use crate::{
    load::{LatencyHistogram, SESSIONS_THAT_COUNT},
    record::RoundLine,
    round::Slice,
    stats::Better,
};

/// Something that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Messages answered per second.
    Throughput,
    /// Half of the sessions do not exceed it.
    SessionP50,
    /// 99% do not.
    SessionP99,
    /// Half of the round trips do not exceed it.
    RoundTripP50,
    /// 90% do not.
    RoundTripP90,
    /// 99% do not.
    RoundTripP99,
    /// Half of the connects do not exceed it.
    ConnectP50,
    /// Half of the closes do not exceed it.
    CloseP50,
    /// The server's CPU time per message.
    ServerCpu,
    /// The client's CPU time per message.
    ClientCpu,
    /// The server's context switches per message.
    ServerSwitches,
    /// What an idle connection costs the server's memory.
    IdleMemory,
    /// The highest rate at which the objectives are met.
    Capacity,
    /// Half of the messages are answered within it, counted from when each was to be sent.
    ResponseP50,
    /// 99% are.
    ResponseP99,
    /// 99.9% are.
    ResponseP999,
    /// Half of the timers fire no later than this after their time.
    TimerP50,
    /// 99% do.
    TimerP99,
    /// What the server's process has in memory behind a round.
    ServerMemory,
    /// How unevenly messages spread over the server's workers.
    WorkerSpread,
}

/// How a measure is called, and where it comes from.
struct Row {
    name: &'static str,
    unit: &'static str,
    better: Better,
    source: Source,
}

/// Where the value of a measure comes from.
enum Source {
    /// Counts, of which each slice has its own.
    Counts(fn(&Counts) -> f64),
    /// A round's histograms.
    Round(fn(&Figures) -> f64),
    /// A line of its own.
    Idle,
}

impl Measure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 20] = [
        Self::Throughput,
        Self::SessionP50,
        Self::SessionP99,
        Self::RoundTripP50,
        Self::RoundTripP90,
        Self::RoundTripP99,
        Self::ConnectP50,
        Self::CloseP50,
        Self::ServerCpu,
        Self::ClientCpu,
        Self::ServerSwitches,
        Self::IdleMemory,
        Self::Capacity,
        Self::ResponseP50,
        Self::ResponseP99,
        Self::ResponseP999,
        Self::TimerP50,
        Self::TimerP99,
        Self::ServerMemory,
        Self::WorkerSpread,
    ];

    fn row(self) -> Row {
        use Better::{Less, More};
        use Source::{Counts, Idle, Round};
        let row = |name, unit, better, source| Row { name, unit, better, source };
        let us = |name, of| row(name, "µs", Less, Round(of));
        match self {
            Self::Throughput => {
                row("messages/s", "1/s", More, Counts(|counts| counts.messages / counts.window_s))
            }
            Self::SessionP50 => us("session p50", |round| round.session[0]),
            Self::SessionP99 => us("session p99", |round| round.session[1]),
            Self::RoundTripP50 => us("round trip p50", |round| round.round_trip[0]),
            Self::RoundTripP90 => us("round trip p90", |round| round.round_trip[1]),
            Self::RoundTripP99 => us("round trip p99", |round| round.round_trip[2]),
            Self::ConnectP50 => us("connect p50", |round| round.connect_p50),
            Self::CloseP50 => us("close p50", |round| round.close_p50),
            Self::ServerCpu => row(
                "server CPU per message",
                "µs",
                Less,
                Counts(|counts| counts.server_cpu_us / counts.messages_paid.max(1.0)),
            ),
            Self::ClientCpu => row(
                "client CPU per message",
                "µs",
                Less,
                Counts(|counts| counts.client_cpu_us / counts.messages_paid.max(1.0)),
            ),
            Self::ServerSwitches => {
                row("server switches per message", "", Less, Round(|round| round.server_switches))
            }
            Self::IdleMemory => row("memory per idle connection", "B", Less, Idle),
            Self::Capacity => row("capacity", "1/s", More, Round(|round| round.capacity)),
            Self::ResponseP50 => us("response p50", |round| round.response[0]),
            Self::ResponseP99 => us("response p99", |round| round.response[1]),
            Self::ResponseP999 => us("response p99.9", |round| round.response[2]),
            Self::TimerP50 => us("timer late p50", |round| round.timer_late[0]),
            Self::TimerP99 => us("timer late p99", |round| round.timer_late[1]),
            Self::ServerMemory => row("server memory", "MiB", Less, Round(|round| round.server_memory)),
            Self::WorkerSpread => {
                row("busiest worker to the mean", "", Less, Round(|round| round.worker_spread))
            }
        }
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its unit; empty for a plain number.
    pub fn unit(self) -> &'static str {
        self.row().unit
    }

    /// Which way is the better.
    pub fn better(self) -> Better {
        self.row().better
    }

    /// Whether it is of sessions, and means something only where a window holds many of each connection.
    pub fn is_of_sessions(self) -> bool {
        matches!(self, Self::SessionP50 | Self::SessionP99 | Self::ConnectP50 | Self::CloseP50)
    }

    /// Its value in a round, or in several merged; NaN for what was not measured.
    pub(super) fn of_round(self, round: &Figures) -> f64 {
        match self.row().source {
            Source::Counts(of) => of(&round.counts),
            Source::Round(of) => of(round),
            Source::Idle => f64::NAN,
        }
    }

    /// Its value in a slice; `None` for what only a whole round tells.
    pub(super) fn of_slice(self, slice: &Counts) -> Option<f64> {
        match self.row().source {
            Source::Counts(of) => Some(of(slice)),
            Source::Round(_) | Source::Idle => None,
        }
    }
}

/// What is counted in a round, in a slice, or in several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Replies within the window.
    messages: f64,
    window_s: f64,
    /// Replies that the CPU time was spent on.
    messages_paid: f64,
    server_cpu_us: f64,
    client_cpu_us: f64,
}

impl Counts {
    /// Takes a slice.
    pub(super) fn of_slice(slice: &Slice) -> Self {
        Self {
            messages: slice.messages as f64,
            window_s: slice.window_ns as f64 / 1e9,
            messages_paid: slice.messages as f64,
            server_cpu_us: slice.server_cpu_ns as f64 / 1e3,
            client_cpu_us: slice.client_cpu_ns as f64 / 1e3,
        }
    }

    /// Takes a round: the sum of its slices that count, where it has any.
    fn of_round(round: &RoundLine) -> Self {
        if !round.slices.is_empty() {
            let mut all = Self::default();
            let counting = round.slices.iter().filter(|slice| slice.excluded.is_none());
            counting.for_each(|slice| all += Self::of_slice(slice));
            return all;
        }
        let RoundLine { run, server, client, .. } = round;
        Self {
            messages: run.messages as f64,
            window_s: run.window_ns as f64 / 1e9,
            messages_paid: run.messages_in_all as f64,
            server_cpu_us: server.cpu_s() * 1e6,
            // A pacer spins on all of its processor, whatever it sends.
            client_cpu_us: if round.open.is_some() { f64::NAN } else { client.cpu_s() * 1e6 },
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.window_s += more.window_s;
        self.messages_paid += more.messages_paid;
        self.server_cpu_us += more.server_cpu_us;
        self.client_cpu_us += more.client_cpu_us;
    }
}

/// The figures of a round, or of several merged; times in µs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    counts: Counts,
    /// p50, p90 and p99.
    round_trip: [f64; 3],
    /// p50 and p99.
    session: [f64; 2],
    connect_p50: f64,
    close_p50: f64,
    /// For each message.
    server_switches: f64,
    /// p50, p99 and p99.9; infinite where that many were not answered.
    response: [f64; 3],
    /// p50 and p99.
    timer_late: [f64; 2],
    /// In MiB.
    server_memory: f64,
    worker_spread: f64,
    capacity: f64,
}

impl Figures {
    /// What the rounds of a block, one for each rate, come to together.
    pub(super) fn of_capacity(capacity: f64) -> Self {
        let counts = Counts { server_cpu_us: f64::NAN, client_cpu_us: f64::NAN, ..Counts::default() };
        Self {
            counts,
            round_trip: [f64::NAN; 3],
            session: [f64::NAN; 2],
            connect_p50: f64::NAN,
            close_p50: f64::NAN,
            server_switches: f64::NAN,
            response: [f64::NAN; 3],
            timer_late: [f64::NAN; 2],
            server_memory: f64::NAN,
            worker_spread: f64::NAN,
            capacity,
        }
    }
}

/// A round, or several merged: counts added up, and one histogram of each kind.
#[derive(Default)]
pub(super) struct Merged {
    counts: Counts,
    round_trip: LatencyHistogram,
    session: LatencyHistogram,
    connect: LatencyHistogram,
    close: LatencyHistogram,
    unfinished: LatencyHistogram,
    /// Context switches, and the messages that they were counted over.
    switches: (f64, f64),
    response: LatencyHistogram,
    /// Messages that were to be sent and have no reply: later than every other.
    unanswered: u64,
    /// The pacer's own, also of what came due while it stood still.
    lateness: LatencyHistogram,
    timer_late: LatencyHistogram,
    /// The largest of any round, in MiB; 0 where it was not told.
    server_memory: f64,
    /// The sum of what was told, and of how many rounds that is.
    worker_spread: (f64, f64),
}

impl Merged {
    /// Takes a round of so many connections, of whose sessions something is said if there were enough.
    ///
    /// # Errors
    /// When a histogram cannot be decoded.
    pub(super) fn of(round: &RoundLine, connections: usize, counts_sessions: bool) -> anyhow::Result<Self> {
        let RoundLine { run, server, .. } = round;
        let counted = counts_sessions && run.sessions >= SESSIONS_THAT_COUNT * connections as u64;
        let of_sessions =
            |histogram: LatencyHistogram| if counted { histogram } else { LatencyHistogram::new() };
        let in_all = run.messages_in_all as f64;
        let switches = match round.server_switches_per_message {
            Some(each) => (each * in_all, in_all),
            None if round.slices.is_empty() => {
                ((server.voluntary_switches + server.involuntary_switches) as f64, in_all)
            }
            // Each stop of a slice is a switch too.
            None => (0.0, 0.0),
        };
        let mut lateness = LatencyHistogram::new();
        for told in round.open.iter().flat_map(|open| [&open.lateness, &open.stalled]) {
            lateness.merge(&told.decode()?);
        }
        Ok(Self {
            counts: Counts::of_round(round),
            round_trip: run.round_trip.decode()?,
            session: of_sessions(run.session.decode()?),
            connect: of_sessions(run.connect.decode()?),
            close: of_sessions(run.close.decode()?),
            unfinished: run.unfinished.decode()?,
            switches,
            response: round.open.as_ref().map(|open| open.response.decode()).transpose()?.unwrap_or_default(),
            unanswered: round.open.as_ref().map_or(0, |open| open.unfinished),
            lateness,
            timer_late: round.timer_lateness.decode()?,
            // In a closed loop it is as large as what happened to be in the air.
            server_memory: round.open.as_ref().and(server.resident_bytes).unwrap_or(0) as f64
                / (1 << 20) as f64,
            worker_spread: round.worker_spread.map_or((0.0, 0.0), |spread| (spread, 1.0)),
        })
    }

    /// Adds what was measured in other rounds.
    pub(super) fn merge(&mut self, other: &Self) {
        self.counts += other.counts;
        self.round_trip.merge(&other.round_trip);
        self.session.merge(&other.session);
        self.connect.merge(&other.connect);
        self.close.merge(&other.close);
        self.unfinished.merge(&other.unfinished);
        self.switches.0 += other.switches.0;
        self.switches.1 += other.switches.1;
        self.response.merge(&other.response);
        self.unanswered = self.unanswered.saturating_add(other.unanswered);
        self.lateness.merge(&other.lateness);
        self.timer_late.merge(&other.timer_late);
        self.server_memory = self.server_memory.max(other.server_memory);
        self.worker_spread.0 += other.worker_spread.0;
        self.worker_spread.1 += other.worker_spread.1;
    }

    /// What all of them together say.
    pub(super) fn figures(&self) -> Figures {
        let us = |histogram: &LatencyHistogram, share| match histogram.count() {
            // Nothing was measured, and 0 would be the best of all.
            0 => f64::NAN,
            _ => histogram.quantile(share).as_nanos() as f64 / 1e3,
        };
        let (switches, over) = self.switches;
        Figures {
            counts: self.counts,
            round_trip: [0.5, 0.9, 0.99].map(|share| us(&self.round_trip, share)),
            session: [0.5, 0.99].map(|share| us(&self.session, share)),
            connect_p50: us(&self.connect, 0.5),
            close_p50: us(&self.close, 0.5),
            server_switches: if over > 0.0 { switches / over } else { f64::NAN },
            response: [0.5, 0.99, 0.999].map(|share| self.response_s(share) * 1e6),
            timer_late: [0.5, 0.99].map(|share| us(&self.timer_late, share)),
            server_memory: if self.server_memory > 0.0 { self.server_memory } else { f64::NAN },
            worker_spread: self.worker_spread.0 / self.worker_spread.1,
            capacity: f64::NAN,
        }
    }

    /// The response time that this share of all messages does not exceed, in seconds: infinite where that is one without a
    /// reply, and NaN where none was to be sent.
    pub(super) fn response_s(&self, share: f64) -> f64 {
        match self.response.count().saturating_add(self.unanswered) {
            0 => f64::NAN,
            _ => self.response.quantile_with_missing(share, self.unanswered),
        }
    }

    /// The round trips.
    pub(super) fn round_trip(&self) -> &LatencyHistogram {
        &self.round_trip
    }

    /// Where the time of a session goes, on average, and the longest that anything took.
    pub(super) fn session_time(&self, messages: u32) -> Option<SessionTime> {
        let us = |histogram: &LatencyHistogram| histogram.mean_s() * 1e6;
        (self.connect.count() > 0 && self.close.count() > 0).then(|| SessionTime {
            connect_us: us(&self.connect),
            round_trips_us: us(&self.round_trip) * f64::from(messages),
            close_us: us(&self.close),
        })
    }

    /// Where the time of a message goes on average, at a rate, of those that were answered.
    pub(super) fn response_time(&self) -> Option<ResponseTime> {
        let us = |histogram: &LatencyHistogram| histogram.mean_s() * 1e6;
        let [late_us, service_us] = [us(&self.lateness), us(&self.round_trip)];
        (self.response.count() > 0).then(|| ResponseTime {
            late_us,
            // What was counted of unanswered ones too is a little more or less than what was waited.
            queue_us: (us(&self.response) - service_us - late_us).max(0.0),
            service_us,
        })
    }

    /// The longest round trip, in µs: also of one that had not ended when the window closed.
    pub(super) fn longest_us(&self) -> f64 {
        self.round_trip.max_s().max(self.unfinished.max_s()) * 1e6
    }
}

/// Where the time of a session goes, on average, in µs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SessionTime {
    /// Until the connection stands.
    pub connect_us: f64,
    /// For all its replies, one after the other.
    pub round_trips_us: f64,
    /// Until the connection is closed, once the last reply is there.
    pub close_us: f64,
}

/// Where the time of a message goes at a rate, on average, in µs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ResponseTime {
    /// Until the pacer sent it, where nothing else was in the way.
    pub late_us: f64,
    /// Behind the messages before it on its connection.
    pub queue_us: f64,
    /// From when it was sent to the last byte of its reply.
    pub service_us: f64,
}
