//! `ioduel list`: the contestants, and whether they run here.

use std::process::ExitCode;

use serde::Serialize;

use super::{output, table};
use crate::{
    backend,
    contestant::{self, Contestant, Description},
};

/// List the backends, with their versions, whether they are maintained, and whether they run here.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ioduel list\n  ioduel list --json")]
pub(super) struct Args {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// A contestant, as it is listed.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    #[serde(flatten)]
    description: Description,
    /// Why it can't run here.
    unavailable: Option<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let listed = contestant::all().iter().map(list);
    if args.json {
        listed.into_iter().try_for_each(|listed| output::print_json(&listed))?;
    } else {
        output::print(&render(listed))?;
        let left_out: Vec<&str> = backend::left_out().collect();
        if !left_out.is_empty() {
            let (names, features) = (left_out.join(", "), left_out.join(","));
            output::print(&format!("\nNot built: {names}; cargo build --features {features}"))?;
        }
    }
    contestant::faults().iter().for_each(|fault| output::complain(fault));
    Ok(ExitCode::SUCCESS)
}

fn list(contestant: &'static Contestant) -> Listed {
    let unavailable = contestant.available().err().map(|why| why.to_string());
    Listed { name: contestant.name(), description: contestant.describe(), unavailable }
}

fn render(listed: impl Iterator<Item = Listed>) -> String {
    let mut rows =
        table::Table::new(["backend", "rests on", "kind", "threads", "maintenance", "here", "what it is"]);
    for Listed { name, description, unavailable } in listed {
        rows.add([
            name.to_owned(),
            description.versioned(),
            description.model.to_string(),
            description.threading.to_string(),
            description.upkeep(),
            unavailable.map_or_else(|| "runs".to_owned(), |why| format!("no: {why}")),
            description.summary,
        ]);
    }
    rows.to_string()
}
