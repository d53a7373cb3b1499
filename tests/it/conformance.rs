//! What every backend must stand: the conformance kit, and a session with every other.

use std::{sync::Mutex, thread};

use ioduel::{
    backend::{Backend, all},
    conform::{self, CASES, Case, PATIENCE, Side, Subject, Verdict},
    contestant::{self, Contestant},
    load::Workload,
    protocol::{Framing, Shape},
    work::{Distribution, Work, WorkKind},
};

use crate::peers::{FIXED, Server, drive};

/// Backends that are put to the test at the same time: most cases wait more than they work.
const AT_A_TIME: usize = 4;

#[test]
fn every_contestant_stands_every_case_of_the_kit() {
    let queue = Mutex::new(contestant::all().iter().filter(|contestant| contestant.available().is_ok()));
    thread::scope(|scope| {
        let next = || queue.lock().unwrap().next();
        for _ in 0..AT_A_TIME {
            scope.spawn(move || std::iter::from_fn(next).for_each(stands_every_case));
        }
    });
}

fn stands_every_case(contestant: &Contestant) {
    contestant.prepare(&|told| eprintln!("{told}")).unwrap();
    let subject = Subject::of(contestant, env!("CARGO_BIN_EXE_ioduel").as_ref(), 2 * PATIENCE);
    stands(contestant, &subject, |_| true);
    if contestant.threading().has_free_workers() {
        let subject = Subject { workers: Some(2), ..subject };
        stands(contestant, &subject, |case| case.side != Side::Agent);
    }
}

fn stands(contestant: &Contestant, subject: &Subject, chosen: fn(&Case) -> bool) {
    let name = contestant.name();
    let (mut passed, mut refused) = (0, Vec::new());
    // What another's runtime does out of descriptors is its own: asyncio logs each accept, and uvloop resets whoever waits.
    let asked =
        |case: &Case| chosen(case) && !(contestant.is_alone() && case.name.starts_with("out of descriptors"));
    for outcome in conform::run(subject, asked).unwrap() {
        match outcome.verdict {
            Verdict::Passed => passed += 1,
            Verdict::NotRun(why) => refused.push((outcome.case.name, why)),
            verdict => panic!("{name}: {}: {verdict:?}", outcome.case.name),
        }
    }
    // Who has no threads for what blocks says so, and nobody refuses anything else.
    let offload = Work { kind: WorkKind::Offload, mean_ns: 1, distribution: Distribution::Fixed, seed: 0 };
    let may_refuse = contestant.can_serve(&Workload { work: Some(offload), ..Workload::default() }).is_err();
    if !contestant.is_alone() {
        assert_eq!(refused.len(), usize::from(may_refuse), "{name}: {refused:?}");
    }
    assert_eq!(
        passed + refused.len(),
        CASES.iter().filter(|case| asked(case) && subject.can_be_asked(case)).count(),
        "{name}"
    );
}

fn for_every_backend(check: impl Fn(&'static dyn Backend)) {
    for backend in all().iter().filter(|backend| backend.available().is_ok()) {
        eprintln!("{}", backend.about().name);
        check(*backend);
    }
}

#[test]
fn every_client_completes_against_every_server() {
    for_every_backend(|server| {
        let started = Server::start(server, FIXED);
        for_every_backend(|client| {
            let run = drive(client, &started.destinations, 16, 100, Shape::default()).unwrap();
            let sum = (run.sessions, run.messages, run.failures, run.first_failure);
            assert_eq!(sum, (100, 800, 0, None));
        });
        let served = started.stop();
        let clients = all().iter().filter(|backend| backend.available().is_ok()).count() as u64;
        assert_eq!((served.connections, served.messages), (100 * clients, 800 * clients));
        assert_eq!(served.failures, 0);
    });
}

#[test]
fn every_client_completes_against_every_server_in_chunk_framing() {
    for_every_backend(|server| {
        let started = Server::start(server, Framing::Chunk);
        for_every_backend(|client| {
            let run = drive(client, &started.destinations, 4, 20, Shape::default()).unwrap();
            assert_eq!((run.sessions, run.failures), (20, 0));
        });
        started.stop();
    });
}

#[test]
fn every_client_exchanges_big_messages_with_every_server() {
    let shape = Shape::new(4, 65_536).unwrap();
    for_every_backend(|server| {
        let started = Server::start(server, Framing::fixed(65_536));
        for_every_backend(|client| {
            let run = drive(client, &started.destinations, 4, 8, shape).unwrap();
            assert_eq!((run.sessions, run.messages, run.failures), (8, 32, 0));
        });
        started.stop();
    });
}
