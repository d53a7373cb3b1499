//! The heat map of every client against every server.

use super::svg::{Anchor, Svg};
use crate::{
    analysis::{ContestResult, Measure},
    report::numbers::short,
};

const CELL: (f64, f64) = (52.0, 24.0);
const NAMES: f64 = 104.0;
const HEAD: f64 = 86.0;

/// What the title below needs.
const LEAST_WIDTH: f64 = 340.0;

/// Steps of the scale; the style sheet has a colour for each, `h0` to `h6`.
const STEPS: f64 = 7.0;

/// Draws the throughput of every pair: a row for each client, a column for each server.
pub(super) fn heat(contest: &ContestResult) -> Option<String> {
    let arms = || contest.arms.iter().filter(|arm| !arm.arm.copy);
    let names = |of: fn(&crate::record::Arm) -> &String| {
        let mut names: Vec<&String> = Vec::new();
        for name in arms().map(|arm| of(&arm.arm)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let (servers, clients) = (names(|arm| &arm.server), names(|arm| &arm.client));
    let level = |client: &String, server: &String| {
        let arm = arms().find(|arm| &arm.arm.client == client && &arm.arm.server == server)?;
        arm.levels.get(&Measure::Throughput).copied()
    };
    let all: Vec<f64> = arms().filter_map(|arm| arm.levels.get(&Measure::Throughput).copied()).collect();
    let most = all.iter().copied().reduce(f64::max)?;
    let least = all.iter().copied().reduce(f64::min)?;
    let (width, height) = CELL;
    let whole = NAMES + width * servers.len() as f64 + 6.0;
    let mut svg = Svg::new(whole.max(LEAST_WIDTH), HEAD + height * clients.len() as f64 + 22.0);
    for (column, server) in servers.iter().enumerate() {
        // Names of servers stand in steps, for side by side they would overlap.
        let x = NAMES + width * (column as f64 + 0.5);
        let y = HEAD - 8.0 - 13.0 * (column % 5) as f64;
        svg.line("grid", (x, y + 2.0), (x, HEAD));
        svg.text("name", (x, y), Anchor::Middle, server);
    }
    for (row, client) in clients.iter().enumerate() {
        let y = HEAD + height * row as f64;
        svg.text("name", (NAMES - 8.0, y + height / 2.0 + 4.0), Anchor::End, client);
        for (column, server) in servers.iter().enumerate() {
            let Some(value) = level(client, server) else { continue };
            let share = if most > least { (value / least).ln() / (most / least).ln() } else { 1.0 };
            let step = (share * STEPS).floor().min(STEPS - 1.0);
            let x = NAMES + width * column as f64;
            svg.rect(&format!("heat h{step:.0}"), (x, y), (width - 1.0, height - 1.0));
            let at = (x + width / 2.0, y + height / 2.0 + 4.0);
            svg.text(&format!("cell t{step:.0}"), at, Anchor::Middle, &short(value));
        }
    }
    let bottom = HEAD + height * clients.len() as f64;
    svg.text("title", (4.0, bottom + 16.0), Anchor::Start, "messages/s; rows: clients, columns: servers");
    let best = arms().max_by(|a, b| {
        let of =
            |arm: &crate::analysis::ArmResult| arm.levels.get(&Measure::Throughput).copied().unwrap_or(0.0);
        of(a).total_cmp(&of(b))
    })?;
    Some(svg.finish(&format!(
        "messages/s of {} clients against {} servers under {}: from {} to {}, the most with {}",
        clients.len(),
        servers.len(),
        contest.workload,
        short(least),
        short(most),
        best.arm.name
    )))
}
