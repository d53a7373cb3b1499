//! What rounds and slices come to: one, or several merged.

use std::ops::AddAssign;

use serde::Serialize;

use crate::{
    load::{LatencyHistogram, SESSIONS_THAT_COUNT},
    record::{Class, RoundLine},
    round::Slice,
};

/// What is counted in a round, in a slice, or in several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Replies within the window.
    pub(super) messages: f64,
    pub(super) window_s: f64,
    /// Replies that the CPU time was spent on.
    pub(super) messages_paid: f64,
    pub(super) server_cpu_us: f64,
    pub(super) client_cpu_us: f64,
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
    pub(super) counts: Counts,
    /// p50, p90 and p99.
    pub(super) round_trip: [f64; 3],
    /// p50 and p99.
    pub(super) session: [f64; 2],
    pub(super) connect_p50: f64,
    pub(super) close_p50: f64,
    /// For each message.
    pub(super) server_switches: f64,
    /// p50, p99 and p99.9; infinite where that many were not answered.
    pub(super) response: [f64; 3],
    /// p50 and p99.
    pub(super) timer_late: [f64; 2],
    /// In MiB.
    pub(super) server_memory: f64,
    pub(super) worker_spread: f64,
    pub(super) capacity: f64,
}

impl Figures {
    /// What the rounds of an epoch, at all rates, come to together.
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
            // One worker is always as busy as the mean worker.
            worker_spread: round
                .worker_spread
                .filter(|_| round.place.class != Class::Single)
                .map_or((0.0, 0.0), |spread| (spread, 1.0)),
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
