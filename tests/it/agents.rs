//! Server and client in processes of their own: crowds, limits, deaths.

use std::{ffi::OsString, net::SocketAddr, process::Command, time::Duration};

use ioduel::{
    agent::{Agent, AgentCommand, Answer, Program, Request, agent_words},
    backend::{Backend, Model, all},
    load::{Extent, LoadPlan, LoadRun, Workload},
    net::ListenAt,
    placement::Placement,
    protocol::{Framing, Shape},
    round::{Launch, Network, Pair, PairPlan},
    service::{Served, ServerConfig},
};

use crate::peers::wait_until;

const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn agent(name: &str, prefix: &[&str]) -> Agent {
    let own = agent_words(env!("CARGO_BIN_EXE_ioduel").as_ref(), None, Program::Own);
    Agent::start(&AgentCommand {
        name: name.to_owned(),
        command: prefix.iter().map(OsString::from).chain(own).collect(),
        is_supervised: false,
    })
    .unwrap()
}

/// A server agent that serves messages of this size.
pub(crate) fn serving(
    backend: &dyn Backend,
    message_bytes: usize,
    prefix: &[&str],
) -> (Agent, Vec<SocketAddr>) {
    let name = backend.about().name;
    let mut agent = agent(name, prefix);
    let config = ServerConfig::echoing(Framing::fixed(message_bytes));
    let serve = Request::Serve { backend: name.to_owned(), listen: ListenAt::Loopback, config };
    match agent.ask(&serve, PATIENCE).unwrap().answer {
        Answer::Serving { destinations, .. } => (agent, destinations),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn stop(agent: &mut Agent) -> Served {
    match agent.ask(&Request::Stop, PATIENCE).unwrap().answer {
        Answer::Served(served) => served,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn drive(agent: &mut Agent, client: &dyn Backend, plan: LoadPlan) -> LoadRun {
    let drive = Request::Drive { backend: client.about().name.to_owned(), plan };
    match agent.ask(&drive, PATIENCE).unwrap().answer {
        Answer::Drove(run) => *run,
        other => panic!("{other:?}"),
    }
}

/// The longest that connections are held: many times what the slowest build on a busy machine needs.
const LONGEST_MS: u64 = 40_000;

/// Opens so many connections, each of which echoes until the time is over: no session ends before. Where the server has not
/// accepted all of them by then, they are held longer: what is shown is that it can, not how fast.
fn hold(server: &dyn Backend, client: &dyn Backend, connections: usize, window_ms: u64) {
    let mut window_ms = window_ms;
    while !holds(server, client, connections, window_ms) {
        window_ms *= 3;
        assert!(window_ms <= LONGEST_MS, "{} never has all of {connections} open", server.about().name);
    }
}

/// Whether all were open at once.
fn holds(server: &dyn Backend, client: &dyn Backend, connections: usize, window_ms: u64) -> bool {
    let names = (server.about().name, client.about().name);
    let (mut serving, destinations) = serving(server, 32, &[]);
    // So many that no slot, wherever it begins, ends one.
    let shape = Shape::new(u32::MAX, 32).unwrap();
    let extent = Extent::Timed { ramp_ms: 0, window_ms };
    let plan = LoadPlan { destinations, connections, shape, extent, workers: None, seed: 0 };
    let run = drive(&mut agent(names.1, &[]), client, plan);
    let served = stop(&mut serving);
    assert_eq!((run.failures, served.failures), (0, 0), "{names:?}: {:?}", run.first_failure);
    let open = connections as u64;
    assert_eq!(served.connections, open, "{names:?}");
    // Among thousands of threads that all have work, the one that accepts has its turn late: the client holds them all
    // at once, but some are still in the backlog.
    let starved = [server, client].iter().all(|backend| backend.about().model == Model::Blocking);
    assert_eq!(served.messages, run.messages_in_all, "{names:?}");
    assert!(run.messages_in_all >= open, "{names:?}: each echoes: {}", run.messages_in_all);
    starved || served.most_open == open
}

/// Whether every client is to meet every server: some minutes more.
fn is_thorough() -> bool {
    std::env::var_os("IODUEL_ALL_PAIRS").is_some()
}

/// Each against itself and, of the reference, as either side; or each against each.
fn pairs(backends: &[&'static dyn Backend]) -> Vec<(&'static dyn Backend, &'static dyn Backend)> {
    let all = backends.iter().flat_map(|server| backends.iter().map(move |client| (*server, *client)));
    let is_reference = |backend: &dyn Backend| backend.about() == backends[0].about();
    let chosen = |(server, client): &(&dyn Backend, &dyn Backend)| {
        is_thorough() || server.about() == client.about() || is_reference(*server) || is_reference(*client)
    };
    all.filter(chosen).collect()
}

/// One test, for each crowd asks for most of the machine.
#[test]
fn crowds_are_held_by_all_and_ten_thousand_by_each_that_is_driven_by_events() {
    two_thousand_by_every_client_and_every_server();
    ten_thousand_by_each_event_driven_backend();
}

fn two_thousand_by_every_client_and_every_server() {
    for (server, client) in pairs(&available().collect::<Vec<_>>()) {
        // Thousands of threads need a while until each has had a turn.
        let has_threads = [server, client].iter().any(|backend| backend.about().model == Model::Blocking);
        hold(server, client, 2000, if has_threads { 2500 } else { 500 });
    }
}

/// Those that can run here; of those that differ in the setup of a ring or of listeners alone one, unless all are asked for.
fn available() -> impl Iterator<Item = &'static dyn Backend> {
    let differs = |name: &str| !name.ends_with("-reuseport") && !name.ends_with("-tuned");
    let here = all().iter().copied().filter(|backend| backend.available().is_ok());
    here.filter(move |backend| is_thorough() || differs(backend.about().name))
}

fn ten_thousand_by_each_event_driven_backend() {
    let event_driven = available().filter(|backend| backend.about().model != Model::Blocking);
    for backend in event_driven {
        hold(backend, backend, 10_000, 3000);
        if is_thorough() && backend.about() != all()[0].about() {
            hold(backend, all()[0], 10_000, 5000);
            hold(all()[0], backend, 10_000, 5000);
        }
    }
}

fn pair(server: &str, client: &str) -> Pair {
    let launch =
        Launch::here(env!("CARGO_BIN_EXE_ioduel").into(), Placement::or_default(None, None).unwrap());
    Pair::start(&launch, PairPlan::new(server, client, &Workload::default())).unwrap()
}

#[test]
fn a_round_charges_server_and_client_apart() {
    let mut pair = pair("epoll", "tokio");
    let round = pair.round(8, 8, Extent::Timed { ramp_ms: 50, window_ms: 200 }).unwrap();
    assert_eq!(round.run.failures, 0);
    assert!(round.server_cpu_us_per_message() > 0.1 && round.client_cpu_us_per_message() > 0.1);
    let shares = round.server_share().zip(round.client_share()).map(|(server, client)| server + client);
    assert!(shares.is_some_and(|shares| shares < 1.3), "both on one processor: {shares:?}");
    assert!(round.server.peak_memory_bytes > Some(100_000));
    assert!(round.run.messages_in_all > round.run.messages);
}

#[test]
fn a_client_that_waits_for_ever_is_ended_and_the_next_agent_works() {
    // A listener that accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plan = LoadPlan {
        destinations: vec![silent.local_addr().unwrap()],
        connections: 4,
        shape: Shape::default(),
        extent: Extent::Sessions(4),
        workers: None,
        seed: 0,
    };
    for client in available() {
        let name = client.about().name;
        let drive = Request::Drive { backend: name.to_owned(), plan: plan.clone() };
        let error =
            agent(&format!("client {name}"), &[]).ask(&drive, Duration::from_millis(500)).unwrap_err();
        let message = format!("{error:#}");
        let expected = format!("client {name}: hangs: no reply in 0.5 s when asked to drive 4 connections");
        assert!(message.starts_with(&expected), "{message}");
    }
    pair("mio", "mio").round(1, 8, Extent::Sessions(1)).unwrap();
}

#[test]
fn an_agent_refuses_what_it_cannot_do_and_goes_on() {
    let mut agent = agent("agent", &[]);
    let config = ServerConfig::echoing(Framing::Chunk);
    let serve = |backend: &str, workers| Request::Serve {
        backend: backend.to_owned(),
        listen: ListenAt::Loopback,
        config: ServerConfig { workers, ..config },
    };
    let mut refusal = |request: &Request| agent.ask(request, PATIENCE).unwrap_err().to_string();
    assert_eq!(
        refusal(&serve("tokyo", None)),
        "agent: no backend is named \"tokyo\"; did you mean \"tokio\"?"
    );
    assert!(refusal(&serve("smol-local", Some(4))).contains("leave --workers out"));
    assert_eq!(refusal(&Request::Stop), "agent: it does not serve");
    let huge = Request::Hold {
        destinations: vec![([127, 0, 0, 1], 9).into()],
        connections: 1,
        message_bytes: usize::MAX,
        reply_bytes: None,
    };
    assert!(refusal(&huge).contains("a message must be 1 to"));
    agent.ask(&serve("tokio", None), PATIENCE).unwrap();
    stop(&mut agent);
}

#[test]
fn agents_and_their_network_are_gone_when_their_parent_is_killed() {
    let is_possible = Network::own(env!("CARGO_BIN_EXE_ioduel").as_ref()).is_ok();
    // Two agents; and who keeps their network, where they have one of their own.
    for (network, processes) in [("shared", 2), ("own", 3)] {
        if network == "own" && !is_possible {
            eprintln!("skipped: no network namespace is available here");
            continue;
        }
        let words = ["run", "epoll", "--duration", "60s", "--network", network];
        let mut parent = Command::new(env!("CARGO_BIN_EXE_ioduel")).args(words).spawn().unwrap();
        let id = parent.id();
        let children = move || -> Vec<String> {
            let list = format!("/proc/{id}/task/{id}/children");
            let text = std::fs::read_to_string(list).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        wait_until("all agents run", || children().len() == processes);
        let agents = children();
        parent.kill().unwrap();
        parent.wait().unwrap();
        // A namespace is gone with the last process in it.
        wait_until("all agents are gone", || {
            agents.iter().all(|agent| !std::path::Path::new(&format!("/proc/{agent}")).exists())
        });
    }
}
