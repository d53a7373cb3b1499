//! `ioduel report`: a recorded run as a table.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::ValueEnum;

use super::output;
use crate::{
    analysis::{Analysis, analyse},
    record::{Record, Setup},
    report,
};

/// Show what a recorded run says.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ioduel report results/2026-11-22.1 --format markdown")]
pub(super) struct Args {
    /// The folder of the run
    result: PathBuf,
    /// How to show it
    #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
    format: ReportFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum ReportFormat {
    /// Tables for a README or a pull request
    Markdown,
    /// One row for each contest, arm and measure
    Csv,
    /// All of it
    Json,
    /// Bencher Metric Format
    Bmf,
    /// github-action-benchmark, `customSmallerIsBetter`
    GithubActionBenchmark,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let record = read(&args.result)?;
    let analysis = analyse(&record)?;
    output::print(render(args.format, &record.setup, &analysis)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a record, and tells if its end is damaged.
pub(super) fn read(folder: &std::path::Path) -> anyhow::Result<Record> {
    let record = Record::read(folder)?;
    if let Some(damage) = &record.damage {
        output::complain(&format!("{damage}; what stands before it is shown"));
    }
    Ok(record)
}

fn render(format: ReportFormat, setup: &Setup, analysis: &Analysis) -> anyhow::Result<String> {
    let json = |value: &serde_json::Value| serde_json::to_string_pretty(value).context("cannot write JSON");
    match format {
        ReportFormat::Markdown => Ok(report::markdown(setup, analysis)),
        ReportFormat::Csv => Ok(report::csv(analysis)),
        ReportFormat::Json => json(&serde_json::json!({ "setup": setup, "contests": analysis.contests })),
        ReportFormat::Bmf => json(&report::bencher(analysis)),
        ReportFormat::GithubActionBenchmark => json(&report::github_action_benchmark(analysis)),
    }
}
