//! `ioduel compare`: what changed between two recorded runs.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::ValueEnum;

use super::{output, pages, report::read, table::Table, wrong_usage};
use crate::{
    analysis::{Change, changes},
    environment::Difference,
    report::{self, Told},
    stats::{Comparison, Verdict},
};

/// Show which backends got better or worse from one record to another.
///
/// In a record, ratios compare each backend with a reference, such as epoll. This command shows how the ratios changed from OLD to NEW.
///
/// If the two runs differ in workload, schedule, processors or machines, they are not comparable: the differences are named, and no backend is
/// called better or worse. Other differences, such as the kernel or the version of a crate, are named as possible causes of a change.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ioduel compare results/2026-11-27.1 results/2026-12-01.1\n  \
                  ioduel compare results-main/2026-12-01.1 results-branch/2026-12-01.1 --json --fail-on worse\n\n\
                  Exit codes:\n  0  compared; with --fail-on worse, no backend is worse\n  1  a backend is worse (with --fail-on worse), or a \
                  record cannot be read\n  2  wrong usage; with --fail-on, also if the records are not comparable")]
pub(super) struct Args {
    /// The folder of the older record, such as results/2026-11-27.1
    old: PathBuf,
    /// The folder of the newer record
    new: PathBuf,
    /// Write it as a page [default: changes-since-OLD.html in the folder of the newer record]
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "json")]
    html: Option<Option<PathBuf>>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 on this verdict, for continuous integration
    #[arg(long, value_name = "VERDICT", value_enum)]
    fail_on: Option<FailOn>,
}

/// A verdict that makes a comparison fail.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A backend is significantly worse in at least one measure. With many measures, that can happen by chance
    Worse,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let design = old.setup.differences(&new.setup);
    let causes = old.setup.possible_causes(&new.setup);
    let changes = changes(&old, &new)?;
    show(&args, &changes, &design, &causes)?;
    match args.fail_on {
        None => Ok(ExitCode::SUCCESS),
        Some(_) if !design.is_empty() => {
            Err(wrong_usage("the design of the two runs differs; --fail-on needs runs that can be compared"))
        }
        Some(FailOn::Worse) => {
            let is_worse = changes.iter().any(|change| change.comparison.verdict == Verdict::Worse);
            Ok(ExitCode::from(u8::from(is_worse)))
        }
    }
}

fn show(args: &Args, changes: &[Change], design: &[Difference], causes: &[Difference]) -> anyhow::Result<()> {
    for Difference { name, was, is } in design {
        output::tell(&format!("not comparable: {name} was {was}, and is {is}"));
    }
    if args.json {
        let json = serde_json::to_string_pretty(&report::changes_json(changes, design, causes))?;
        return output::print(&json);
    }
    for Difference { name, was, is } in causes {
        output::tell(&format!("possible cause: {name} was {was}, and is {is}"));
    }
    let Some(path) = &args.html else { return output::print(&render(changes, design.is_empty())) };
    let (old, new) = (told(&args.old)?, told(&args.new)?);
    let path = path.clone().unwrap_or_else(|| args.new.join(format!("changes-since-{}.html", old.name)));
    pages::write(&path, &report::changes_page(&old, &new, changes, design, causes)?)?;
    output::print(&path.display().to_string())
}

/// What a page tells of the record in a folder, however the folder was named.
fn told(folder: &Path) -> anyhow::Result<Told> {
    let whole = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    pages::told(&whole).with_context(|| format!("{} is not a record", folder.display()))
}

/// Renders the changes; where the runs are not comparable, without a verdict.
fn render(changes: &[Change], comparable: bool) -> String {
    let header =
        ["workload", "view", "class", "backend", "measure", "new / old", "95% interval", "needed", "verdict"];
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
    let legend = "suggestive: the interval excludes 1, but not after correction for the number of backends\n\
                  needed: the smallest change that would have been significant";
    format!("{table}\n\n{legend}")
}
