//! A record for a terminal of eighty columns, which only long names exceed: what a reader wants first.

use super::words::{alarm_words, best_words, cautions, heading, percent, sign};
use crate::{
    analysis::{Analysis, ArmResult, ContestResult, Measure},
    record::Setup,
    stats::Comparison,
};

/// The columns of the narrowest terminal that is still usual.
const WIDTH: usize = 80;

/// The columns without which a table says nothing: up to the ratio of the first measure.
const LEAST_COLUMNS: usize = 4;

/// What the signs mean, shorter than in a report that is kept.
const SIGNS: &str = "Ratios are of the same blocks. ▲ better, ▼ worse, ~ suggestive, = no difference seen; \
                     beside ~ and = the difference that a verdict needed. Arms of one rank are not told apart. The intervals \
                     are in the report.";

/// Renders what a terminal shows of a record.
pub fn text(setup: &Setup, analysis: &Analysis) -> String {
    let mut lines = Vec::new();
    let alarms =
        analysis.contests.iter().flat_map(|it| it.alarms.iter().map(move |alarm| alarm_words(it, alarm)));
    for head in alarms.chain(cautions(setup)) {
        lines.extend(wrapped(&head, "! ", "  "));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    for contest in &analysis.contests {
        lines.extend(contest_lines(contest));
        lines.push(String::new());
    }
    for (name, why) in &setup.skipped {
        lines.extend(wrapped(&format!("{name} was skipped: {why}"), "- ", "  "));
    }
    for warning in &setup.warnings {
        lines.extend(wrapped(warning, "- ", "  "));
    }
    lines.extend(wrapped(SIGNS, "", ""));
    lines.join("\n")
}

fn contest_lines(contest: &ContestResult) -> Vec<String> {
    let title = format!("{}: {}", contest.title, heading(contest.view, contest.class));
    let mut lines = wrapped(&title, "", "  ");
    lines.extend(wrapped(&best_words(contest), "", ""));
    lines.extend(wrapped(&format!("Ratios are to {}.", contest.reference), "", ""));
    lines.push(String::new());
    lines.extend(table(contest));
    let without = contest.arms.iter().filter_map(|arm| Some((arm, arm.no_verdict.as_ref()?)));
    for (arm, why) in without {
        lines.extend(wrapped(&format!("{} has no verdict: {why}", arm.arm.name), "- ", "  "));
    }
    lines
}

/// As many columns as there is room for: the headline's level, and the ratios by it and by others.
fn table(contest: &ContestResult) -> Vec<String> {
    // The tail of times is in the report; beside the median it would have no room.
    let is_tail = |measure: &Measure| matches!(measure, Measure::SessionP99 | Measure::RoundTripP99);
    let measures: Vec<Measure> = contest.shown().into_iter().filter(|measure| !is_tail(measure)).collect();
    let others = measures.iter().skip(1).map(|measure| match measure {
        Measure::ServerCpu => "CPU/message",
        measure => measure.name(),
    });
    let head = ["rank", "arm", contest.headline.name(), "ratio"].into_iter().chain(others);
    let head: Vec<String> = head.map(str::to_owned).collect();
    let rows = contest.arms.iter().map(|arm| row(arm, contest, &measures));
    let all: Vec<Vec<String>> = std::iter::once(head.clone()).chain(rows).collect();
    let fits = |columns: &usize| aligned(&all, *columns).iter().all(|line| line.chars().count() <= WIDTH);
    let columns = (LEAST_COLUMNS..=head.len()).rev().find(fits);
    aligned(&all, columns.unwrap_or(LEAST_COLUMNS))
}

/// The first columns of some rows, each as wide as its widest cell: numbers to the right, all else to the left.
fn aligned(rows: &[Vec<String>], columns: usize) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 2 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn row(arm: &ArmResult, contest: &ContestResult, ratios: &[Measure]) -> Vec<String> {
    let rank = arm.rank().map_or_else(String::new, |rank| rank.to_string());
    let level =
        arm.levels.get(&contest.headline).map_or_else(|| "–".to_owned(), |level| format!("{level:.0}"));
    let is_reference = arm.arm.name == contest.reference;
    let ratio = |measure: &Measure| match arm.comparisons.get(measure) {
        Some(found) => ratio_text(found),
        None if is_reference => "1".to_owned(),
        None => "–".to_owned(),
    };
    [rank, arm.arm.name.clone(), level].into_iter().chain(ratios.iter().map(ratio)).collect()
}

/// A ratio with the sign of its verdict; without a verdict, with the difference that was needed for one.
fn ratio_text(found: &Comparison) -> String {
    let needed = if found.verdict.is_told() { String::new() } else { format!(" {}", percent(found.needed)) };
    format!("{:.3} {}{needed}", found.ratio, sign(found.verdict))
}

/// Breaks a text between words; the first line begins with one text, those behind it with another.
fn wrapped(text: &str, first: &str, others: &str) -> Vec<String> {
    let mut lines = vec![first.to_owned()];
    let mut is_begun = false;
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one from the beginning");
        if is_begun && last.chars().count() + 1 + word.chars().count() > WIDTH {
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
    fn text_is_broken_between_words_within_eighty_columns() {
        let long = "word ".repeat(60);
        let lines = wrapped(&long, "! ", "  ");
        assert!(lines.len() > 3 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines[0].starts_with("! word") && lines[1].starts_with("  word"));
        assert_eq!(lines.join(" ").split_whitespace().filter(|word| *word == "word").count(), 60);
    }
}
