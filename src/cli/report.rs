//! `ioduel report`: a recorded run as a page or a table.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::ValueEnum;

use super::{output, pages, wrong_usage};
use crate::{
    analysis::{Ranked, analyse_as},
    record::Record,
    report,
};

/// Show the results of a record.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel report results/2026-11-27.4\n  ioduel report results/2026-11-27.4 --format markdown"
)]
pub(super) struct Args {
    /// The folder of the record, such as results/2026-11-27.4; or the folder that holds all records, to get a page that lists them
    result: PathBuf,
    /// How to show it
    #[arg(long, value_enum, default_value_t = ReportFormat::Html)]
    format: ReportFormat,
    /// Also rank the hand-written loops (epoll, uring), which are baselines, not libraries
    #[arg(long)]
    all: bool,
    /// Where to write the page [default: index.html in the folder of the record]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// A web page in one file; its path is printed
    Html,
    /// Plain text that fits the width of the terminal
    Text,
    /// Tables for a README or a pull request
    Markdown,
    /// A picture of the first table, for a README
    Svg,
    /// One row for each measure of each backend of each table
    Csv,
    /// All of it
    Json,
    /// Bencher Metric Format
    Bmf,
    /// JSON for the action github-action-benchmark (tool: customSmallerIsBetter)
    GithubActionBenchmark,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.out.is_some() && args.format != ReportFormat::Html {
        return Err(wrong_usage(
            "--out is for --format html alone; other formats go to standard output: redirect it with > FILE",
        ));
    }
    if args.format == ReportFormat::Html && pages::holds_records(&args.result) {
        output::print(&pages::write_list(&args.result)?.display().to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let record = read(&args.result)?;
    let ranked = super::ranked(args.all);
    let shown = match (args.format, &args.out) {
        (ReportFormat::Html, None) => pages::write_page(&args.result, &record, ranked)?.display().to_string(),
        (ReportFormat::Html, Some(path)) => {
            pages::write(path, &report::page(&record, ranked)?)?;
            path.display().to_string()
        }
        (format, _) => render(format, &record, ranked)?,
    };
    output::print(shown.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a record, and tells if its end is damaged.
pub(super) fn read(folder: &Path) -> anyhow::Result<Record> {
    let record = Record::read(folder)?;
    if let Some(damage) = &record.damage {
        output::complain(&format!("{damage}; what stands before it is shown"));
    }
    Ok(record)
}

fn render(format: ReportFormat, record: &Record, ranked: Ranked) -> anyhow::Result<String> {
    let json = |value: &serde_json::Value| serde_json::to_string_pretty(value).context("cannot write JSON");
    let (setup, analysis) = (&record.setup, analyse_as(record, ranked)?);
    match format {
        ReportFormat::Html => report::page(record, ranked),
        ReportFormat::Text => Ok(report::text(setup, &analysis, output::columns())),
        ReportFormat::Markdown => Ok(report::markdown(setup, &analysis)),
        ReportFormat::Svg => {
            let contest = analysis.contests.first().context("the record has no contest")?;
            Ok(report::picture(contest, &format!("{}.", setup.began.split('T').next().unwrap_or_default())))
        }
        ReportFormat::Csv => Ok(report::csv(&analysis)),
        ReportFormat::Json => json(&serde_json::json!({ "setup": setup, "contests": analysis.contests })),
        ReportFormat::Bmf => json(&report::bencher(&analysis)),
        ReportFormat::GithubActionBenchmark => json(&report::github_action_benchmark(&analysis)),
    }
}
