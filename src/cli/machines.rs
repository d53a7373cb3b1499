//! `ioduel machines`: where the two sides of a duel run, as a file says it.

use std::{fs, net::IpAddr, process::ExitCode, str::FromStr};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{output, wrong_usage};
use crate::{
    placement::{Cpus, Placement},
    processes::own_program,
    round::{Launch, Network},
    written::toml_error,
};

/// Print the commands that `ioduel duel --machines FILE` would run on each machine.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel machines plan machines.toml\n  ioduel duel epoll tokio --machines machines.toml\n\n\
                        A file:\n  [server]\n  exec = \"ssh host1\"        # starts the server on host1\n  address = \"10.0.0.1\"      \
                        # where it listens\n  cpus = \"0-3\"              # processors to use there\n\n  [clients]\n  exec = [\"ssh host2\", \"ssh host3\"]  # a client \
                        on each\n  cpus = \"0\""
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print the commands that a duel would start, without starting them
    Plan {
        /// The file that describes the machines; `ioduel machines --help` shows one
        file: Machines,
    },
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Plan { file } = args.command;
    let server = (file.server_cpus.clone(), !file.server_exec.is_empty());
    let client = (file.client_cpus.clone(), !file.client_exec.is_empty());
    let placement = Placement::with_prefixes(server, client).map_err(wrong_usage)?;
    let launch =
        file.launch(Launch { network: Network::shared(), ..Launch::here(own_program()?, placement) });
    for command in launch.commands() {
        let words: Vec<_> = command.command.iter().map(|word| word.to_string_lossy()).collect();
        output::print(&format!("{}: {}", command.name, shell_words::join(&words)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the two sides run; what is absent is chosen here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machines {
    /// What the server is started with.
    pub(super) server_exec: Vec<String>,
    pub(super) server_address: Option<IpAddr>,
    pub(super) server_cpus: Option<Cpus>,
    /// What each client is started with.
    pub(super) client_exec: Vec<Vec<String>>,
    pub(super) client_cpus: Option<Cpus>,
}

impl Machines {
    /// Starts both sides there.
    pub(super) fn launch(&self, here: Launch) -> Launch {
        Launch {
            server_exec: self.server_exec.clone(),
            client_exec: self.client_exec.clone(),
            server_address: self.server_address,
            ..here
        }
    }

    /// Whether anything runs elsewhere, or listens where others can reach it.
    pub(super) fn are_elsewhere(&self) -> bool {
        !self.server_exec.is_empty() || !self.client_exec.is_empty() || self.server_address.is_some()
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let WireMachines { server, clients } = toml::from_str(text).map_err(|error| toml_error(&error))?;
        let words = |what: &str, text: &str| -> anyhow::Result<Vec<String>> {
            let words = shell_words::split(text).with_context(|| format!("{what} = {text:?}"))?;
            ensure!(!words.is_empty(), "{what} is empty; leave it out for this machine");
            Ok(words)
        };
        let clients = clients.unwrap_or_default();
        Ok(Self {
            server_exec: server.exec.map_or(Ok(Vec::new()), |exec| words("server.exec", &exec))?,
            server_address: server.address,
            server_cpus: server.cpus,
            client_exec: clients
                .exec
                .iter()
                .map(|exec| words("clients.exec", exec))
                .collect::<anyhow::Result<_>>()?,
            client_cpus: clients.cpus,
        })
    }
}

impl FromStr for Machines {
    type Err = String;

    /// Reads the file of this path.
    fn from_str(path: &str) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        Self::parse(&text).map_err(|error| format!("{path}: {error:#}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMachines {
    server: WireServer,
    clients: Option<WireClients>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireServer {
    exec: Option<String>,
    address: Option<IpAddr>,
    cpus: Option<Cpus>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireClients {
    #[serde(default)]
    exec: Vec<String>,
    cpus: Option<Cpus>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_the_options_say() {
        let file = "[server]\nexec = \"ssh -p 22 a\"\naddress = \"10.0.0.1\"\ncpus = \"0-3\"\n\
                    [clients]\nexec = [\"ssh b\", \"ssh c\"]\ncpus = \"0\"\n";
        let read = Machines::parse(file).unwrap();
        assert_eq!(read.server_exec, ["ssh", "-p", "22", "a"]);
        assert_eq!(read.client_exec, [["ssh", "b"], ["ssh", "c"]]);
        assert_eq!(read.server_cpus, Some("0-3".parse().unwrap()));
        assert!(read.are_elsewhere());
        assert!(!Machines::parse("[server]\n").unwrap().are_elsewhere());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let error = |text: &str| Machines::parse(text).unwrap_err().to_string();
        assert!(
            error("[server]\nhost = \"a\"\n").starts_with("line 2"),
            "{}",
            error("[server]\nhost = \"a\"\n")
        );
        assert!(error("[server]\nexec = \"\"\n").contains("leave it out"));
        assert!(error("[server]\ncpus = \"x\"\n").contains("is not a list of processors"));
        assert!(error("").contains("missing field `server`"));
    }
}
