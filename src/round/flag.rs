//! What spoils a measured round, and how that is told.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use super::{BegunApart, Round};
use crate::{
    load::{Extent, LoadRun},
    net::{KernelCounters, PortLimit},
};

/// By how much rate × mean session time may depart from the number of connections.
const LITTLE_TOLERANCE: f64 = 0.05;

/// By how much it may in slices. The connections of a strategy that accepts many at once go in step, and windows of 20 ms hold
/// two or three of their sessions by chance: of 16 rounds of `monoio`, of sixteen slices each, two were 5.3% off, and of five
/// whole rounds of 2 s none by 0.1% (METHODOLOGY.md, "Steady state"). A rest that leaked into latencies, of 60 ms and more, would be 300% and more.
const LITTLE_TOLERANCE_SLICED: f64 = 0.10;

/// Replies below which Little's law is not told from the grain of the count: those at the two ends of the window, of
/// each connection one, are counted by chance.
const LITTLE_REPLIES: u64 = 20;

/// The share of the processors that others may have.
const MOST_OTHERS: f64 = 0.05;

/// The share of the processors' time for which a quota may make them stand still.
const MOST_THROTTLED: f64 = 0.01;

/// The share of the ramp by which clients may begin apart.
const MOST_APART: f64 = 0.5;

/// The share of its processors from which on a client is taken for the bottleneck.
const CLIENT_BUSY: f64 = 0.95;

/// The share of its processors up to which a server could plainly have done more.
const SERVER_IDLE: f64 = 0.70;

/// The share of a window for which a pacer may stand still.
const MOST_STILL: f64 = 0.05;

/// The share by which replies may stay behind what was offered before the server is overloaded.
const KEPT_UP: f64 = 0.01;

/// How long a round must be for shares of CPU time to mean something, in seconds.
const SHARE_S: f64 = 0.2;

/// Something that a reader must know before believing a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Flag {
    /// The build neither verifies nor times replies.
    Blind,
    /// What is told of it can't be.
    Untrue(String),
    /// The platform lacks something, and this is in its place.
    Fallback(String),
    /// The port table may have decided the rate.
    PortLimited {
        /// Sessions per second.
        rate: f64,
        /// What the table allows.
        limit: PortLimit,
    },
    /// The kernel dropped or sent again.
    Kernel(KernelCounters),
    /// Rate × mean time is not the number of connections: the clock or the count is wrong, or nothing was steady.
    Little {
        /// By which share they differ.
        departure: f64,
    },
    /// Somebody else had the processors: another process, or another machine of the hypervisor's.
    Others {
        /// Which share of them.
        share: f64,
    },
    /// A quota of processor time was used up, and all stood still until its next period.
    Throttled {
        /// For which share of the processors' time.
        share: f64,
        /// Whether slices tell which of them it hit.
        is_sliced: bool,
    },
    /// Several clients began further apart than the ramp bears.
    BegunApart(BegunApart),
    /// The client was the bottleneck: the server could have done more.
    ClientBound {
        /// The share of its processors that the client used.
        client: f64,
        /// The share of its processors that the server used.
        server: f64,
    },
    /// The pacer itself was too late: the round says nothing of the server.
    PacerLate {
        /// p99 of its lateness, in microseconds.
        p99_us: f64,
        /// What was allowed, in microseconds.
        limit_us: f64,
    },
    /// The machine had taken the pacer's processor.
    PacerStoodStill {
        /// For which share of the window.
        share: f64,
    },
    /// The server did not keep up with what was offered. That is an answer, and the round counts.
    Overloaded {
        /// Replies per second.
        achieved: f64,
        /// Messages per second that were to be sent.
        offered: f64,
    },
}

impl Flag {
    /// The name of [`Self::PacerLate`].
    pub const PACER_LATE: &'static str = "pacer late";

    /// The name of [`Self::PacerStoodStill`].
    pub const PACER_STOOD_STILL: &'static str = "pacer stood still";

    /// The name of [`Self::Others`].
    pub const OTHERS: &'static str = "others";

    /// Whether what is called so may be the machine's doing in that moment, so that the same round a moment later is without.
    pub fn passes(name: &str) -> bool {
        [Self::PACER_LATE, Self::PACER_STOOD_STILL, Self::OTHERS].contains(&name)
    }

    /// Whether the round must not count.
    pub fn excludes(&self) -> bool {
        match self {
            Self::Blind
            | Self::Untrue(_)
            | Self::PortLimited { .. }
            | Self::Kernel(_)
            | Self::Little { .. }
            | Self::Others { .. }
            | Self::BegunApart(_)
            | Self::PacerLate { .. }
            | Self::PacerStoodStill { .. }
            | Self::Throttled { is_sliced: false, .. } => true,
            Self::Fallback(_)
            | Self::ClientBound { .. }
            | Self::Overloaded { .. }
            | Self::Throttled { is_sliced: true, .. } => false,
        }
    }

    /// What it is called, without its figures.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Untrue(_) => "untrue",
            Self::Fallback(_) => "fallback",
            Self::PortLimited { .. } => "port-limited",
            Self::Kernel(_) => "kernel",
            Self::Little { .. } => "Little's law",
            Self::Others { .. } => Self::OTHERS,
            Self::Throttled { .. } => "throttled",
            Self::BegunApart(_) => "begun apart",
            Self::ClientBound { .. } => "client-bound",
            Self::PacerLate { .. } => Self::PACER_LATE,
            Self::PacerStoodStill { .. } => Self::PACER_STOOD_STILL,
            Self::Overloaded { .. } => "overloaded",
        }
    }
}

/// Why a round or slice was excluded, in words, by the name that a record has for it.
pub fn reason_words(reason: &str) -> &str {
    match reason {
        "kernel" => "the kernel’s counters moved: drops, timeouts, or segments sent again",
        "port-limited" => "the rate was near what the ports allow",
        "Little's law" => {
            "the counts contradict each other: by Little’s law, rate × latency is the number of connections, and here it is not"
        }
        "others" => {
            "other processes, or other machines of the hypervisor’s, had more than 5% of the processors"
        }
        "begun apart" => "several clients began further apart than half the ramp",
        "throttled" => "a CPU quota stopped everything for a while",
        "late" => {
            "the machine stood still: the slice took more than twice as long as planned, or its counters were read too far apart"
        }
        "ran while it was to rest" => "it ran while it was meant to be stopped: another program continued it",
        "pacer late" => "the pacer sent one message in a hundred later than an objective bears",
        "pacer stood still" => "the machine had taken the pacer’s processor",
        "blind" => "replies were not verified",
        "untrue" => "what was told of it does not fit what the server, the kernel or the clock saw",
        other => other,
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::Blind => f.write_str("replies were neither verified nor timed"),
            Self::Untrue(what) | Self::Fallback(what) => f.write_str(what),
            Self::PortLimited { rate, limit } => {
                let most = limit.sessions_per_second();
                let PortLimit { ports, destinations, .. } = limit;
                write!(f, "{rate:.0} sessions/s; {ports} ports, {destinations} destinations allow {most:.0}")
            }
            Self::Kernel(moved) => write!(
                f,
                "{} listen overflows, {} listen drops, {} timeouts, {} segments sent again",
                moved.listen_overflows, moved.listen_drops, moved.tcp_timeouts, moved.retransmitted_segments
            ),
            Self::Little { departure } => {
                write!(f, "rate × time is {:+.1}% off the number of connections", departure * 100.0)
            }
            Self::Others { share } => write!(f, "others had {:.1}% of the processors", share * 100.0),
            Self::BegunApart(BegunApart { us, within_us }) => {
                write!(f, "clients began {:.1} ms apart, known within {:.1} ms", us / 1e3, within_us / 1e3)
            }
            Self::Throttled { share, .. } => {
                write!(
                    f,
                    "a CPU quota was used up: processors stood still for {:.1}% of their time",
                    share * 100.0
                )
            }
            Self::ClientBound { client, server } => write!(
                f,
                "client at {:.0}% of its processors, server at {:.0}%: it could have done more",
                client * 100.0,
                server * 100.0
            ),
            Self::PacerLate { p99_us, limit_us } => {
                write!(
                    f,
                    "one message in a hundred was sent {p99_us:.0} µs too late or more; {limit_us:.0} is the most"
                )
            }
            Self::PacerStoodStill { share } => {
                write!(f, "the machine had taken its processor for {:.1}% of the window", share * 100.0)
            }
            Self::Overloaded { achieved, offered } => {
                write!(f, "{achieved:.0} of {offered:.0} messages/s were answered in time")
            }
        }
    }
}

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Looks for what spoils a load of sessions of so many messages, as far as its client can see.
pub fn load_flags(run: &LoadRun, connections: usize, messages: u32, extent: &Extent) -> Vec<Flag> {
    let mut flags = Vec::new();
    if cfg!(feature = "blind") {
        flags.push(Flag::Blind);
    }
    let rate = run.sessions_per_second();
    if run.port_limit.is_near(rate) {
        flags.push(Flag::PortLimited { rate, limit: run.port_limit });
    }
    if run.open.is_none() {
        flags.extend(little(run, connections, messages, extent));
    }
    flags
}

/// Looks for what spoils a round at a rate, and whether the server kept up.
fn paced_flags(round: &Round) -> Vec<Flag> {
    let (Some(open), Some(offer)) = (&round.run.open, round.offer) else { return Vec::new() };
    let mut flags = Vec::new();
    let (p99, limit) = (open.lateness.quantile(0.99), offer.lateness_limit);
    if p99 > limit {
        flags.push(Flag::PacerLate { p99_us: us(p99), limit_us: us(limit) });
    }
    let share = open.stood_still_ns as f64 / (offer.window_ms as f64 * 1e6);
    if share > MOST_STILL {
        flags.push(Flag::PacerStoodStill { share });
    }
    // Of the plan that was drawn, which has more or fewer than the rate on average.
    let offered = open.planned as f64 / round.run.window_s;
    let achieved = round.run.messages_per_second();
    if open.unfinished > 0 || achieved < offered * (1.0 - KEPT_UP) {
        flags.push(Flag::Overloaded { achieved, offered });
    }
    flags
}

fn us(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

/// Holds a load with a window to Little's law. A counted one has slots that find no more work, and departs from it
/// rightly; and in a build that times no reply there is nothing to hold.
fn little(run: &LoadRun, connections: usize, messages: u32, extent: &Extent) -> Option<Flag> {
    let tolerance = match extent {
        Extent::Sliced { .. } => LITTLE_TOLERANCE_SLICED,
        Extent::Timed { .. } | Extent::Sessions(_) => LITTLE_TOLERANCE,
    };
    let steady = !matches!(extent, Extent::Sessions(_))
        && !cfg!(feature = "blind")
        && run.messages >= LITTLE_REPLIES * connections as u64;
    let departure = run.little_departure(connections, messages);
    (steady && departure.abs() > tolerance).then_some(Flag::Little { departure })
}

/// Looks for all that spoils a round.
pub(super) fn round_flags(round: &Round) -> Vec<Flag> {
    let mut flags: Vec<Flag> = round.fallbacks.iter().cloned().map(Flag::Fallback).collect();
    flags.extend(load_flags(&round.run, round.connections, round.messages, &round.extent));
    if round.slices.is_empty() {
        // A slice has readings of its own: those of the processes span the slices of other arms too.
        flags.extend(counted(round).filter(|counters| !counters.is_quiet()).map(Flag::Kernel));
    }
    flags.extend(round.untrue.clone().map(Flag::Untrue));
    let others = round.neighbours.share().filter(|share| *share > MOST_OTHERS);
    flags.extend(others.map(|share| Flag::Others { share }));
    let throttled = round.neighbours.throttled.filter(|share| *share > MOST_THROTTLED);
    flags.extend(round.begun_apart.filter(|it| is_apart(it, &round.extent)).map(Flag::BegunApart));
    let is_sliced = !round.slices.is_empty();
    flags.extend(throttled.map(|share| Flag::Throttled { share, is_sliced }));
    flags.extend(client_bound(round));
    flags.extend(paced_flags(round));
    flags
}

/// What the kernel counted on both sides that must not happen. Where they share a namespace they see the same, and one report is
/// enough; over a link each sees its own end, and what a link drops is a part of it.
fn counted(round: &Round) -> Option<KernelCounters> {
    let mut seen = [round.server.kernel, round.client.kernel].into_iter().flatten();
    match &round.link {
        None => seen.find(|counters| !counters.is_quiet()),
        Some(link) => {
            let all = seen.reduce(|one, other| one + other)?;
            Some(if link.drops() { all.without_losses() } else { all })
        }
    }
}

/// Whether clients began so far apart, as far as that is known, that one may not have been there when the window opened.
fn is_apart(apart: &BegunApart, extent: &Extent) -> bool {
    let Extent::Timed { ramp_ms, .. } = extent else { return false };
    apart.us + apart.within_us > MOST_APART * *ramp_ms as f64 * 1e3
}

fn client_bound(round: &Round) -> Option<Flag> {
    if round.offer.is_some() {
        // A pacer spins on all of its processor; whether it kept to its plan is told by its lateness.
        return None;
    }
    let client = round.client_share()?;
    let server = round.server_share()?;
    let bound = round.run.elapsed_s >= SHARE_S && client >= CLIENT_BUSY && server < SERVER_IDLE;
    bound.then_some(Flag::ClientBound { client, server })
}

#[cfg(test)]
mod tests;
