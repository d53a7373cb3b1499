//! A server agent and a client agent, and one measured round between them: what every measurement is made of.
//!
//! Absent from here: backends' code, which runs in the agents alone, and any judgement of what a round means beyond
//! the [`flags`](Round::flags) of what spoilt it.

mod flag;

use std::{path::PathBuf, time::Duration};

use anyhow::bail;

use crate::{
    agent::{Agent, AgentCommand, Answer, Cost, Reply, Request},
    backend,
    load::{Extent, LoadPlan, LoadRun, Workload},
    net::{ListenAt, PortLimit},
    placement::{Cpus, Placement},
    protocol::{Framing, Shape},
    service::ServerConfig,
};

pub use flag::{Flag, load_flags};

/// How long an agent has for what takes it no time.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a message may take on average before the whole is taken for a hang: some twenty times the slowest seen.
const PATIENCE_PER_MESSAGE: Duration = Duration::from_millis(1);

/// What is measured against what, and where.
#[derive(Clone, Debug)]
pub struct PairPlan {
    /// The program that answers as `ioduel agent` does.
    pub program: PathBuf,
    /// The server's backend.
    pub server: String,
    /// The client's backend.
    pub client: String,
    /// Worker threads of the server; the backend's default when `None`.
    pub server_workers: Option<usize>,
    /// Worker threads of the client; the backend's default when `None`.
    pub client_workers: Option<usize>,
    /// The processors of both.
    pub placement: Placement,
    /// The size of a message, in bytes.
    pub message_bytes: usize,
}

/// A server agent that serves, and a client agent that can drive it.
#[derive(Debug)]
pub struct Pair {
    plan: PairPlan,
    server: Agent,
    client: Agent,
    destinations: Vec<std::net::SocketAddr>,
    fallbacks: Vec<String>,
}

impl Pair {
    /// Starts both, and lets the server listen on loopback.
    ///
    /// # Errors
    /// When an agent cannot be started, or the server cannot serve.
    pub fn start(plan: PairPlan) -> anyhow::Result<Self> {
        let command = |role: &str, backend: &str, cpus: &Cpus| AgentCommand {
            name: format!("{role} {backend}"),
            prefix: Vec::new(),
            program: plan.program.clone(),
            cpus: Some(cpus.clone()),
        };
        let mut server = Agent::start(&command("server", &plan.server, &plan.placement.server))?;
        let client = Agent::start(&command("client", &plan.client, &plan.placement.client))?;
        let framing = Framing::Fixed { message_bytes: plan.message_bytes };
        let serve = Request::Serve {
            backend: plan.server.clone(),
            listen: ListenAt::Loopback,
            config: ServerConfig { framing, workers: plan.server_workers },
        };
        match server.ask(&serve, PATIENCE)?.answer {
            Answer::Serving { destinations, fallbacks } => {
                Ok(Self { plan, server, client, destinations, fallbacks })
            }
            other => bail!("server {}: asked to serve, it answered {other:?}", plan.server),
        }
    }

    /// Measures one round.
    ///
    /// # Errors
    /// When an agent fails, dies or hangs, or a reply was wrong by one byte.
    pub fn round(&mut self, connections: usize, messages: u32, extent: Extent) -> anyhow::Result<Round> {
        let shape = Shape::new(messages, self.plan.message_bytes)?;
        let drive = Request::Drive {
            backend: self.plan.client.clone(),
            plan: LoadPlan {
                destinations: self.destinations.clone(),
                connections,
                shape,
                extent,
                workers: self.plan.client_workers,
            },
        };
        // What either has spent until now, on writing its last reply for one, is not this round's.
        self.client.ask(&Request::Cost, PATIENCE)?;
        self.server.ask(&Request::Cost, PATIENCE)?;
        let Reply { answer, cost: client } = self.client.ask(&drive, patience(extent, shape))?;
        let Reply { cost: server, .. } = self.server.ask(&Request::Cost, PATIENCE)?;
        let Answer::Drove(run) = answer else {
            bail!("client {}: asked to drive, it answered {answer:?}", self.plan.client)
        };
        let port_limit = PortLimit::towards(&self.destinations);
        let (placement, fallbacks) = (self.plan.placement.clone(), self.fallbacks.clone());
        let [server_workers, client_workers] = self.workers()?;
        Ok(Round {
            server_workers,
            client_workers,
            connections,
            extent,
            placement,
            run: *run,
            server,
            client,
            port_limit,
            fallbacks,
        })
    }

    /// How many workers the server and the client have; `None` where connections decide.
    fn workers(&self) -> anyhow::Result<[Option<usize>; 2]> {
        let PairPlan { server, client, placement, .. } = &self.plan;
        let workers = |name: &str, asked, cpus: &Cpus| -> anyhow::Result<Option<usize>> {
            Ok(backend::find(name)?.about().workers(asked, cpus.count())?)
        };
        Ok([
            workers(server, self.plan.server_workers, &placement.server)?,
            workers(client, self.plan.client_workers, &placement.client)?,
        ])
    }

    /// Measures one round of a named workload, whose message size must be this pair's.
    ///
    /// # Errors
    /// As [`round`](Self::round).
    pub fn workload(&mut self, workload: Workload, extent: Extent) -> anyhow::Result<Round> {
        self.round(workload.connections, workload.messages, extent)
    }
}

/// How long a load may take.
fn patience(extent: Extent, shape: Shape) -> Duration {
    PATIENCE
        + match extent {
            Extent::Timed { ramp_ms, window_ms } => Duration::from_millis(ramp_ms + window_ms),
            Extent::Sessions(sessions) => {
                let messages = sessions.saturating_mul(u64::from(shape.messages()));
                PATIENCE_PER_MESSAGE.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX))
            }
        }
}

/// What one round measured.
#[derive(Clone, Debug)]
pub struct Round {
    /// Sessions at a time.
    pub connections: usize,
    /// When it was to be over.
    pub extent: Extent,
    /// Worker threads of the server; `None` where connections decide.
    pub server_workers: Option<usize>,
    /// Worker threads of the client; `None` where connections decide.
    pub client_workers: Option<usize>,
    /// Where both ran.
    pub placement: Placement,
    /// What the client measured.
    pub run: LoadRun,
    /// What the server spent.
    pub server: Cost,
    /// What the client spent.
    pub client: Cost,
    /// What the port table would allow.
    pub port_limit: PortLimit,
    /// What stands in place of what the platform lacks.
    pub fallbacks: Vec<String>,
}

impl Round {
    /// The server's CPU time per message, in microseconds.
    pub fn server_cpu_us_per_message(&self) -> f64 {
        self.per_message_us(self.server)
    }

    /// The client's CPU time per message, in microseconds.
    pub fn client_cpu_us_per_message(&self) -> f64 {
        self.per_message_us(self.client)
    }

    fn per_message_us(&self, cost: Cost) -> f64 {
        cost.cpu_s() * 1e6 / self.run.messages_in_all.max(1) as f64
    }

    /// The share of its processors that the server used, from 0 to 1.
    pub fn server_share(&self) -> f64 {
        self.share(self.server, &self.placement.server)
    }

    /// The share of its processors that the client used, from 0 to 1.
    pub fn client_share(&self) -> f64 {
        self.share(self.client, &self.placement.client)
    }

    fn share(&self, cost: Cost, cpus: &Cpus) -> f64 {
        cost.cpu_s() / (self.run.elapsed_s * cpus.count() as f64)
    }

    /// What a reader must know before believing the round; empty when nothing spoilt it.
    pub fn flags(&self) -> Vec<Flag> {
        flag::round_flags(self)
    }
}
