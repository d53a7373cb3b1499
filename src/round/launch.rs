//! How the agents of a round are started: by which program, on which processors, behind which prefix.

use std::{ffi::OsString, net::IpAddr, path::PathBuf};

use crate::{
    agent::{Agent, AgentCommand, Program, agent_words},
    contestant,
    net::ListenAt,
    pacer,
    placement::{Cpus, Placement},
};

/// How agents are started, and where they run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program that answers as `ioduel agent` does.
    pub program: PathBuf,
    /// The processors of both sides.
    pub placement: Placement,
    /// What goes before the server's program, such as `ip netns exec a`; nothing for this machine.
    pub server_exec: Vec<String>,
    /// What goes before the clients' program, one for each load machine; none for one client on this machine.
    pub client_exec: Vec<Vec<String>>,
    /// Where the server listens; on loopback alone when `None`.
    pub server_address: Option<IpAddr>,
}

impl Launch {
    /// Starts everything on this machine.
    pub fn here(program: PathBuf, placement: Placement) -> Self {
        Self { program, placement, server_exec: Vec::new(), client_exec: Vec::new(), server_address: None }
    }

    /// Starts the agent of a contestant, on these processors and with this prefix.
    fn start(
        &self,
        name: String,
        contestant: &str,
        prefix: &[String],
        cpus: Option<&Cpus>,
    ) -> anyhow::Result<Agent> {
        let (file, program) = match contestant {
            pacer::NAME => (None, Program::Own),
            name => {
                let contestant = contestant::find(name)?;
                (contestant.own_file(), contestant.program())
            }
        };
        let mut words = agent_words(file.unwrap_or(&self.program), cpus, program);
        if prefix.is_empty() {
            // Behind a prefix the parent is whatever that makes it, and nobody is stopped there.
            words.splice(2..2, ["--with-parent".into(), std::process::id().to_string().into()]);
        }
        let command = prefix.iter().map(OsString::from).chain(words).collect();
        // Behind a prefix nobody's CPU time is read from here.
        let is_supervised = program.is_supervised() && prefix.is_empty();
        Agent::start(&AgentCommand { name, command, is_supervised })
    }

    pub(super) fn start_server(&self, contestant: &str) -> anyhow::Result<Agent> {
        let name = format!("server {contestant}");
        self.start(name, contestant, &self.server_exec, self.placement.server.as_ref())
    }

    pub(super) fn start_clients(&self, contestant: &str) -> anyhow::Result<Vec<Agent>> {
        let one_here = [Vec::new()];
        let prefixes = if self.client_exec.is_empty() { &one_here[..] } else { &self.client_exec };
        let start = |(index, prefix): (usize, &Vec<String>)| {
            let number = if prefixes.len() > 1 { format!(" {}", index + 1) } else { String::new() };
            let name = format!("client {contestant}{number}");
            self.start(name, contestant, prefix, self.placement.client.as_ref())
        };
        prefixes.iter().enumerate().map(start).collect()
    }

    /// How the agent is started that holds silent connections, by no backend at all: beside the first client.
    pub(super) fn idle_holder(&self) -> AgentCommand {
        let prefix = self.client_exec.first().into_iter().flatten().map(OsString::from);
        let words = agent_words(&self.program, self.placement.client.as_ref(), Program::Own);
        AgentCommand {
            name: "the holder of silent connections".to_owned(),
            command: prefix.chain(words).collect(),
            is_supervised: false,
        }
    }

    /// Whether all agents run here, in the network namespace of this process.
    pub(super) fn is_here(&self) -> bool {
        self.server_exec.is_empty() && self.client_exec.is_empty()
    }

    pub(super) fn listen_at(&self) -> ListenAt {
        self.server_address.map_or(ListenAt::Loopback, |ip| ListenAt::Address((ip, 0).into()))
    }
}
