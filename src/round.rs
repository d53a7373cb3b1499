//! A server agent and a client agent, and one measured round between them: what every measurement is made of.
//!
//! Absent from here: backends' code, which runs in the agents alone, and any judgement of what a round means beyond
//! the [`flags`](Round::flags) of what spoilt it.

mod claims;
mod flag;
mod idle;
mod launch;
mod machine;
mod measured;
mod network;
mod paced;
mod sliced;
mod softirq;
mod together;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};

use crate::{
    agent::{Agent, AgentCommand, Answer, Cost, Reply, Request},
    contestant,
    load::{Board, Extent, LoadPlan, LoadRun, Workload},
    net::KernelCounters,
    pacer,
    placement::{Cpus, Placement},
    protocol::Shape,
    service::{ServerConfig, ThreadWork},
    work::Work,
};

use claims::untrue;
pub use flag::{Flag, load_flags, reason_words};
pub use idle::IdleMemory;
pub use launch::Launch;
pub use machine::{MachineWatch, Neighbours};
pub use measured::Round;
pub use network::Network;
pub use paced::{Offer, lowest_paced_rate, messages_needed, paced_window_ms, strictest};
pub use sliced::{REST_CPU, Slice, SliceLength, SlicedPair};
pub use together::BegunApart;

/// How long an agent has for what takes it no time.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a message may take on average before the whole is taken for a hang: some twenty times the slowest seen.
const PATIENCE_PER_MESSAGE: Duration = Duration::from_millis(1);

/// What is measured against what.
#[derive(Clone, Debug)]
pub struct PairPlan {
    /// The server's backend.
    pub server: String,
    /// The client's backend, or [the pacer](crate::pacer::NAME) of loads at a rate.
    pub client: String,
    /// Worker threads of the server; the backend's default when `None`.
    pub server_workers: Option<usize>,
    /// Worker threads of the client; the backend's default when `None`.
    pub client_workers: Option<usize>,
    /// What messages and replies are.
    pub shape: Shape,
    /// What the server does for each message beside echoing it.
    pub work: Option<Work>,
    /// CPU time that the server burns for each message, in nanoseconds; 0 but for tests of the duel itself.
    pub burn_ns: u64,
}

impl PairPlan {
    /// A server and a client under a workload, with as many workers as they have by default.
    pub fn new(server: &str, client: &str, workload: &Workload) -> Self {
        Self {
            server: server.to_owned(),
            client: client.to_owned(),
            server_workers: None,
            client_workers: None,
            shape: workload.shape(),
            work: workload.work,
            burn_ns: 0,
        }
    }
}

/// A server agent that serves, and client agents that can drive it.
#[derive(Debug)]
pub struct Pair {
    plan: PairPlan,
    placement: Placement,
    server: Agent,
    /// One for each load machine.
    clients: Vec<Agent>,
    /// How many of them were asked to drive.
    driving: usize,
    /// How the agent is started that holds silent connections.
    idle_holder: AgentCommand,
    /// That agent, once some are held.
    idle: Option<Agent>,
    /// What each of these takes of the kernel's own memory, both ends together, in bytes.
    idle_kernel_bytes: Option<f64>,
    destinations: Vec<SocketAddr>,
    fallbacks: Vec<String>,
    /// Whether both sides are in that network.
    here: bool,
    network: Network,
}

impl Pair {
    /// Starts all agents, and lets the server listen.
    ///
    /// # Errors
    /// When an agent cannot be started, or the server cannot serve.
    pub fn start(launch: &Launch, plan: PairPlan) -> anyhow::Result<Self> {
        let mut server = launch.start_server(&plan.server)?;
        let clients = launch.start_clients(&plan.client)?;
        let PairPlan { shape, work, burn_ns, .. } = plan;
        let config = ServerConfig { framing: shape.framing(), workers: plan.server_workers, burn_ns, work };
        let backend = contestant::find(&plan.server)?.backend_name().to_owned();
        let serve = Request::Serve { backend, listen: launch.listen_at(), config };
        match server.ask(&serve, PATIENCE)?.answer {
            Answer::Serving { destinations, mut fallbacks } => {
                fallbacks.extend(Cpus::cannot_pin().filter(|_| launch.is_here()));
                let placement = launch.placement.clone();
                let here = launch.is_here();
                let idle_holder = launch.idle_holder();
                Ok(Self {
                    plan,
                    placement,
                    server,
                    clients,
                    driving: 0,
                    idle_holder,
                    idle: None,
                    idle_kernel_bytes: None,
                    destinations,
                    fallbacks,
                    here,
                    network: launch.network.clone(),
                })
            }
            other => bail!("server {}: asked to serve, it answered {other:?}", plan.server),
        }
    }

    /// The process of the server.
    pub fn server_id(&self) -> u32 {
        self.server.process_id()
    }

    /// The agents of both sides.
    fn each_agent(&mut self, mut act: impl FnMut(&mut Agent) -> anyhow::Result<()>) -> anyhow::Result<()> {
        // The server first: who is continued finds its peer there, and who is stopped leaves nothing half done on it.
        act(&mut self.server)?;
        self.clients.iter_mut().try_for_each(act)
    }

    /// Measures one round; several clients share the connections, and their histograms are merged.
    ///
    /// # Errors
    /// When an agent fails, dies or hangs, or a reply was wrong by one byte.
    pub fn round(&mut self, connections: usize, messages: u32, extent: Extent) -> anyhow::Result<Round> {
        let shape = self.plan.shape.of(messages)?;
        let asked = Asked { connections, messages, extent: extent.clone(), offer: None };
        // Asked for its cost, a server lets connections end first whose peers have closed.
        let patience = patience(&extent, shape) + self.under_way(&extent, connections, shape);
        self.measure(asked, patience, &Request::Cost, |pair| pair.drive(connections, shape, &extent))
    }

    /// How long the sessions of a load are under way over a link, where they are counted and not timed.
    fn under_way(&self, extent: &Extent, connections: usize, shape: Shape) -> Duration {
        let Extent::Sessions(sessions) = extent else { return Duration::ZERO };
        let of_each =
            sessions.div_ceil(connections.max(1) as u64).saturating_mul(u64::from(shape.messages()) + 2);
        // As long again for what is sent again.
        2 * self.network.round_trip().saturating_mul(u32::try_from(of_each).unwrap_or(u32::MAX))
    }

    /// Measures what the clients do that `begin` asks for, and what it costs: the server tells that with its answer to `asking`.
    fn measure(
        &mut self,
        asked: Asked,
        patience: Duration,
        asking: &Request,
        begin: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<Round> {
        // What either has spent until now, on writing its last reply for one, is not this round's.
        for client in &mut self.clients {
            client.ask(&Request::Cost, PATIENCE)?;
        }
        self.server.ask(asking, PATIENCE)?;
        let clocks = self.agree_on_begin(self.clients.len().min(asked.connections))?;
        let others = self.begin_to_watch(&asked)?;
        let (before, watch) = (self.counters(), MachineWatch::begin(&self.network));
        begin(self)?;
        let (run, client) = self.receive_run_within(patience)?;
        let took = others.begun.elapsed();
        let Reply { cost: mut server, .. } = self.server.ask(asking, PATIENCE)?;
        let begun_apart = self.begun_apart(&clocks)?;
        let neighbours = match self.here {
            true => watch.end(Duration::from_secs_f64((server.cpu_s() + client.cpu_s()).max(0.0))),
            false => Neighbours::default(),
        };
        if server.kernel.is_none() && client.kernel.is_none() {
            // Programs of others need not count; what they share with this process can be seen from here.
            server.kernel = self.counters().zip(before).map(|(after, before)| after - before);
        }
        let (thread_work, seen) = self.seen_since(&others, &asked, took)?;
        let untrue = untrue(&run, &asked.extent, asked.connections, seen);
        Ok(Round {
            neighbours,
            thread_work,
            untrue,
            begun_apart,
            ..self.round_of(asked, run, server, client)?
        })
    }

    /// A round of which no more is known than what came of it, and what it cost.
    fn round_of(&self, asked: Asked, run: LoadRun, server: Cost, client: Cost) -> anyhow::Result<Round> {
        let Asked { connections, messages, extent, offer } = asked;
        let [server_workers, client_workers] = self.workers()?;
        Ok(Round {
            connections,
            messages,
            clients: self.clients.len(),
            extent,
            offer,
            server_workers,
            client_workers,
            placement: self.placement.clone(),
            run,
            slices: Vec::new(),
            server,
            client,
            server_switches_per_message: None,
            thread_work: None,
            untrue: None,
            neighbours: Neighbours::default(),
            fallbacks: self.fallbacks.clone(),
            begun_apart: None,
            link: self.network.link().map(|link| link.asked),
            idle_kernel_bytes: self.idle_kernel_bytes,
        })
    }

    /// What the threads of the server did until now, where it tells.
    fn thread_work(&mut self) -> anyhow::Result<Option<ThreadWork>> {
        if contestant::find(&self.plan.server)?.speaks() < 2 {
            return Ok(None);
        }
        match self.server.ask(&Request::ThreadWork, PATIENCE)?.answer {
            Answer::ThreadWork(work) => Ok(Some(*work)),
            other => bail!("server {}: asked what its threads did, it answered {other:?}", self.plan.server),
        }
    }

    fn counters(&self) -> Option<KernelCounters> {
        self.here.then(|| self.network.counters()).flatten()
    }

    /// Lets all clients begin to drive, each with its share of the connections.
    fn drive(&mut self, connections: usize, shape: Shape, extent: &Extent) -> anyhow::Result<()> {
        let backend = contestant::find(&self.plan.client)?.backend_name();
        // Fewer connections than machines leave some of these out.
        let machines = self.clients.len().min(connections);
        for (index, client) in self.clients[..machines].iter_mut().enumerate() {
            let plan = LoadPlan {
                destinations: self.destinations.clone(),
                connections: share(connections, index, machines),
                shape,
                extent: share_of_extent(extent, index, machines),
                workers: self.plan.client_workers,
                // Where connections begin differs from round to round: rounds of an arm are not to be alike.
                seed: rand::random(),
            };
            client.send(&Request::Drive { backend: backend.to_owned(), plan })?;
        }
        self.driving = machines;
        Ok(())
    }

    /// Lets the client begin to drive in slices.
    fn start_sliced(&mut self, board: &Board, workload: &Workload, seed: u64) -> anyhow::Result<()> {
        let [client] = self.clients.as_mut_slice() else {
            bail!("one client is stopped and continued, not several")
        };
        let plan = LoadPlan {
            destinations: self.destinations.clone(),
            connections: workload.connections,
            shape: workload.shape(),
            extent: Extent::Sliced { board: board.path() },
            workers: self.plan.client_workers,
            seed,
        };
        let backend = contestant::find(&self.plan.client)?.backend_name().to_owned();
        client.send(&Request::Drive { backend, plan })?;
        self.driving = 1;
        Ok(())
    }

    /// Fails if a client has answered before it was to: it could not drive, or has ended.
    fn check_client(&mut self) -> anyhow::Result<()> {
        let name = &self.plan.client;
        let early = self.clients.iter_mut().try_fold(None, |early, client| Ok(early.or(client.poll()?)));
        match early {
            Err(error) => Err(error),
            Ok(None) => Ok(()),
            Ok(Some(Reply { answer, .. })) => bail!("client {name}: it ended its load by itself: {answer:?}"),
        }
    }

    /// Takes what came of a load that is over.
    fn receive_run(&mut self) -> anyhow::Result<(LoadRun, Cost)> {
        self.receive_run_within(PATIENCE)
    }

    /// Takes what came of a load; several histograms are merged.
    fn receive_run_within(&mut self, patience: Duration) -> anyhow::Result<(LoadRun, Cost)> {
        let mut merged: Option<(LoadRun, Cost)> = None;
        for client in &mut self.clients[..self.driving] {
            let Reply { answer, cost } = client.receive(patience)?;
            let Answer::Drove(run) = answer else {
                bail!("client {}: asked to drive, it answered {answer:?}", self.plan.client)
            };
            match &mut merged {
                None => merged = Some((*run, cost)),
                Some((all, spent)) => {
                    all.merge(&run);
                    *spent = *spent + cost;
                }
            }
        }
        merged.context("a pair has at least one client")
    }

    /// How many workers the server and the client have; `None` where connections or a prefix decide.
    fn workers(&self) -> anyhow::Result<[Option<usize>; 2]> {
        let PairPlan { server, client, .. } = &self.plan;
        let workers = |name: &str, asked, cpus: Option<&Cpus>| -> anyhow::Result<Option<usize>> {
            if name == pacer::NAME {
                return Ok(Some(1));
            }
            let Some(cpus) = cpus else { return Ok(asked) };
            Ok(contestant::find(name)?.workers(asked, cpus.count())?)
        };
        Ok([
            workers(server, self.plan.server_workers, self.placement.server.as_ref())?,
            workers(client, self.plan.client_workers, self.placement.client.as_ref())?,
        ])
    }

    /// Measures one round of a named workload, whose message size must be this pair's.
    ///
    /// # Errors
    /// As [`round`](Self::round).
    pub fn workload(&mut self, workload: &Workload, extent: Extent) -> anyhow::Result<Round> {
        self.hold_idle(workload.idle)?;
        self.round(workload.connections, workload.messages, extent)
    }
}

/// What a round was asked to be.
struct Asked {
    connections: usize,
    messages: u32,
    extent: Extent,
    /// `None` in a closed loop.
    offer: Option<Offer>,
}

/// The share of one machine in a number of things that all machines together have.
fn share(all: usize, index: usize, machines: usize) -> usize {
    all / machines + usize::from(index < all % machines)
}

fn share_of_extent(extent: &Extent, index: usize, machines: usize) -> Extent {
    match extent {
        Extent::Sessions(all) => Extent::Sessions(share(*all as usize, index, machines) as u64),
        Extent::Timed { .. } | Extent::Sliced { .. } => extent.clone(),
    }
}

/// How long a load may take.
fn patience(extent: &Extent, shape: Shape) -> Duration {
    PATIENCE
        + match extent {
            Extent::Timed { ramp_ms, window_ms } => Duration::from_millis(ramp_ms + window_ms),
            Extent::Sliced { .. } => Duration::ZERO,
            Extent::Sessions(sessions) => {
                let messages = sessions.saturating_mul(u64::from(shape.messages()));
                PATIENCE_PER_MESSAGE.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX))
            }
        }
}
