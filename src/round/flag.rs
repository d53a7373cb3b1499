//! What spoils a measured round, and how that is told.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use super::Round;
use crate::{
    load::{Extent, LoadRun},
    net::{KernelCounters, PortLimit},
};

/// By how much rate × mean session time may depart from the number of connections.
const LITTLE_TOLERANCE: f64 = 0.05;

/// Replies below which Little's law is not told from the grain of the count: those at the two ends of the window, of
/// each connection one, are counted by chance.
const LITTLE_REPLIES: u64 = 20;

/// The share of the processors that others may have.
const MOST_OTHERS: f64 = 0.05;

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
    /// Whether the round must not count.
    pub fn excludes(&self) -> bool {
        match self {
            Self::Blind
            | Self::Untrue(_)
            | Self::PortLimited { .. }
            | Self::Kernel(_)
            | Self::Little { .. }
            | Self::Others { .. }
            | Self::PacerLate { .. }
            | Self::PacerStoodStill { .. } => true,
            Self::Fallback(_) | Self::ClientBound { .. } | Self::Overloaded { .. } => false,
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
            Self::Others { .. } => "others",
            Self::ClientBound { .. } => "client-bound",
            Self::PacerLate { .. } => "pacer late",
            Self::PacerStoodStill { .. } => "pacer stood still",
            Self::Overloaded { .. } => "overloaded",
        }
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
    let steady = !matches!(extent, Extent::Sessions(_))
        && !cfg!(feature = "blind")
        && run.messages >= LITTLE_REPLIES * connections as u64;
    let departure = run.little_departure(connections, messages);
    (steady && departure.abs() > LITTLE_TOLERANCE).then_some(Flag::Little { departure })
}

/// Looks for all that spoils a round.
pub(super) fn round_flags(round: &Round) -> Vec<Flag> {
    let mut flags: Vec<Flag> = round.fallbacks.iter().cloned().map(Flag::Fallback).collect();
    flags.extend(load_flags(&round.run, round.connections, round.messages, &round.extent));
    if round.slices.is_empty() {
        // Where both sides share a namespace they see the same counters, and one report of them is enough. A slice has
        // readings of its own: those of the processes span the slices of other arms too.
        let seen = [round.server.kernel, round.client.kernel].into_iter().flatten();
        flags.extend(seen.filter(|counters| !counters.is_quiet()).take(1).map(Flag::Kernel));
    }
    flags.extend(round.untrue.clone().map(Flag::Untrue));
    let others = round.neighbours.share().filter(|share| *share > MOST_OTHERS);
    flags.extend(others.map(|share| Flag::Others { share }));
    flags.extend(client_bound(round));
    flags.extend(paced_flags(round));
    flags
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
mod tests {
    use super::*;
    use crate::{
        agent::Cost,
        load::{LatencyHistogram, OpenRun},
        placement::{Cpus, Placement},
        round::{Neighbours, Offer},
    };

    const LIMIT: PortLimit = PortLimit { ports: 28_232, rest_s: 1.0, destinations: 64 };

    /// A second of 80,000 messages of 750 µs on 64 connections, with 300 µs to connect and 100 µs to close every
    /// eighth: Little's law holds.
    fn run() -> LoadRun {
        let of = |count: usize, micros: u64| {
            let mut histogram = LatencyHistogram::new();
            (0..count).for_each(|_| histogram.record(Duration::from_micros(micros)));
            histogram
        };
        LoadRun {
            sessions: 10_000,
            messages: 80_000,
            messages_in_all: 80_000,
            window_s: 1.0,
            elapsed_s: 1.0,
            connect: of(10_000, 300),
            round_trip: of(80_000, 750),
            session: of(10_000, 6300),
            close: of(10_000, 100),
            unfinished: LatencyHistogram::new(),
            failures: 0,
            first_failure: None,
            port_limit: LIMIT,
            open: None,
        }
    }

    fn round() -> Round {
        let cpus: Cpus = "0".parse().unwrap();
        Round {
            connections: 64,
            messages: 8,
            clients: 1,
            extent: Extent::Timed { ramp_ms: 0, window_ms: 1000 },
            server_workers: Some(1),
            client_workers: Some(1),
            placement: Placement { server: Some(cpus.clone()), client: Some(cpus) },
            run: run(),
            slices: Vec::new(),
            server_switches_per_message: None,
            offer: None,
            thread_work: None,
            untrue: None,
            neighbours: Neighbours::default(),
            server: Cost { user_s: 0.3, kernel: Some(KernelCounters::default()), ..Cost::default() },
            client: Cost { user_s: 0.6, kernel: Some(KernelCounters::default()), ..Cost::default() },
            fallbacks: Vec::new(),
        }
    }

    fn names(round: &Round) -> Vec<&'static str> {
        round_flags(round).iter().map(Flag::name).collect()
    }

    #[test]
    fn a_clean_round_has_no_flag() {
        assert_eq!(round_flags(&round()), []);
    }

    #[test]
    fn each_fault_has_its_flag() {
        let mut limited = round();
        limited.run.port_limit = PortLimit { destinations: 1, ports: 20_000, ..LIMIT };
        assert_eq!(names(&limited), ["port-limited"]);

        let moved = KernelCounters { tcp_timeouts: 1, ..KernelCounters::default() };
        let cost = Cost { kernel: Some(moved), ..Cost::default() };
        assert_eq!(names(&Round { server: cost, client: cost, ..round() }), ["kernel"]);

        let lost = Round { connections: 70, ..round() };
        assert_eq!(names(&lost), ["Little's law"]);
        assert_eq!(names(&Round { extent: Extent::Sessions(10_000), ..lost }), [""; 0]);

        // The share that a message has of the connect and the close counts: without it 5.9% are missing.
        let mut gone = round();
        gone.run.connect = LatencyHistogram::new();
        gone.run.close = LatencyHistogram::new();
        assert_eq!(names(&gone), ["Little's law"]);

        let neighbours = Neighbours { steal: Some(0.02), others: Some(0.035), cpu_pressure: None };
        assert_eq!(names(&Round { neighbours, ..round() }), ["others"]);
        let neighbours = Neighbours { others: Some(0.02), ..neighbours };
        assert_eq!(names(&Round { neighbours, ..round() }), [""; 0]);

        let busy = Cost { user_s: 0.97, ..Cost::default() };
        assert_eq!(names(&Round { client: busy, ..round() }), ["client-bound"]);

        assert_eq!(names(&Round { fallbacks: vec!["no device".to_owned()], ..round() }), ["fallback"]);
        assert_eq!(names(&Round { untrue: Some("a lie".to_owned()), ..round() }), ["untrue"]);
    }

    /// A round at 10,000 messages a second for 100 ms, of which so many had no reply, and the pacer was late by so much.
    fn paced(unfinished: u64, late_us: u64, still_ms: u64) -> Round {
        let of = |count: u64, micros: u64| {
            let mut histogram = LatencyHistogram::new();
            (0..count).for_each(|_| histogram.record(Duration::from_micros(micros)));
            histogram
        };
        let answered = 1000 - unfinished;
        let open = OpenRun {
            planned: 1000,
            response: of(answered, 80),
            lateness: of(1000, late_us),
            unfinished,
            stood_still_ns: still_ms * 1_000_000,
            ..OpenRun::default()
        };
        let run = LoadRun { messages: answered, window_s: 0.1, open: Some(Box::new(open)), ..run() };
        let lateness_limit = Duration::from_micros(40);
        let offer = Offer { rate: 10_000.0, seed: 0, window_ms: 100, drain_ms: 20, lateness_limit };
        Round { run, offer: Some(offer), ..round() }
    }

    #[test]
    fn a_round_at_a_rate_counts_if_its_pacer_kept_to_the_plan() {
        assert_eq!(names(&paced(0, 3, 0)), [""; 0]);
        assert_eq!(names(&paced(0, 60, 0)), ["pacer late"]);
        assert_eq!(names(&paced(0, 3, 6)), ["pacer stood still"]);
        // A server that does not keep up is an answer.
        let overloaded = paced(200, 3, 0);
        assert_eq!(names(&overloaded), ["overloaded"]);
        assert!(round_flags(&overloaded).iter().all(|flag| !flag.excludes()));
        // A pacer that spins uses all of its processor, and is no bottleneck for that.
        let spins = Cost { user_s: 0.99, ..Cost::default() };
        assert_eq!(names(&Round { client: spins, ..paced(0, 3, 0) }), [""; 0]);
    }

    #[test]
    fn flags_read_well() {
        let flags = [
            Flag::PortLimited { rate: 13_900.0, limit: PortLimit { destinations: 1, ..LIMIT } },
            Flag::Little { departure: -0.081 },
            Flag::ClientBound { client: 0.99, server: 0.5 },
        ];
        assert_eq!(
            flags.map(|flag| flag.to_string()),
            [
                "port-limited: 13900 sessions/s; 28232 ports, 1 destinations allow 14116",
                "Little's law: rate × time is -8.1% off the number of connections",
                "client-bound: client at 99% of its processors, server at 50%: it could have done more",
            ]
        );
    }
}
