//! `ioduel agent`: answers requests in JSON lines.

use std::process::ExitCode;

use super::pin;
use crate::{agent, placement::Cpus};

/// Answer requests in JSON lines on standard input, until it ends; what `run` and the benches start.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  echo '{\"request\":\"cost\"}' | ioduel agent\n\nCONTRIBUTING.md describes the requests."
)]
pub(super) struct Args {
    /// Keep to these processors
    #[arg(long)]
    cpus: Option<Cpus>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    pin(args.cpus.as_ref())?;
    agent::answer_requests()?;
    Ok(ExitCode::SUCCESS)
}
