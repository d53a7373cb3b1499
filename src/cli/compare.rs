//! `ioduel compare`: what changed between two recorded runs.

use std::{path::PathBuf, process::ExitCode};

use super::{output, report::read, table::Table};
use crate::{
    analysis::{Change, changes},
    stats::Comparison,
};

/// Show what changed between two recorded runs, arm by arm, each by its ratio to the reference.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ioduel compare results/2026-11-22.1 results/2026-12-01.1")]
pub(super) struct Args {
    /// The folder of the older run
    old: PathBuf,
    /// The folder of the newer run
    new: PathBuf,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let differences = old.setup.differences(&new.setup);
    for (field, was, is) in &differences {
        output::tell(&format!("not comparable: {field} was {was}, and is {is}"));
    }
    output::print(&render(&changes(&old, &new)?, differences.is_empty()))?;
    Ok(ExitCode::SUCCESS)
}

/// Renders the changes; where the runs are not comparable, without a verdict.
fn render(changes: &[Change], comparable: bool) -> String {
    let header = ["workload", "view", "arm", "measure", "new / old", "95% interval", "seen from", "verdict"];
    let mut table = Table::new(header);
    for Change { workload, view, arm, measure, comparison } in changes {
        let Comparison { ratio, low, high, detectable, verdict, .. } = comparison;
        table.add([
            workload.clone(),
            view.name().to_owned(),
            arm.clone(),
            measure.name().to_owned(),
            format!("{ratio:.3}"),
            format!("{low:.3} to {high:.3}"),
            format!("{:.1}%", detectable * 100.0),
            if comparable { verdict.to_string() } else { "not comparable".to_owned() },
        ]);
    }
    table.to_string()
}
