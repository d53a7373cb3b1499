//! `ioduel doctor`: what on this machine would spoil a measurement, and what to do about it.

use std::process::ExitCode;

use super::{Format, network, output, table::Table};
use crate::{
    doctor::{Check, examine, links},
    round::Network,
};

/// Show what on this machine would distort a measurement, and how to fix it.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ioduel doctor")]
pub(super) struct Args {
    /// The network namespace to check [default: own, unless the system forbids it]
    #[arg(long, value_enum)]
    network: Option<network::Choice>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let program = crate::processes::own_program()?;
    let mut checks = examine(&network::ChosenNetwork::new(args.network, &program, false)?.environment());
    // Tried, for all that it needs: two namespaces, iproute2, and a kernel that can delay.
    let delayed = "delay 1ms".parse().map_err(anyhow::Error::msg)?;
    checks.push(links(Network::try_link(&program, &delayed)));
    match Format::new(args.json) {
        Format::Json => checks.iter().try_for_each(output::print_json)?,
        Format::Table => output::print(&format!("{}\n{}", render(&checks), sum(&checks)))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn sum(checks: &[Check]) -> String {
    match checks.iter().filter(|check| check.mend.is_some()).count() {
        0 => "Nothing distorts a measurement here.".to_owned(),
        1 => "1 problem.".to_owned(),
        problems => format!("{problems} problems."),
    }
}

fn render(checks: &[Check]) -> String {
    let mut table = Table::new(["", "what", "found", "fix"]);
    for Check { what, found, mend } in checks {
        let state = if mend.is_some() { "!!" } else { "ok" };
        table.add([state.to_owned(), (*what).to_owned(), found.clone(), mend.clone().unwrap_or_default()]);
    }
    table.to_string()
}
