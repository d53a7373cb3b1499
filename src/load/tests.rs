//! A load driven without sockets: a stand-in backend that answers every message at once.

use super::*;
use crate::protocol::{End as _, REPLY_PREFIX, Want};

fn plan(connections: usize, extent: Extent) -> LoadPlan {
    let destinations = (1..=4).map(|last| SocketAddr::from(([127, 0, 0, last], 9))).collect();
    LoadPlan { destinations, connections, shape: Shape::default(), extent, workers: None, seed: 0 }
}

/// Runs the session that a slot has begun, with every reply right but for what `spoil` does to it.
fn run_session(slot: &mut Slot, spoil: impl Fn(&mut Vec<u8>)) -> Result<(), SessionError> {
    slot.connected(Instant::now());
    run_session_with(slot, spoil, &|| {})
}

/// The same on a connection that stands, with something done before each reply comes.
fn run_session_with(
    slot: &mut Slot,
    spoil: impl Fn(&mut Vec<u8>),
    before_reply: &impl Fn(),
) -> Result<(), SessionError> {
    let mut reply = Vec::new();
    loop {
        match slot.want() {
            Want::Write(bytes) => {
                let n = bytes.len();
                reply = [REPLY_PREFIX, bytes].concat();
                spoil(&mut reply);
                slot.wrote(n);
            }
            Want::Read(buffer) => {
                before_reply();
                buffer[..reply.len()].copy_from_slice(&reply);
                slot.read(reply.len(), Instant::now)?;
            }
            Want::Wait(_) | Want::Offload(_) => unreachable!("a client neither waits nor offloads"),
            Want::Close => return Ok(()),
        }
    }
}

fn drive(load: &Arc<Load>) {
    std::thread::scope(|scope| {
        for mut slot in load.slots() {
            scope.spawn(move || {
                while slot.next_session().is_some() {
                    let outcome = run_session(&mut slot, |_| {});
                    slot.ended(outcome);
                }
            });
        }
    });
}

#[test]
fn a_counted_load_runs_just_so_many_sessions_and_measures_each() {
    let load = Load::new(plan(3, Extent::Sessions(100))).unwrap();
    drive(&load);
    let run = load.result().unwrap();
    assert_eq!((run.sessions, run.messages, run.messages_in_all, run.failures), (100, 800, 800, 0));
    assert_eq!((run.connect.count(), run.round_trip.count(), run.session.count()), (100, 800, 100));
    assert!(run.window_s > 0.0 && run.window_s == run.elapsed_s);
}

#[test]
fn a_timed_load_counts_what_ends_in_its_window() {
    let load = Load::new(plan(2, Extent::Timed { ramp_ms: 30, window_ms: 60 })).unwrap();
    drive(&load);
    let run = load.result().unwrap();
    assert_eq!(run.window_s, 0.06);
    assert!(run.elapsed_s >= 0.09, "{}", run.elapsed_s);
    assert!(run.messages > 0 && run.messages_in_all > run.messages, "the ramp is not counted");
    assert_eq!(run.round_trip.count(), run.messages);
}

#[test]
fn sessions_rotate_over_the_destinations() {
    let load = Load::new(plan(1, Extent::Sessions(8))).unwrap();
    let mut slot = load.slots().next().unwrap();
    let mut seen = Vec::new();
    while let Some(destination) = slot.next_session() {
        seen.push(destination);
        let outcome = run_session(&mut slot, |_| {});
        slot.ended(outcome);
    }
    assert_eq!(seen.len(), 8);
    for destination in &load.plan().destinations {
        assert_eq!(seen.iter().filter(|to| *to == destination).count(), 2);
    }
}

#[test]
fn one_wrong_byte_yields_no_numbers_and_ends_the_load() {
    let load = Load::new(plan(1, Extent::Sessions(10))).unwrap();
    let mut slot = load.slots().next().unwrap();
    slot.next_session().unwrap();
    let outcome = run_session(&mut slot, |_| {});
    slot.ended(outcome);
    slot.next_session().unwrap();
    let outcome = run_session(&mut slot, |reply| reply[7] ^= 1);
    slot.ended(outcome);
    assert_eq!(slot.next_session(), None);
    let error = load.result().unwrap_err();
    assert!(matches!(error, ProtocolError::WrongByte { session: 2, message: 1, offset: 7, .. }), "{error:?}");
}

fn refused() -> SessionError {
    std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()
}

#[test]
fn a_load_gives_up_at_once_when_nobody_answers() {
    let load = Load::new(plan(1, Extent::Sessions(1000))).unwrap();
    let mut slot = load.slots().next().unwrap();
    slot.next_session().unwrap();
    slot.ended(Err(refused()));
    assert_eq!(slot.next_session(), None);
    let run = load.result().unwrap();
    assert_eq!((run.sessions, run.failures), (0, 1));
    assert_eq!(run.first_failure.as_deref(), Some("connection refused"));
}

#[test]
fn single_failures_are_counted_and_many_end_the_load() {
    let load = Load::new(plan(1, Extent::Sessions(1000))).unwrap();
    let mut slot = load.slots().next().unwrap();
    slot.next_session().unwrap();
    let outcome = run_session(&mut slot, |_| {});
    slot.ended(outcome);
    while slot.next_session().is_some() {
        slot.ended(Err(refused()));
    }
    let run = load.result().unwrap();
    assert_eq!((run.sessions, run.failures), (1, MOST_FAILURES));
}

#[test]
fn a_long_load_stands_more_failures_than_a_short_one() {
    let load = Load::new(plan(1, Extent::Sessions(50_000))).unwrap();
    let mut slot = load.slots().next().unwrap();
    let mut session = 0;
    while slot.next_session().is_some() {
        session += 1;
        let fails = session % 200 == 0;
        let outcome = if fails { Err(refused()) } else { run_session(&mut slot, |_| {}) };
        slot.ended(outcome);
    }
    assert_eq!((session, load.result().unwrap().failures), (50_000, 250));
}

#[test]
fn littles_law_holds_for_a_load_without_gaps() {
    let load = Load::new(plan(1, Extent::Sessions(2000))).unwrap();
    drive(&load);
    let run = load.result().unwrap();
    // A slot goes from session to session without a gap, so nothing but the histogram's grain is lost.
    assert!(run.little_departure(1, 8).abs() < 0.01, "{}", run.little_departure(1, 8));
}

#[test]
fn a_watcher_sees_every_step_in_order() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&steps);
    let watcher = move |step: Step<'_>| {
        seen.lock().unwrap().push(match step {
            Step::Connected(_) => "connected".to_owned(),
            Step::Sent(message) | Step::Received(message) => String::from_utf8(message.to_vec()).unwrap(),
            Step::Closed => "closed".to_owned(),
        });
    };
    let mut two = plan(1, Extent::Sessions(1));
    two.shape = Shape::new(2, 16).unwrap();
    drive(&Load::watched(two, Box::new(watcher)).unwrap());
    let expected = [
        "connected",
        "1 - Send Message",
        "Re:1 - Send Message",
        "2 - Send Message",
        "Re:2 - Send Message",
        "closed",
    ];
    assert_eq!(*steps.lock().unwrap(), expected);
}

/// Begins a slot's first session and says at which message, by what it sends first.
fn first_message(slot: &mut Slot) -> String {
    slot.next_session().unwrap();
    slot.connected(Instant::now());
    match slot.want() {
        Want::Write(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn slots_begin_all_over_their_first_session_unless_sessions_are_counted() {
    let begun = |extent: Extent, seed| {
        let load = Load::new(LoadPlan { seed, ..plan(200, extent) }).unwrap();
        load.slots().map(|mut slot| first_message(&mut slot)).collect::<Vec<_>>()
    };
    let timed = Extent::Timed { ramp_ms: 0, window_ms: 1000 };
    let drawn = begun(timed.clone(), 7);
    for message in 1..=8 {
        let text = format!("{message} - Send Message");
        let slots = drawn.iter().filter(|first| **first == text).count();
        assert!((10..=45).contains(&slots), "{slots} of 200 begin with message {message}");
    }
    assert_eq!(drawn, begun(timed.clone(), 7));
    assert_ne!(drawn, begun(timed, 8));
    assert!(begun(Extent::Sessions(200), 7).iter().all(|first| first == "1 - Send Message"));
}

#[test]
fn a_session_ends_with_its_last_reply_and_its_close_is_timed_apart() {
    let load = Load::new(plan(1, Extent::Sessions(3))).unwrap();
    let mut slot = load.slots().next().unwrap();
    while slot.next_session().is_some() {
        let outcome = run_session(&mut slot, |_| {});
        std::thread::sleep(Duration::from_millis(20));
        slot.ended(outcome);
    }
    let run = load.result().unwrap();
    assert_eq!((run.session.count(), run.close.count()), (3, 3));
    assert!(run.close.quantile(0.0) >= Duration::from_millis(19), "{:?}", run.close.summary());
    assert!(run.session.max_s() < 0.019, "{:?}", run.session.summary());
}

#[test]
fn what_is_in_the_air_when_the_window_closes_is_counted_with_its_age() {
    let load = Load::new(plan(2, Extent::Timed { ramp_ms: 0, window_ms: 50 })).unwrap();
    let mut slots = load.slots();
    let (mut message, mut connect) = (slots.next().unwrap(), slots.next().unwrap());
    // One waits for a reply when the window closes, the other for its connection.
    message.next_session().unwrap();
    message.connected(Instant::now());
    connect.next_session().unwrap();
    std::thread::sleep(Duration::from_millis(120));
    let outcome = run_session(&mut message, |_| {});
    message.ended(outcome);
    connect.ended(Err(refused()));
    let run = load.result().unwrap();
    assert_eq!((run.messages, run.unfinished.count()), (0, 2));
    let aged = run.unfinished.summary();
    assert!((40_000.0..=51_000.0).contains(&aged.p50) && aged.max <= 51_000.0, "{aged:?}");
    assert!(run.unfinished.max_s() > 0.04);
}

/// A load whose page this test holds.
fn sliced(connections: usize) -> (Board, Arc<Load>) {
    let board = Board::create().unwrap();
    let load = Load::new(plan(connections, Extent::Sliced { board: board.path() })).unwrap();
    (board, load)
}

#[test]
fn a_sliced_load_counts_what_ends_while_its_window_is_open() {
    let (board, load) = sliced(1);
    let mut slot = load.slots().next().unwrap();
    let session = |slot: &mut Slot| {
        slot.next_session().unwrap();
        let outcome = run_session(slot, |_| {});
        slot.ended(outcome);
    };
    session(&mut slot);
    board.set_open(true);
    (0..10).for_each(|_| session(&mut slot));
    board.set_open(false);
    session(&mut slot);
    board.end();
    assert_eq!(slot.next_session(), None);
    let run = load.result().unwrap();
    assert_eq!((run.sessions, run.messages), (10, 80));
    let done = board.done();
    assert_eq!(done.messages, run.messages_in_all);
    // The first began in its middle, unless it was drawn to begin with its first message.
    assert!((11..=12).contains(&done.sessions) && run.messages_in_all > 88, "{done:?}");
}

#[test]
fn a_rest_is_in_no_time_that_a_slot_measures() {
    const REST: Duration = Duration::from_millis(100);
    let (board, load) = sliced(1);
    let mut slot = load.slots().next().unwrap();
    board.set_open(true);
    // The load rests before each connection stands, before each reply and before each close.
    let rest = || {
        let stopped = Instant::now();
        std::thread::sleep(REST);
        board.resume(stopped);
    };
    for _ in 0..2 {
        slot.next_session().unwrap();
        rest();
        let read_before_the_rest = Instant::now();
        rest();
        slot.connected(read_before_the_rest);
        let outcome = run_session_with(&mut slot, |_| {}, &rest);
        rest();
        slot.ended(outcome);
    }
    board.end();
    assert_eq!(slot.next_session(), None);
    let run = load.result().unwrap();
    for histogram in [&run.connect, &run.round_trip, &run.session, &run.close] {
        assert!(histogram.count() > 0 && histogram.max_s() < REST.as_secs_f64() / 2.0, "{histogram:?}");
    }
    assert!(run.elapsed_s < REST.as_secs_f64(), "{}", run.elapsed_s);
}
