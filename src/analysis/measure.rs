//! What is compared, and its value in a round, in a slice, or in several rounds merged.

use serde::Serialize;

use super::merged::{Counts, Figures};
use crate::stats::Better;

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
                row("busiest worker ÷ mean worker", "", Less, Round(|round| round.worker_spread))
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
