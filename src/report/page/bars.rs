//! Bar charts: where a session's time goes; CPU time per message, server and client; memory per idle connection.

use super::{
    forest::{FROM, NAMES, ROW, TOP, WIDTH},
    palette::arm_look,
    svg::{Anchor, Svg},
};
use crate::{
    analysis::{ArmResult, ContestResult, Measure, SessionTime},
    report::numbers::short,
};

/// Where the longest bar ends.
const TO: f64 = 300.0;

/// The title.
const FOOT: f64 = 24.0;

/// Draws where the time of a session goes: its connect, its round trips, its close.
pub(super) fn session(contest: &ContestResult) -> Option<String> {
    let title = "mean session, µs: connect, round trips, close";
    stacked(contest, title, |arm| {
        let SessionTime { connect_us, round_trips_us, close_us } = arm.session_time?;
        Some(vec![connect_us, round_trips_us, close_us])
    })
}

/// Draws CPU time per message: the server's, and the client's on top of it.
pub(super) fn cpu(contest: &ContestResult) -> Option<String> {
    let title = "CPU per message, µs: server, then client";
    stacked(contest, title, |arm| levels(arm, &[Measure::ServerCpu, Measure::ClientCpu]))
}

/// Draws what an idle connection costs the server.
pub(super) fn memory(contest: &ContestResult) -> Option<String> {
    let title = "server memory per idle connection, bytes";
    stacked(contest, title, |arm| levels(arm, &[Measure::IdleMemory]))
}

/// The levels of measures of one unit.
fn levels(arm: &ArmResult, measures: &[Measure]) -> Option<Vec<f64>> {
    measures.iter().map(|measure| arm.levels.get(measure).copied()).collect()
}

/// Draws levels of one unit, one behind the other, the shortest bar first.
fn stacked(
    contest: &ContestResult,
    title: &str,
    levels: impl Fn(&ArmResult) -> Option<Vec<f64>>,
) -> Option<String> {
    let mut rows: Vec<(&ArmResult, Vec<f64>)> = contest
        .arms
        .iter()
        .filter(|arm| !arm.arm.copy && arm.no_verdict.is_none())
        .filter_map(|arm| Some((arm, levels(arm)?)))
        .collect();
    let total = |levels: &[f64]| levels.iter().map(|level| level.max(0.0)).sum::<f64>();
    rows.sort_by(|(_, a), (_, b)| total(a).total_cmp(&total(b)));
    let most = rows.last().map(|(_, levels)| total(levels)).filter(|most| *most > 0.0)?;
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + FOOT);
    for (row, (arm, levels)) in rows.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let mut x = FROM;
        for (part, level) in levels.iter().enumerate() {
            let length = level.max(0.0) / most * (TO - FROM);
            let class = format!("bar part{part} {}", arm_look(&arm.arm));
            svg.rect(&class, (x, y + 3.0), (length, ROW - 6.0));
            x += length;
        }
        svg.text("name", (NAMES, y + ROW / 2.0 + 4.0), Anchor::End, &arm.arm.name);
        svg.text("value", (x + 5.0, y + ROW / 2.0 + 4.0), Anchor::Start, &short(total(levels)));
    }
    svg.line("axis", (FROM, TOP), (FROM, bottom));
    svg.text("title", (WIDTH / 2.0, bottom + 17.0), Anchor::Middle, title);
    let said = rows.iter().map(|(arm, levels)| {
        let levels: Vec<String> = levels.iter().map(|level| short(*level)).collect();
        format!("{} {}", arm.arm.name, levels.join(" and "))
    });
    let said: Vec<String> = said.collect();
    Some(svg.finish(&format!("{title} under {}: {}", contest.workload, said.join("; "))))
}
