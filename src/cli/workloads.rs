//! `ioduel workloads`: the named workloads, and their files.

use std::process::ExitCode;

use super::{output, table, wrong_usage};
use crate::load::Workload;

/// List the workloads, or print one as a file to copy and edit.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ioduel workloads\n  ioduel workloads session > mine.toml\n  \
                        ioduel duel epoll tokio --workload mine.toml")]
pub(super) struct Args {
    /// The workload to print
    name: Option<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.name {
        Some(name) => output::print(Workload::file(&name).map_err(wrong_usage)?.trim_end())?,
        None => output::print(&render(&Workload::named()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn render(workloads: &[Workload]) -> String {
    let mut rows =
        table::Table::new(["workload", "connections", "messages", "ramp", "window", "what it shows"]);
    for it in workloads {
        rows.add([
            it.name.clone(),
            match it.idle {
                0 => it.connections.to_string(),
                idle => format!("{} and {idle} silent", it.connections),
            },
            it.in_words(),
            format!("{} ms", it.ramp_ms),
            format!("{} ms", it.window_ms),
            it.shows.clone(),
        ]);
    }
    rows.to_string()
}
