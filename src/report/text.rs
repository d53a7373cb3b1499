//! A record for a terminal: the answer as a sentence, then a table of what was asked for, as wide as there is room.

use super::words::{FLOORS, alarm_words, best_words, cautions, heading, percent, rank_text, sign, versions};
use crate::{
    analysis::{Analysis, ArmResult, ContestResult},
    backend::Maintenance,
    record::Setup,
    stats::Comparison,
};

/// The widest that a table gets: beyond, eyes lose the line.
const MOST: usize = 100;

/// The narrowest that is written for.
const LEAST: usize = 40;

/// The narrowest and the widest bar, in columns.
const BAR: (usize, usize) = (8, 30);

/// What the signs mean, shorter than in a report that is kept.
const SIGNS: &str = "Each ratio compares neighbouring stretches of time, with a 95% interval; so it may differ from dividing the \
                     rates. ▲ better, ▼ worse; ~ suggestive and = statistically indistinguishable, with the smallest difference \
                     that would have been told. Rank: 1 + the number of arms that are told better. † not actively maintained.";

/// How to go on from here.
const GO_ON: &str = "Latency, CPU and memory: `ioduel report RECORD --format markdown`, or the page. Your own sizes and connections: \
                     `ioduel workloads session > mine.toml`, edit it, `ioduel duel --workload mine.toml`.";

/// Renders what a terminal of so many columns shows of a record.
pub fn text(setup: &Setup, analysis: &Analysis, columns: usize) -> String {
    let width = columns.clamp(LEAST, MOST);
    let mut lines = Vec::new();
    let alarms =
        analysis.contests.iter().flat_map(|it| it.alarms.iter().map(move |alarm| alarm_words(it, alarm)));
    for head in alarms.chain(cautions(setup)) {
        lines.extend(wrapped(&head, "! ", "  ", width));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    for contest in &analysis.contests {
        lines.extend(contest_lines(setup, contest, width));
        lines.push(String::new());
    }
    for (name, version) in versions(setup) {
        lines.extend(wrapped(&format!("{name} is {version}"), "- ", "  ", width));
    }
    for (name, why) in &setup.skipped {
        lines.extend(wrapped(&format!("{name} was skipped: {why}"), "- ", "  ", width));
    }
    for warning in &setup.warnings {
        lines.extend(wrapped(warning, "- ", "  ", width));
    }
    let has_floors = analysis.contests.iter().any(|contest| contest.arms.iter().any(|arm| arm.floor));
    let floors = if has_floors { FLOORS } else { "" };
    lines.extend(wrapped(&format!("{SIGNS}{floors} {GO_ON}"), "", "", width));
    lines.join("\n")
}

fn contest_lines(setup: &Setup, contest: &ContestResult, width: usize) -> Vec<String> {
    let shape = &contest.shape;
    let load = format!("{} connections, {}{}", shape.connections, shape.in_words(), shape.beside());
    let title = format!("{} ({load}): {}", contest.title, heading(contest.view, contest.class));
    let mut lines = wrapped(&title, "", "  ", width);
    lines.extend(wrapped(&best_words(contest), "", "", width));
    lines.push(String::new());
    lines.extend(table(setup, contest, width));
    let without = contest.arms.iter().filter_map(|arm| Some((arm, arm.no_verdict.as_ref()?)));
    for (arm, why) in without {
        lines.extend(wrapped(&format!("{} has no verdict: {why}", arm.arm.name), "- ", "  ", width));
    }
    lines
}

/// Rank, arm, level and ratio; with the interval and a bar where there is room for them.
fn table(setup: &Setup, contest: &ContestResult, width: usize) -> Vec<String> {
    let measure = match contest.headline.unit() {
        "" | "1/s" => contest.headline.name().to_owned(),
        unit => format!("{}, {unit}", contest.headline.name()),
    };
    let head = |ratio: String| ["rank".to_owned(), "arm".to_owned(), measure.clone(), ratio];
    let rows = |with_interval: bool| -> Vec<[String; 4]> {
        let arms = contest.arms.iter().map(|arm| row(setup, arm, contest, with_interval));
        std::iter::once(head(format!("to {}", contest.reference))).chain(arms).collect()
    };
    let widest = |lines: &[String]| lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let whole = aligned(&rows(true));
    if widest(&whole) > width {
        return aligned(&rows(false)).into_iter().map(|line| line.trim_end().to_owned()).collect();
    }
    let room = width.saturating_sub(widest(&whole) + 2).min(BAR.1);
    if room < BAR.0 {
        return whole.into_iter().map(|line| line.trim_end().to_owned()).collect();
    }
    let level = |arm: &ArmResult| arm.levels.get(&contest.headline).copied().unwrap_or(0.0);
    let most = contest.arms.iter().map(level).fold(0.0, f64::max);
    let bars = contest.arms.iter().map(|arm| bar(level(arm) / most, room));
    let bars = std::iter::once(String::new()).chain(bars);
    whole.iter().zip(bars).map(|(line, bar)| format!("{line}  {bar}").trim_end().to_owned()).collect()
}

/// A bar of a share of so many columns, to an eighth of one.
fn bar(share: f64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// Rows with each column as wide as its widest cell: numbers to the right, all else to the left.
fn aligned(rows: &[[String; 4]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 2 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

fn row(setup: &Setup, arm: &ArmResult, contest: &ContestResult, with_interval: bool) -> [String; 4] {
    let level =
        arm.levels.get(&contest.headline).map_or_else(|| "–".to_owned(), |level| format!("{level:.0}"));
    let ratio = match arm.comparisons.get(&contest.headline) {
        Some(found) => ratio_text(found, with_interval),
        None if arm.arm.name == contest.reference => "1".to_owned(),
        None => "–".to_owned(),
    };
    let server = setup.contestants.get(&arm.arm.server);
    let is_maintained = server.is_none_or(|it| it.maintenance == Maintenance::Active);
    let name = format!("{}{}", arm.arm.name, if is_maintained { "" } else { " †" });
    [rank_text(arm), name, level, ratio]
}

/// A ratio with the sign of its verdict; without a verdict, with the difference that was needed for one.
fn ratio_text(found: &Comparison, with_interval: bool) -> String {
    let needed = if found.verdict.is_told() { String::new() } else { format!(" {}", percent(found.needed)) };
    let interval =
        if with_interval { format!(" ({:.3} to {:.3})", found.low, found.high) } else { String::new() };
    format!("{:.3}{interval} {}{needed}", found.ratio, sign(found.verdict))
}

/// Breaks a text between words; the first line begins with one text, those behind it with another.
fn wrapped(text: &str, first: &str, others: &str, width: usize) -> Vec<String> {
    let mut lines = vec![first.to_owned()];
    let mut is_begun = false;
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one from the beginning");
        if is_begun && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{others}{word}"));
        } else {
            if is_begun {
                last.push(' ');
            }
            last.push_str(word);
            is_begun = true;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        let long = "word ".repeat(60);
        let lines = wrapped(&long, "! ", "  ", 80);
        assert!(lines.len() > 3 && lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
        assert!(lines[0].starts_with("! word") && lines[1].starts_with("  word"));
        assert_eq!(lines.join(" ").split_whitespace().filter(|word| *word == "word").count(), 60);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!([bar(0.0, 4), bar(0.5, 4), bar(1.0, 4)], ["", "██", "████"]);
        assert_eq!(bar(0.28, 4), "█▏");
    }
}
