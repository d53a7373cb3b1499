//! An agent that a case has started: the subject's, or the reference.

use std::{
    ffi::OsString,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::{CannotTell, Subject, peers::RawClient};
use crate::{
    agent::{Agent, AgentCommand, Answer, Cost, Program, Reply, Request, agent_words},
    load::{Extent, LoadPlan, LoadRun},
    net::ListenAt,
    protocol::{DEFAULT_MESSAGE_BYTES, Framing, Shape},
    service::{Served, ServerConfig},
};

/// The backend of the reference: the one with the fewest layers.
const REFERENCE_BACKEND: &str = "epoll";

/// How long an agent has to exit after its case. Those that don't are found by cases of their own.
const UNTIL_EXIT: Duration = Duration::from_millis(500);

/// How long between two questions of what was served.
const UNTIL_ASKED_AGAIN: Duration = Duration::from_millis(5);

/// Messages as they are unless told otherwise.
pub(super) const FIXED: Framing = Framing::fixed(DEFAULT_MESSAGE_BYTES);

/// An agent that runs. Dropping it ends it.
pub(super) struct Started {
    pub(super) agent: Agent,
    backend: String,
    patience: Duration,
    /// How many workers it is to have.
    workers: Option<usize>,
    /// Whether it tells what it has served.
    counts: bool,
    /// Where it serves; empty until it does.
    pub(super) destinations: Vec<SocketAddr>,
}

impl Subject {
    /// Starts the subject's agent.
    pub(super) fn start(&self) -> anyhow::Result<Started> {
        self.start_with(&[])
    }

    /// Starts the subject's agent through a command that runs another.
    pub(super) fn start_with(&self, prefix: &[&str]) -> anyhow::Result<Started> {
        let prefix = prefix.iter().map(OsString::from);
        let command = prefix.chain(self.command.iter().cloned()).collect();
        let mut started = self.agent("the program under test", command, &self.backend)?;
        (started.counts, started.workers) = (!self.is_alone, self.workers);
        Ok(started)
    }

    /// Starts the agent that is known to be right.
    pub(super) fn reference(&self) -> anyhow::Result<Started> {
        self.agent("the reference", agent_words(&self.reference, None, Program::Own), REFERENCE_BACKEND)
    }

    /// Starts the subject's agent, and lets it serve.
    pub(super) fn serve(&self, framing: Framing) -> anyhow::Result<Started> {
        let mut server = self.start()?;
        if framing != FIXED && !self.takes_all_sizes {
            bail!(CannotTell("it takes messages of 16 bytes alone".to_owned()));
        }
        server.serve(framing, ListenAt::Loopback)?;
        Ok(server)
    }

    /// Starts the reference, and lets it serve.
    pub(super) fn serve_reference(&self, framing: Framing) -> anyhow::Result<Started> {
        let mut server = self.reference()?;
        server.serve(framing, ListenAt::Loopback)?;
        Ok(server)
    }

    fn agent(&self, name: &str, command: Vec<OsString>, backend: &str) -> anyhow::Result<Started> {
        let agent = Agent::start(&AgentCommand {
            name: name.to_owned(),
            command: command.clone(),
            is_supervised: is_supervised(&command),
        })?;
        Ok(Started {
            agent,
            backend: backend.to_owned(),
            patience: self.patience,
            counts: true,
            workers: None,
            destinations: Vec::new(),
        })
    }
}

impl Started {
    pub(super) fn ask(&mut self, request: &Request) -> anyhow::Result<Reply> {
        self.agent.ask(request, self.patience)
    }

    /// Lets it serve.
    pub(super) fn serve(&mut self, framing: Framing, listen: ListenAt) -> anyhow::Result<()> {
        self.serve_as(ServerConfig::echoing(framing), listen)
    }

    /// Lets it serve so.
    pub(super) fn serve_as(&mut self, config: ServerConfig, listen: ListenAt) -> anyhow::Result<()> {
        let config = ServerConfig { workers: self.workers, ..config };
        match self.ask(&Request::Serve { backend: self.backend.clone(), listen, config })?.answer {
            Answer::Serving { destinations, .. } => self.destinations = destinations,
            other => bail!("asked to serve, it answered {other:?}"),
        }
        ensure!(!self.destinations.is_empty(), "asked to serve, it names no destination");
        Ok(())
    }

    /// Where it serves.
    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.destinations.first().copied().context("it does not serve")
    }

    /// Connects to it by hand.
    pub(super) fn connect(&self) -> anyhow::Result<RawClient> {
        RawClient::connect(self.address()?, self.patience)
    }

    /// What it has served until now.
    pub(super) fn served(&mut self) -> anyhow::Result<Served> {
        match self.ask(&Request::Served)?.answer {
            Answer::Served(served) => Ok(served),
            other => bail!("asked to tell what it served, it answered {other:?}"),
        }
    }

    /// Waits until it has counted so many of something.
    pub(super) fn wait_for(
        &mut self,
        what: &str,
        count: fn(&Served) -> u64,
        expected: u64,
    ) -> anyhow::Result<()> {
        if !self.counts {
            return Ok(());
        }
        let deadline = Instant::now() + self.patience;
        loop {
            let got = count(&self.served()?);
            if got == expected {
                return Ok(());
            }
            // What is too much does not get less.
            let in_vain = got > expected || Instant::now() > deadline;
            ensure!(!in_vain, "{what} counted: expected {expected}, got {got}");
            thread::sleep(UNTIL_ASKED_AGAIN);
        }
    }

    /// Stops it.
    pub(super) fn stop(&mut self) -> anyhow::Result<Served> {
        match self.ask(&Request::Stop)?.answer {
            Answer::Served(served) => Ok(served),
            other => bail!("asked to stop, it answered {other:?}"),
        }
    }

    /// Stops it, and checks what it has counted, where it tells.
    pub(super) fn stop_and_expect(&mut self, expected: impl Fn(&Served) -> Served) -> anyhow::Result<()> {
        let got = self.stop()?;
        let mut expected = expected(&got);
        // Where several workers accept, as they may where nobody said how many, one may take a connection before another has seen the
        // end of the one before.
        if self.workers != Some(1) && got.most_open > expected.most_open {
            expected.most_open = got.most_open.min(expected.connections);
        }
        ensure!(!self.counts || got == expected, "expected {}, got {}", counts(expected), counts(got));
        Ok(())
    }

    /// Lets it drive a load.
    pub(super) fn drive(&mut self, plan: LoadPlan) -> anyhow::Result<LoadRun> {
        Ok(self.drive_at_cost(plan)?.0)
    }

    /// Lets it drive a load, and tells what that has cost.
    pub(super) fn drive_at_cost(&mut self, plan: LoadPlan) -> anyhow::Result<(LoadRun, Cost)> {
        let plan = LoadPlan { workers: self.workers, ..plan };
        let Reply { answer, cost } = self.ask(&Request::Drive { backend: self.backend.clone(), plan })?;
        match answer {
            Answer::Drove(run) => Ok((*run, cost)),
            other => bail!("asked to drive, it answered {other:?}"),
        }
    }

    /// Asks it to drive a load, without waiting for the end.
    pub(super) fn begin_to_drive(&mut self, plan: LoadPlan) -> anyhow::Result<()> {
        let plan = LoadPlan { workers: self.workers, ..plan };
        self.agent.send(&Request::Drive { backend: self.backend.clone(), plan })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // How it ends is told by cases of their own.
        let _ = self.agent.end(UNTIL_EXIT);
    }
}

/// Whether words start a supervisor.
fn is_supervised(words: &[OsString]) -> bool {
    words.iter().any(|word| word == "--supervise")
}

fn counts(served: Served) -> String {
    let Served { connections, messages, failures, most_open } = served;
    format!("{connections} connections, {messages} messages, {failures} failures, {most_open} open at most")
}

/// So many sessions of the default shape.
pub(super) fn sessions(destinations: &[SocketAddr], connections: usize, sessions: u64) -> LoadPlan {
    LoadPlan {
        destinations: destinations.to_vec(),
        connections,
        shape: Shape::default(),
        extent: Extent::Sessions(sessions),
        workers: None,
        seed: 0,
    }
}

/// Checks what came of so many sessions.
pub(super) fn expect_sessions(run: &LoadRun, completed: u64, failed: u64) -> anyhow::Result<()> {
    let (got, failures) = (run.sessions, run.failures);
    let why = run.first_failure.as_deref().map_or(String::new(), |why| format!("; the first failure: {why}"));
    ensure!(
        (got, failures) == (completed, failed),
        "expected {completed} sessions and {failed} failures, got {got} sessions and {failures} failures{why}"
    );
    Ok(())
}
