//! What is compared, and its value in a round or in several merged.

use std::ops::AddAssign;

use serde::Serialize;

use crate::{load::LatencyHistogram, record::RoundLine, stats::Better};

/// Something that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Messages answered per second.
    Throughput,
    /// Half of the round trips do not exceed it.
    RoundTripP50,
    /// 90% do not.
    RoundTripP90,
    /// 99% do not.
    RoundTripP99,
    /// Half of the sessions do not exceed it.
    SessionP50,
    /// Half of the connects do not exceed it.
    ConnectP50,
    /// The server's CPU time per message.
    ServerCpu,
    /// The client's CPU time per message.
    ClientCpu,
    /// The server's context switches per message.
    ServerSwitches,
    /// What an idle connection costs the server's memory; once an epoch.
    IdleMemory,
}

impl Measure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Throughput,
        Self::RoundTripP50,
        Self::RoundTripP90,
        Self::RoundTripP99,
        Self::SessionP50,
        Self::ConnectP50,
        Self::ServerCpu,
        Self::ClientCpu,
        Self::ServerSwitches,
        Self::IdleMemory,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "messages/s",
            Self::RoundTripP50 => "round trip p50",
            Self::RoundTripP90 => "round trip p90",
            Self::RoundTripP99 => "round trip p99",
            Self::SessionP50 => "session p50",
            Self::ConnectP50 => "connect p50",
            Self::ServerCpu => "server CPU per message",
            Self::ClientCpu => "client CPU per message",
            Self::ServerSwitches => "server switches per message",
            Self::IdleMemory => "memory per idle connection",
        }
    }

    /// Its unit; empty for a plain number.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Throughput => "1/s",
            Self::ServerSwitches => "",
            Self::IdleMemory => "B",
            _ => "µs",
        }
    }

    /// Which way is the better.
    pub fn better(self) -> Better {
        if self == Self::Throughput { Better::More } else { Better::Less }
    }

    /// Its value in rounds of these figures; NaN for what no round tells.
    pub(super) fn of(self, round: &Figures) -> f64 {
        let counts = &round.counts;
        let per_message = |value: f64| value / counts.messages_in_all.max(1.0);
        match self {
            Self::Throughput => counts.messages / counts.window_s,
            Self::RoundTripP50 => round.round_trip[0],
            Self::RoundTripP90 => round.round_trip[1],
            Self::RoundTripP99 => round.round_trip[2],
            Self::SessionP50 => round.session_p50,
            Self::ConnectP50 => round.connect_p50,
            Self::ServerCpu => per_message(counts.server_cpu_us),
            Self::ClientCpu => per_message(counts.client_cpu_us),
            Self::ServerSwitches => per_message(counts.server_switches),
            Self::IdleMemory => f64::NAN,
        }
    }
}

/// What is counted in a round, or in several.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    messages: f64,
    messages_in_all: f64,
    window_s: f64,
    server_cpu_us: f64,
    client_cpu_us: f64,
    server_switches: f64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.messages_in_all += more.messages_in_all;
        self.window_s += more.window_s;
        self.server_cpu_us += more.server_cpu_us;
        self.client_cpu_us += more.client_cpu_us;
        self.server_switches += more.server_switches;
    }
}

/// The figures of a round, or of several merged; times in µs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    counts: Counts,
    /// p50, p90 and p99.
    round_trip: [f64; 3],
    session_p50: f64,
    connect_p50: f64,
}

/// A round, or several merged: counts added up, and one histogram of each kind.
#[derive(Default)]
pub(super) struct Merged {
    counts: Counts,
    round_trip: LatencyHistogram,
    session: LatencyHistogram,
    connect: LatencyHistogram,
}

impl Merged {
    /// Takes a round.
    ///
    /// # Errors
    /// When a histogram cannot be decoded.
    pub(super) fn of(round: &RoundLine) -> anyhow::Result<Self> {
        let RoundLine { run, server, client, .. } = round;
        let counts = Counts {
            messages: run.messages as f64,
            messages_in_all: run.messages_in_all as f64,
            window_s: run.window_ns as f64 / 1e9,
            server_cpu_us: server.cpu_s() * 1e6,
            client_cpu_us: client.cpu_s() * 1e6,
            server_switches: (server.voluntary_switches + server.involuntary_switches) as f64,
        };
        Ok(Self {
            counts,
            round_trip: run.round_trip.decode()?,
            session: run.session.decode()?,
            connect: run.connect.decode()?,
        })
    }

    /// Adds what was measured in other rounds.
    pub(super) fn merge(&mut self, other: &Self) {
        self.counts += other.counts;
        self.round_trip.merge(&other.round_trip);
        self.session.merge(&other.session);
        self.connect.merge(&other.connect);
    }

    /// What all of them together say.
    pub(super) fn figures(&self) -> Figures {
        let us = |histogram: &LatencyHistogram, share| match histogram.count() {
            // Nothing was measured, and 0 would be the best of all.
            0 => f64::NAN,
            _ => histogram.quantile(share).as_nanos() as f64 / 1e3,
        };
        Figures {
            counts: self.counts,
            round_trip: [0.5, 0.9, 0.99].map(|share| us(&self.round_trip, share)),
            session_p50: us(&self.session, 0.5),
            connect_p50: us(&self.connect, 0.5),
        }
    }

    /// The round trips.
    pub(super) fn round_trip(&self) -> &LatencyHistogram {
        &self.round_trip
    }
}
