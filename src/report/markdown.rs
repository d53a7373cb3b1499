//! A record as Markdown: fits into a README or a pull request.

use std::fmt::{self, Write as _};

use super::words::{SIGNS, alarm_words, heading, level_text, ratio_text};
use crate::{
    analysis::{Analysis, ArmResult, ContestResult, Measure},
    record::Setup,
};

/// The measures that a table compares.
const SHOWN: [Measure; 4] =
    [Measure::Throughput, Measure::RoundTripP50, Measure::RoundTripP99, Measure::ServerCpu];

/// Renders a whole record.
pub fn markdown(setup: &Setup, analysis: &Analysis) -> String {
    let mut text = String::new();
    // A String takes any write.
    let _ = write_all(&mut text, setup, analysis);
    text
}

fn write_all(text: &mut String, setup: &Setup, analysis: &Analysis) -> fmt::Result {
    let environment = &setup.environment;
    let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    for contest in &analysis.contests {
        for alarm in &contest.alarms {
            writeln!(text, "- **{}**", escape(&alarm_words(contest, alarm)))?;
        }
    }
    if analysis.contests.iter().any(|contest| !contest.alarms.is_empty()) {
        writeln!(text)?;
    }
    for contest in &analysis.contests {
        write_contest(text, contest)?;
    }
    for (name, why) in &setup.skipped {
        writeln!(text, "- `{name}` was skipped: {}", escape(why))?;
    }
    if !setup.skipped.is_empty() {
        writeln!(text)?;
    }
    writeln!(
        text,
        "A ratio is to the reference in the same blocks, with its 95% interval. {SIGNS}. A rank is one more than the number of arms \
         that are told better; arms of one rank are not told apart.\n"
    )?;
    writeln!(
        text,
        "{}, {} processors, Linux {}, rustc {}; {}; seed {}; {}.",
        told(&environment.cpu_model),
        environment.processors.unwrap_or(0),
        told(&environment.kernel),
        environment.rustc,
        setup.placements(),
        setup.seed,
        setup.began,
    )?;
    for warning in &setup.warnings {
        writeln!(text, "- {}", escape(warning))?;
    }
    Ok(())
}

fn write_contest(text: &mut String, contest: &ContestResult) -> fmt::Result {
    writeln!(text, "### `{}`: {}\n", contest.workload, heading(contest.view, contest.class))?;
    let columns = SHOWN.map(|measure| format!("{} | ratio", measure.name()));
    writeln!(text, "| rank | arm | {} | idle connection | rounds |", columns.join(" | "))?;
    writeln!(text, "|--:|:--|{}--:|--:|", "--:|:--|".repeat(SHOWN.len()))?;
    for arm in &contest.arms {
        write_arm(text, arm, &contest.reference)?;
    }
    writeln!(text)?;
    for arm in contest.arms.iter().filter(|arm| arm.no_verdict.is_some() || !arm.set_aside.is_empty()) {
        let reasons: Vec<String> =
            arm.set_aside.iter().map(|(reason, count)| format!("{count} × {}", escape(reason))).collect();
        let verdict = arm.no_verdict.as_deref().map(|why| format!("no verdict: {}", escape(why)));
        let parts: Vec<String> = verdict
            .into_iter()
            .chain((!reasons.is_empty()).then(|| format!("excluded: {}", reasons.join(", "))))
            .collect();
        writeln!(text, "- `{}`: {}", arm.arm.name, parts.join("; "))?;
    }
    for arm in contest.arms.iter().filter(|arm| arm.client_bound) {
        writeln!(text, "- `{}` was client-bound: its server could have done more", arm.arm.name)?;
    }
    writeln!(text)
}

fn write_arm(text: &mut String, arm: &ArmResult, reference: &str) -> fmt::Result {
    let rank = arm.rank().map_or_else(String::new, |rank| rank.to_string());
    write!(text, "| {rank} | `{}` |", arm.arm.name)?;
    for measure in SHOWN {
        let level =
            arm.levels.get(&measure).map_or_else(|| "–".to_owned(), |level| level_text(measure, *level));
        let ratio = match arm.comparisons.get(&measure) {
            Some(comparison) => ratio_text(comparison),
            None if arm.arm.name == reference => "reference".to_owned(),
            None => "–".to_owned(),
        };
        write!(text, " {level} | {ratio} |")?;
    }
    let idle = arm.levels.get(&Measure::IdleMemory);
    let idle = idle.map_or_else(|| "–".to_owned(), |bytes| format!("{:.1} KiB", bytes / 1024.0));
    writeln!(text, " {idle} | {} |", arm.rounds)
}

/// Keeps text from a record from being taken for Markdown or HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => escaped.extend(['\\', character]),
            '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}
