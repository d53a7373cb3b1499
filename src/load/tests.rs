//! A load driven without sockets: a stand-in backend that answers every message at once.

use super::*;
use crate::protocol::{End as _, REPLY_PREFIX, Want};

fn plan(connections: usize, extent: Extent) -> LoadPlan {
    let destinations = (1..=4).map(|last| SocketAddr::from(([127, 0, 0, last], 9))).collect();
    LoadPlan { destinations, connections, shape: Shape::default(), extent, workers: None }
}

/// Runs the session that a slot has begun, with every reply right but for what `spoil` does to it.
fn run_session(slot: &mut Slot, spoil: impl Fn(&mut Vec<u8>)) -> Result<(), SessionError> {
    slot.connected(Instant::now());
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
                buffer[..reply.len()].copy_from_slice(&reply);
                slot.read(reply.len(), Instant::now)?;
            }
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
    let load = Load::new(plan(3, Extent::Sessions(100)));
    drive(&load);
    let run = load.result().unwrap();
    assert_eq!((run.sessions, run.messages, run.messages_in_all, run.failures), (100, 800, 800, 0));
    assert_eq!((run.connect.count(), run.round_trip.count(), run.session.count()), (100, 800, 100));
    assert!(run.window_s > 0.0 && run.window_s == run.elapsed_s);
}

#[test]
fn a_timed_load_counts_what_ends_in_its_window() {
    let load = Load::new(plan(2, Extent::Timed { ramp_ms: 30, window_ms: 60 }));
    drive(&load);
    let run = load.result().unwrap();
    assert_eq!(run.window_s, 0.06);
    assert!(run.elapsed_s >= 0.09, "{}", run.elapsed_s);
    assert!(run.messages > 0 && run.messages_in_all > run.messages, "the ramp is not counted");
    assert_eq!(run.round_trip.count(), run.messages);
}

#[test]
fn sessions_rotate_over_the_destinations() {
    let load = Load::new(plan(1, Extent::Sessions(8)));
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
    let load = Load::new(plan(1, Extent::Sessions(10)));
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
    let load = Load::new(plan(1, Extent::Sessions(1000)));
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
    let load = Load::new(plan(1, Extent::Sessions(1000)));
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
fn littles_law_holds_for_a_load_without_gaps() {
    let load = Load::new(plan(1, Extent::Sessions(2000)));
    drive(&load);
    let run = load.result().unwrap();
    // A slot goes from session to session without a gap, so nothing but the histogram's grain is lost.
    assert!(run.little_departure(1).abs() < 0.01, "{}", run.little_departure(1));
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
    drive(&Load::watched(two, Box::new(watcher)));
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
