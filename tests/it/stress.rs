//! Many sessions whose peers leave whenever they like, against each backend that lends its buffers to the kernel: when the
//! last is gone, nothing may be left of any.
//!
//! `scripts/stress` runs this with 200,000 sessions for each, in release mode.

use std::{
    cell::RefCell,
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use ioduel::{
    agent::{Agent, Answer, Request},
    backend::{Backend, Model, all},
    conform::peers::{next_message, raw_server, reply_to, reset},
    load::{Extent, LoadPlan},
    protocol::Shape,
    service::Served,
};
use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use crate::{
    agents::{agent, drive, serving, stop},
    peers::{PATIENCE, connect, wait_until},
};

/// Peers at a time.
const PEERS: u64 = 32;

/// What memory may differ by from one half of the sessions to the other: an allocator keeps the pages of a load's histograms
/// sometimes, and sometimes not. However many sessions there are, it is no more.
const SLACK_KIB: u64 = 3072;

/// How many sessions: some for every test run, or as many as `scripts/stress` asks for.
fn sessions() -> u64 {
    std::env::var("IODUEL_STRESS_SESSIONS").map_or(4000, |text| text.parse().unwrap())
}

fn completion_backends() -> impl Iterator<Item = &'static dyn Backend> {
    let only = std::env::var("IODUEL_STRESS_ONLY").unwrap_or_default();
    let all = all().iter().copied().filter(|backend| backend.available().is_ok());
    let all = all.filter(move |backend| backend.about().name.starts_with(&only));
    // glommio waits for readiness, and by a ring all the same.
    all.filter(|backend| backend.about().model == Model::Completion || backend.about().name == "glommio")
}

/// What a process holds.
#[derive(Debug, PartialEq)]
struct Holds {
    descriptors: usize,
    resident_kib: u64,
}

impl Holds {
    fn of(agent: &Agent) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", agent.process_id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Self {
            descriptors: descriptors(agent).count(),
            resident_kib: line.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }

    /// Checks that no more is held than before, but for so many descriptors.
    fn check(&self, before: &Self, lost: usize, name: &str) {
        assert!(
            self.descriptors <= before.descriptors + lost,
            "{name}: descriptors, from {before:?} to {self:?}"
        );
        let grown = self.resident_kib.saturating_sub(before.resident_kib);
        let slack = std::env::var("IODUEL_STRESS_SLACK_KIB").map_or(SLACK_KIB, |text| text.parse().unwrap());
        assert!(grown <= slack, "{name}: grew by {grown} KiB, from {before:?} to {self:?}");
    }
}

/// The paths of a process's open descriptors.
fn descriptors(agent: &Agent) -> impl Iterator<Item = PathBuf> {
    let open = fs::read_dir(format!("/proc/{}/fd", agent.process_id())).unwrap();
    open.map(|entry| entry.unwrap().path())
}

/// How many of a process's descriptors are sockets. One that is closed meanwhile is none.
fn sockets(agent: &Agent) -> usize {
    let links = descriptors(agent).filter_map(|path| fs::read_link(path).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// How many sockets a server has beside its connections. A first one shows that all of its own are open.
fn sockets_of_a_running(server: &mut Agent, destination: SocketAddr) -> usize {
    let mut client = connect(destination);
    client.exchange(1).unwrap();
    let own = sockets(server) - 1;
    drop(client);
    let server = RefCell::new(server);
    wait_until("the first connection has ended", || served(&mut server.borrow_mut()).messages == 1);
    own
}

/// Runs so many sessions, each of which ends in one of many ways; returns how many of them the server must call failed.
fn sessions_that_end_anyhow(destinations: &[SocketAddr], sessions: u64, seed: u64) -> u64 {
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for peer in 0..PEERS {
            let (next, failed) = (&next, &failed);
            scope.spawn(move || {
                let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed * PEERS + peer);
                while let session = next.fetch_add(1, Relaxed)
                    && session < sessions
                {
                    let to = destinations[session as usize % destinations.len()];
                    failed.fetch_add(u64::from(session_that_ends_anyhow(to, &mut chance)), Relaxed);
                }
            });
        }
    });
    failed.into_inner()
}

/// Exchanges some messages, then leaves in some way; returns whether the server must call it failed.
fn session_that_ends_anyhow(to: SocketAddr, chance: &mut Xoshiro256PlusPlus) -> bool {
    let mut client = connect(to);
    let messages = chance.random_range(0..=8);
    (1..=messages).for_each(|n| client.exchange(n).unwrap());
    match chance.random_range(0..5) {
        // A close, with nothing under way but the server's receive.
        0 => false,
        1 => {
            client.half_close().unwrap();
            client.expect_end().unwrap();
            false
        }
        // Resets: with nothing of a message sent, with part of one, and with replies under way that nobody takes.
        2 => {
            client.reset().unwrap();
            true
        }
        3 => {
            client.send("1 - Send").unwrap();
            client.reset().unwrap();
            true
        }
        _ => {
            client.send("1 - Send Message".repeat(chance.random_range(1..100))).unwrap();
            client.reset().unwrap();
            true
        }
    }
}

fn served(agent: &mut Agent) -> Served {
    match agent.ask(&Request::Served, PATIENCE).unwrap().answer {
        Answer::Served(served) => served,
        other => panic!("{other:?}"),
    }
}

#[test]
fn peers_that_leave_anyhow_leave_nothing_behind_in_a_server() {
    for backend in completion_backends() {
        let name = backend.about().name;
        let (mut server, destinations) = serving(backend, 16, &[]);
        let half = sessions() / 2;
        let listening = sockets_of_a_running(&mut server, destinations[0]);
        let mut held = Vec::new();
        let mut resets = 0;
        for turn in 1..=2 {
            let before = served(&mut server).connections;
            resets += sessions_that_end_anyhow(&destinations, half, turn);
            // They are counted when they are accepted, and end when the server has its turn.
            let server = RefCell::new(&mut server);
            wait_until("every connection is counted", || {
                served(&mut server.borrow_mut()).connections == before + half
            });
            let plan = LoadPlan {
                destinations: destinations.clone(),
                connections: 64,
                shape: Shape::default(),
                extent: Extent::Sessions(640),
                workers: None,
                seed: 0,
            };
            let mut healthy = agent("healthy", &[]);
            let run = drive(&mut healthy, all()[0], plan);
            assert_eq!((run.sessions, run.failures), (640, 0), "{name}: {:?}", run.first_failure);
            wait_until(&format!("{name}: sockets are given back"), || sockets(&server.borrow()) == listening);
            held.push(Holds::of(&server.borrow()));
        }
        held[1].check(&held[0], 0, name);
        let served = stop(&mut server);
        assert_eq!(served.connections, 1 + 2 * half + 2 * 640, "{name}");
        // A reset may reach a server before it has seen what came before, but it is never taken for an end.
        assert_eq!(served.failures, resets, "{name}");
    }
}

#[test]
fn servers_that_leave_anyhow_leave_nothing_behind_in_a_client() {
    for backend in completion_backends() {
        let name = backend.about().name;
        let mut client = agent(name, &[]);
        // A load gives up after a hundred failures, so there are many loads in the one process.
        const A_LOAD: u64 = 250;
        let loads = sessions() / A_LOAD;
        let mut held = Vec::new();
        for load in 0..loads {
            let server =
                raw_server(A_LOAD as usize, PATIENCE, move |index, stream| leave_anyhow(load, index, stream))
                    .unwrap();
            let plan = LoadPlan {
                destinations: vec![server.address],
                connections: PEERS as usize,
                shape: Shape::default(),
                extent: Extent::Sessions(A_LOAD),
                workers: None,
                seed: 0,
            };
            let run = drive(&mut client, backend, plan);
            assert_eq!(run.sessions + run.failures, A_LOAD, "{name}: {:?}", run.first_failure);
            assert!(run.failures > 0, "{name}: {}", run.failures);
            server.finish().unwrap();
            held.push(Holds::of(&client));
        }
        let (half, all) = (held.len() / 2, held.len());
        held[all - 1].check(&held[half - 1], lost_by_a_load(backend) * (all - half), name);
    }
}

/// Descriptors that a backend's load is known to lose, by a fault of its crate: glommio 0.9 one for each executor, whose tasks
/// keep its eventfd (DataDog/glommio#448).
fn lost_by_a_load(backend: &dyn Backend) -> usize {
    usize::from(backend.about().name == "glommio")
}

/// Answers the messages of a session; one in thirty it leaves before its time.
fn leave_anyhow(load: u64, index: usize, mut stream: TcpStream) -> anyhow::Result<()> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(load << 32 | index as u64);
    // A load gives up when its first session fails before any reply came: the first ones are answered.
    let leaves = index >= PEERS as usize && chance.random_range(0..30) == 0;
    let leaves_at = if leaves { chance.random_range(1..=8) } else { u32::MAX };
    for n in 1..=8 {
        let message = next_message(&mut stream)?;
        if n == leaves_at {
            match chance.random_range(0..3) {
                0 => return Ok(()),
                1 => stream.write_all(&reply_to(&message)[..7])?,
                _ => {}
            }
            return reset(stream);
        }
        stream.write_all(&reply_to(&message))?;
    }
    Ok(())
}
