//! `ioduel list`: the backends, and whether they run here.

use std::process::ExitCode;

use serde::Serialize;

use super::{output, table};
use crate::backend::{self, About, Backend};

/// Show the backends: version, kind, state of maintenance, and whether they run here.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ioduel list\n  ioduel list --json")]
pub(super) struct Args {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A backend, as it is listed.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    about: &'static About,
    version: &'static str,
    /// Why it can't run here.
    unavailable: Option<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let listed = backend::known().map(list);
    if args.json {
        listed.into_iter().try_for_each(|listed| output::print_json(&listed))?;
    } else {
        output::print(&render(listed))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(backend: &dyn Backend) -> Listed {
    let about = backend.about();
    let unavailable = backend.available().err().map(|why| why.to_string());
    Listed { about, version: about.version(), unavailable }
}

fn render(listed: impl Iterator<Item = Listed>) -> String {
    let mut rows =
        table::Table::new(["backend", "crate", "kind", "threads", "maintenance", "here", "what it is"]);
    for Listed { about, unavailable, .. } in listed {
        rows.add([
            about.name.to_owned(),
            about.versioned_crate(),
            about.model.to_string(),
            about.threading.to_string(),
            about.upkeep(),
            unavailable.map_or_else(|| "runs".to_owned(), |why| format!("no: {why}")),
            about.summary.to_owned(),
        ]);
    }
    rows.to_string()
}
