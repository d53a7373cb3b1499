//! How the agents of a round are started: by which program, on which processors, behind which prefix.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{Network, PATIENCE};
use crate::{
    agent::{Agent, AgentCommand, Answer, Build, Program, Request, agent_words},
    contestant,
    environment::Environment,
    net::{ListenAt, Role},
    pacer,
    placement::{Cpus, Placement},
};

/// How agents are started, and where they run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program that answers as `ioduel agent` does.
    pub program: PathBuf,
    /// The network in which the agents of this machine are.
    pub network: Network,
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
    /// Starts everything on this machine, in its own network.
    pub fn here(program: PathBuf, placement: Placement) -> Self {
        Self {
            program,
            network: Network::shared(),
            placement,
            server_exec: Vec::new(),
            client_exec: Vec::new(),
            server_address: None,
        }
    }

    /// Refuses an address that servers started on this machine cannot listen at; one behind a prefix is not tried.
    ///
    /// # Errors
    /// When there is one.
    pub fn check_address(&self) -> Result<(), String> {
        let here = self.server_address.filter(|_| self.server_exec.is_empty());
        let try_it = |ip: IpAddr| {
            let refused = |error| format!("servers cannot listen at --server-address {ip}: {error}");
            TcpListener::bind((ip, 0)).map(drop).map_err(refused)
        };
        here.map_or(Ok(()), try_it)
    }

    /// The words that start an agent, with its prefix: on this machine on its processors, in the network of the run.
    fn words(&self, own: &Path, program: Program<'_>, prefix: &[String], role: Role) -> Vec<OsString> {
        let cpus = self.cpus(role).filter(|_| !prefix.is_empty() || Cpus::cannot_pin().is_none());
        let mut words = agent_words(own, cpus, program);
        if prefix.is_empty() {
            // Behind a prefix the parent is whatever that makes it, and nobody is stopped there.
            words.splice(2..2, ["--with-parent".into(), std::process::id().to_string().into()]);
            words.splice(2..2, self.network.options(role));
        }
        behind(prefix, words)
    }

    /// Starts the agent of a contestant at a side, with this prefix.
    fn start(&self, name: String, contestant: &str, prefix: &[String], role: Role) -> anyhow::Result<Agent> {
        let (file, program) = match contestant {
            pacer::NAME => (None, Program::Own),
            name => {
                let contestant = contestant::find(name)?;
                (contestant.own_file(), contestant.program())
            }
        };
        let command = self.words(file.unwrap_or(&self.program), program, prefix, role);
        // Behind a prefix nobody's CPU time is read from here.
        let is_supervised = program.is_supervised() && prefix.is_empty();
        let mut agent = Agent::start(&AgentCommand { name, command, is_supervised })?;
        if !prefix.is_empty() && program == Program::Own && file.is_none() {
            check_build(&mut agent, prefix)?;
        }
        Ok(agent)
    }

    /// The machines behind prefixes, each told by an agent there: of the server, and of each client.
    ///
    /// # Errors
    /// When an agent cannot be started there, or is another build.
    pub fn elsewhere(&self) -> anyhow::Result<BTreeMap<String, Environment>> {
        let behind_prefixes = self.agents().filter(|(_, prefix, _)| !prefix.is_empty());
        let told = |(name, prefix, role): (String, &[String], Role)| {
            let mut agent = Agent::start(&self.command(name.clone(), prefix, role))?;
            check_build(&mut agent, prefix)?;
            match agent.ask(&Request::Environment, PATIENCE)?.answer {
                Answer::Environment(environment) => Ok((name, *environment)),
                other => bail!("{name}: asked for its machine, it answered {other:?}"),
            }
        };
        behind_prefixes.map(told).collect()
    }

    /// The commands that start the agents of backends of this program, and start none.
    pub fn commands(&self) -> Vec<AgentCommand> {
        self.agents().map(|(name, prefix, role)| self.command(name, prefix, role)).collect()
    }

    /// The agents of both sides: what each is called, its prefix, and what it is.
    fn agents(&self) -> impl Iterator<Item = (String, &[String], Role)> {
        let server = ("server".to_owned(), self.server_exec.as_slice(), Role::Server);
        let clients = self.client_prefixes().into_iter();
        let clients = clients.map(|(number, prefix)| (format!("client{number}"), prefix, Role::Client));
        std::iter::once(server).chain(clients)
    }

    /// How an agent of this program is started.
    fn command(&self, name: String, prefix: &[String], role: Role) -> AgentCommand {
        let command = self.words(&self.program, Program::Own, prefix, role);
        AgentCommand { name, command, is_supervised: false }
    }

    /// What each client is started with, and the number by which it is told from others, if there are any.
    fn client_prefixes(&self) -> Vec<(String, &[String])> {
        match self.client_exec.as_slice() {
            [] => vec![(String::new(), &[])],
            [one] => vec![(String::new(), one)],
            several => {
                (1..).zip(several).map(|(number, prefix)| (format!(" {number}"), prefix.as_slice())).collect()
            }
        }
    }

    pub(super) fn start_server(&self, contestant: &str) -> anyhow::Result<Agent> {
        let name = format!("server {contestant}");
        self.start(name, contestant, &self.server_exec, Role::Server)
    }

    pub(super) fn start_clients(&self, contestant: &str) -> anyhow::Result<Vec<Agent>> {
        let start = |(number, prefix): (String, &[String])| {
            let name = format!("client {contestant}{number}");
            self.start(name, contestant, prefix, Role::Client)
        };
        self.client_prefixes().into_iter().map(start).collect()
    }

    /// How the agent is started that holds silent connections, by no backend at all: beside the first client.
    pub(super) fn idle_holder(&self) -> AgentCommand {
        let prefix = self.client_exec.first().map_or(&[][..], Vec::as_slice);
        self.command("the holder of silent connections".to_owned(), prefix, Role::Client)
    }

    /// The processors of a side; all of its machine's when `None`.
    fn cpus(&self, role: Role) -> Option<&Cpus> {
        match role {
            Role::Server => self.placement.server.as_ref(),
            Role::Client => self.placement.client.as_ref(),
        }
    }

    /// Whether all agents run here, in one network.
    pub fn is_here(&self) -> bool {
        self.server_exec.is_empty() && self.client_exec.is_empty()
    }

    pub(super) fn listen_at(&self) -> ListenAt {
        self.server_address
            .or_else(|| self.network.server_address())
            .map_or(ListenAt::Loopback, |ip| ListenAt::Address((ip, 0).into()))
    }
}

/// The words of a command behind a prefix.
fn behind(prefix: &[String], words: Vec<OsString>) -> Vec<OsString> {
    // ssh(1) hands on one string, which a shell over there splits again.
    let is_split_again = prefix.first().is_some_and(|it| Path::new(it).file_name() == Some("ssh".as_ref()));
    let quoted = |word: OsString| match word.to_str() {
        Some(text) if is_split_again => shell_words::quote(text).into_owned().into(),
        _ => word,
    };
    prefix.iter().map(OsString::from).chain(words.into_iter().map(quoted)).collect()
}

/// Refuses an agent behind a prefix that is another build than this: half of a record would be of another program.
fn check_build(agent: &mut Agent, prefix: &[String]) -> anyhow::Result<()> {
    let behind = || format!("behind {:?} is another version of this program", shell_words::join(prefix));
    match agent.ask(&Request::Build, PATIENCE).with_context(behind)?.answer {
        Answer::Build(build) => match Build::own().difference(&build) {
            Some((what, here, there)) => {
                bail!("{}: {what} {here:?} here, {there:?} there; copy this program there", behind())
            }
            None => Ok(()),
        },
        other => bail!("{}: asked for its build, it answered {other:?}", behind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell_behind_ssh() {
        let words = |prefix: &[&str]| {
            let prefix: Vec<String> = prefix.iter().map(|word| (*word).to_owned()).collect();
            behind(&prefix, ["/a b/ioduel".into(), "agent".into(), "it's".into()].into())
        };
        assert_eq!(words(&["taskset", "-c", "1"])[3..], ["/a b/ioduel", "agent", "it's"]);
        let handed_on = words(&["/usr/bin/ssh", "host"])[2..].join(" ".as_ref()).into_string().unwrap();
        assert_eq!(shell_words::split(&handed_on).unwrap(), ["/a b/ioduel", "agent", "it's"]);
    }
}
