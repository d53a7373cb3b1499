//! `ioduel agent`: answers requests in JSON lines, or lets another program do so.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use nix::{
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::getppid,
};

use super::pin;
use crate::{
    agent,
    net::{Namespace, raise_descriptor_limit},
    placement::Cpus,
    supervisor,
};

/// Answer JSON requests from standard input, one per line; only for internal use.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  echo '{\"request\":\"cost\"}' | ioduel agent\n  ioduel agent --cpus 0 -- ./my-agent\n\n\
                  CONTRIBUTING.md describes the requests."
)]
pub(super) struct Args {
    /// Run on these processors only
    #[arg(long)]
    cpus: Option<Cpus>,
    /// Move to a network namespace of its own, to one beside that of the process of this number, or to that one
    #[arg(long, value_name = "own|beside:PID|PID", hide = true)]
    network: Option<Namespace>,
    /// End with the thread that started this process, which is of the process of this number
    #[arg(long, value_name = "PID", hide = true)]
    with_parent: Option<i32>,
    /// The kind of program that COMMAND is; ioduel starts it, and measures its CPU time
    #[arg(long, value_enum, value_name = "AS", requires = "command", hide = true)]
    supervise: Option<Supervised>,
    /// Another program, which answers the requests in place of ioduel
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What a program is that is supervised.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Supervised {
    /// COMMAND answers the requests itself
    Agent,
    /// COMMAND is a plain server. Its arguments can contain {address}, {host}, {port} and {message_bytes}, which ioduel replaces
    Server,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let is_own = args.command.is_empty();
    match prepare(&args) {
        Ok(()) => answer(args),
        Err(why) if is_own => agent::refuse(why).map(|()| ExitCode::FAILURE),
        Err(why) => Err(why),
    }
}

/// Gets to where it is to be: its network, its processors, its end.
fn prepare(args: &Args) -> anyhow::Result<()> {
    if let Some(network) = args.network {
        // First, while this process has one thread; and other rights undo what is asked for next.
        network.enter()?;
    }
    if let Some(parent) = args.with_parent {
        // The end of its input is not seen by one that is stopped. What it becomes keeps this, but for set-user-ID programs.
        // Whoever supervises ends first what is below it.
        let last = if args.supervise.is_some() { Signal::SIGTERM } else { Signal::SIGKILL };
        set_pdeathsig(last).context("cannot ask to end with the program that started this one")?;
        anyhow::ensure!(getppid().as_raw() == parent, "the program that started this one is gone");
    }
    pin(args.cpus.as_ref())
}

fn answer(args: Args) -> anyhow::Result<ExitCode> {
    let Some((program, arguments)) = args.command.split_first() else {
        agent::answer_requests()?;
        return Ok(ExitCode::SUCCESS);
    };
    if args.supervise.is_some() {
        supervisor::end_all_when_told().context("cannot handle signals")?;
    }
    match args.supervise {
        Some(Supervised::Agent) => return supervisor::relay(&args.command),
        Some(Supervised::Server) => {
            return supervisor::serve_alone(args.command).map(|()| ExitCode::SUCCESS);
        }
        None => {}
    }
    raise_descriptor_limit()?;
    // Nothing comes back from a program that runs.
    let error = Command::new(program).args(arguments).exec();
    anyhow::bail!("cannot start {:?}: {error}", program.to_string_lossy())
}
