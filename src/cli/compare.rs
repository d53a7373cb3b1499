//! `ioduel compare`: what changed between two recorded runs.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

use super::{output, pages, report::read, table::Table};
use crate::{
    analysis::{Change, changes},
    report::{self, Told},
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
    /// Write it as a page [default: changes-since-OLD.html in the folder of the newer run]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    html: Option<Option<PathBuf>>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let differences = old.setup.differences(&new.setup);
    for (field, was, is) in &differences {
        output::tell(&format!("not comparable: {field} was {was}, and is {is}"));
    }
    let changes = changes(&old, &new)?;
    match &args.html {
        None => output::print(&render(&changes, differences.is_empty()))?,
        Some(path) => {
            let (old, new) = (told(&args.old)?, told(&args.new)?);
            let path =
                path.clone().unwrap_or_else(|| args.new.join(format!("changes-since-{}.html", old.name)));
            pages::write(&path, &report::changes_page(&old, &new, &changes, &differences)?)?;
            output::print(&path.display().to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a page tells of the record in a folder, however the folder was named.
fn told(folder: &Path) -> anyhow::Result<Told> {
    let whole = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    pages::told(&whole).with_context(|| format!("{} is no recorded run", folder.display()))
}

/// Renders the changes; where the runs are not comparable, without a verdict.
fn render(changes: &[Change], comparable: bool) -> String {
    let header =
        ["workload", "view", "class", "arm", "measure", "new / old", "95% interval", "needed", "verdict"];
    let mut table = Table::new(header);
    for Change { workload, view, class, arm, measure, comparison } in changes {
        let Comparison { ratio, low, high, needed, verdict, .. } = comparison;
        table.add([
            workload.clone(),
            view.name().to_owned(),
            class.name().to_owned(),
            arm.clone(),
            measure.name().to_owned(),
            format!("{ratio:.3}"),
            format!("{low:.3} to {high:.3}"),
            format!("{:.1}%", needed * 100.0),
            if comparable { verdict.to_string() } else { "not comparable".to_owned() },
        ]);
    }
    table.to_string()
}
