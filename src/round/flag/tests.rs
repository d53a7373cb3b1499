//! Rounds with one thing wrong each, and the flag that it has.

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
        begun_apart: None,
        link: None,
        idle_kernel_bytes: None,
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
    // In slices as many may be by chance, and no more.
    let in_slices = |connections| {
        let board = "page".into();
        names(&Round { connections, extent: Extent::Sliced { board }, ..round() })
    };
    assert_eq!((in_slices(70), in_slices(72)), (vec![], vec!["Little's law"]));
    assert_eq!(names(&Round { extent: Extent::Sessions(10_000), ..lost }), [""; 0]);

    // The share that a message has of the connect and the close counts: without it 5.9% are missing.
    let mut gone = round();
    gone.run.connect = LatencyHistogram::new();
    gone.run.close = LatencyHistogram::new();
    assert_eq!(names(&gone), ["Little's law"]);

    let neighbours = Neighbours { steal: Some(0.02), others: Some(0.035), ..Neighbours::default() };
    assert_eq!(names(&Round { neighbours, ..round() }), ["others"]);
    let neighbours = Neighbours { others: Some(0.02), ..neighbours };
    assert_eq!(names(&Round { neighbours, ..round() }), [""; 0]);

    let busy = Cost { user_s: 0.97, ..Cost::default() };
    assert_eq!(names(&Round { client: busy, ..round() }), ["client-bound"]);

    assert_eq!(names(&Round { fallbacks: vec!["no device".to_owned()], ..round() }), ["fallback"]);
    assert_eq!(names(&Round { untrue: Some("a lie".to_owned()), ..round() }), ["untrue"]);
}

#[test]
fn what_is_sent_again_excludes_a_round_where_its_link_drops_nothing() {
    let cost = |kernel| Cost { user_s: 0.3, kernel: Some(kernel), ..Cost::default() };
    let again = KernelCounters { tcp_timeouts: 1, retransmitted_segments: 4, ..KernelCounters::default() };
    let over = |link: &str, client: KernelCounters| {
        let link = Some(link.parse().unwrap());
        names(&Round { link, client: cost(client), ..round() })
    };
    assert_eq!(over("metro", again), ["kernel"], "the end of the client alone has seen it");
    assert_eq!(over("wan", again), [""; 0]);
    assert_eq!(over("delay 1ms rate 10mbit", again), [""; 0], "a queue before a rate is full sometimes");
    let refused = KernelCounters { listen_overflows: 1, ..again };
    assert_eq!(over("wan", refused), ["kernel"], "that is no loss of the link's");
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

#[test]
fn clients_that_begin_further_apart_than_half_a_ramp_are_excluded() {
    let begun = |us: f64| Round {
        extent: Extent::Timed { ramp_ms: 100, window_ms: 1000 },
        begun_apart: Some(BegunApart { us, within_us: 1000.0 }),
        ..round()
    };
    assert_eq!(names(&begun(48_000.0)), [""; 0]);
    assert_eq!(names(&begun(50_000.0)), ["begun apart"]);
}

#[test]
fn a_quota_that_was_used_up_excludes_a_whole_round() {
    let throttled = |share| {
        let neighbours = Neighbours { throttled: Some(share), ..Neighbours::default() };
        Round { neighbours, ..round() }
    };
    assert_eq!(names(&throttled(0.2)), ["throttled"]);
    assert!(round_flags(&throttled(0.2))[0].excludes());
    assert_eq!(names(&throttled(0.005)), [""; 0]);
}
