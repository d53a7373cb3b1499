//! What `client` and `run` both show of a load.

use std::process::ExitCode;

use super::{output, table::Table};
use crate::{load::LoadRun, round::Flag};

/// Renders a load for a terminal.
pub(super) fn render_load(run: &LoadRun, flags: &[Flag]) -> String {
    let mut latencies = Table::new(["µs", "p50", "p90", "p99", "p99.9", "max"]).of_numbers();
    for (name, summary) in [
        ("connect", run.connect.summary()),
        ("round trip", run.round_trip.summary()),
        ("session", run.session.summary()),
    ] {
        let figures = [summary.p50, summary.p90, summary.p99, summary.p999, summary.max];
        let [p50, p90, p99, p999, max] = figures.map(|us| format!("{us:.1}"));
        latencies.add([name.to_owned(), p50, p90, p99, p999, max]);
    }
    let mut text = format!(
        "{} sessions in {:.2} s: {:.0} sessions/s, {:.0} messages/s\n{latencies}",
        run.sessions,
        run.window_s,
        run.sessions_per_second(),
        run.messages_per_second(),
    );
    for flag in flags {
        text.push_str(&format!("\nflag: {flag}"));
    }
    text
}

/// The exit code that a load deserves; complains when sessions of it failed.
pub(super) fn verdict(run: &LoadRun) -> ExitCode {
    if run.failures == 0 {
        return ExitCode::SUCCESS;
    }
    let why = run.first_failure.as_deref().unwrap_or_default();
    output::complain(&format!("{} sessions failed, the first: {why}", run.failures));
    ExitCode::FAILURE
}
