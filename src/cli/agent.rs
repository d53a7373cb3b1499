//! `ioduel agent`: answers requests in JSON lines, or lets another program do so.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use super::pin;
use crate::{agent, net::raise_descriptor_limit, placement::Cpus};

/// Answer requests in JSON lines on standard input, until it ends; what `run` and the benches start.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  echo '{\"request\":\"cost\"}' | ioduel agent\n  ioduel agent --cpus 0 -- ./my-agent\n\n\
                  CONTRIBUTING.md describes the requests."
)]
pub(super) struct Args {
    /// Keep to these processors
    #[arg(long)]
    cpus: Option<Cpus>,
    /// Become this program, once the processors are chosen and the limit on descriptors is raised
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    // The end of its input is not seen by one that is stopped. What it becomes keeps this: prctl(2).
    set_pdeathsig(Signal::SIGKILL).context("cannot ask to end with the program that started this one")?;
    pin(args.cpus.as_ref())?;
    let Some((program, arguments)) = args.command.split_first() else {
        agent::answer_requests()?;
        return Ok(ExitCode::SUCCESS);
    };
    raise_descriptor_limit()?;
    // Nothing comes back from a program that runs.
    let error = Command::new(program).args(arguments).exec();
    anyhow::bail!("cannot start {:?}: {error}", program.to_string_lossy())
}
