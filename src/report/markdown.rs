//! A record as Markdown: fits into a README or a pull request.

use std::fmt::{self, Write as _};

use super::{
    answer::answer_words,
    numbers::level_text,
    words::{
        FLOORS, SIGNS, alarm_words, cautions, heading, machine_words, no_verdict_words, rank_text,
        ratio_text, versions,
    },
};
use crate::{
    analysis::{Analysis, ArmResult, ContestResult, Measure, ResponseTime, SessionTime},
    record::Setup,
    round::reason_words,
};

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
    let alarms = analysis
        .contests
        .iter()
        .flat_map(|contest| contest.alarms.iter().map(move |alarm| alarm_words(contest, alarm)));
    let heads: Vec<String> = alarms.chain(cautions(setup)).collect();
    for head in &heads {
        writeln!(text, "- **{}**", escape(head))?;
    }
    if !heads.is_empty() {
        writeln!(text)?;
    }
    for contest in &analysis.contests {
        write_contest(text, contest)?;
    }
    for (name, version) in versions(setup) {
        writeln!(text, "- `{name}` is {}", escape(&version))?;
    }
    for (name, why) in &setup.skipped {
        writeln!(text, "- `{name}` was skipped: {}", escape(why))?;
    }
    if !setup.skipped.is_empty() || versions(setup).next().is_some() {
        writeln!(text)?;
    }
    writeln!(
        text,
        "A ratio is to the reference in the same blocks, with its 95% interval. {SIGNS}. Rank: 1 + the number of ranked backends \
         that are significantly better; backends of one rank are not distinguished.{}\n",
        if analysis.contests.iter().any(|it| it.arms.iter().any(|arm| arm.floor)) {
            format!(" {FLOORS}")
        } else {
            String::new()
        }
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
    writeln!(text, "### `{}`: {}\n", contest.title, heading(contest.view, contest.class))?;
    writeln!(text, "{}\n", escape(&answer_words(contest).join(" ")))?;
    if !contest.is_measured() {
        return Ok(());
    }
    let shown = contest.shown();
    let columns: Vec<String> = shown.iter().map(|measure| format!("{} | ratio", measure.name())).collect();
    let (idle, of_idle) = if has_idle(contest) { (" idle connection |", "--:|") } else { ("", "") };
    writeln!(text, "| rank | backend | {} |{idle} rounds |", columns.join(" | "))?;
    writeln!(text, "|--:|:--|{}{of_idle}--:|", "--:|:--|".repeat(shown.len()))?;
    for arm in &contest.arms {
        write_arm(text, arm, contest)?;
    }
    writeln!(text)?;
    write_session_times(text, contest)?;
    write_response_times(text, contest)?;
    for words in no_verdict_words(contest) {
        writeln!(text, "- {}", escape(&words))?;
    }
    for arm in contest.arms.iter().filter(|arm| !arm.excluded.is_empty()) {
        let told = |(reason, count): (&String, &usize)| format!("{count} ({})", escape(reason_words(reason)));
        let reasons: Vec<String> = arm.excluded.iter().map(told).collect();
        writeln!(text, "- `{}`: excluded: {}", arm.arm.name, reasons.join(", "))?;
    }
    for told in machine_words(contest) {
        writeln!(text, "- {told}")?;
    }
    for arm in contest.arms.iter().filter(|arm| arm.client_bound) {
        writeln!(text, "- `{}` was client-bound: its server could have done more", arm.arm.name)?;
    }
    writeln!(text)
}

/// Where the time of a session goes, on average, where sessions count.
fn write_session_times(text: &mut String, contest: &ContestResult) -> fmt::Result {
    let timed = || contest.arms.iter().filter_map(|arm| Some((arm, arm.session_time?)));
    if timed().next().is_none() {
        return Ok(());
    }
    let messages = contest.shape.messages;
    writeln!(text, "Where a session's time goes, on average, and the longest round trip that was seen:\n")?;
    writeln!(text, "| backend | connect | {messages} round trips | close | longest round trip |")?;
    writeln!(text, "|:--|--:|--:|--:|--:|")?;
    for (arm, SessionTime { connect_us, round_trips_us, close_us }) in timed() {
        let cells = [connect_us, round_trips_us, close_us, arm.longest_us].map(|us| format!("{us:.0} µs"));
        writeln!(text, "| `{}` | {} |", arm.arm.name, cells.join(" | "))?;
    }
    writeln!(text)
}

/// Where the time of a message goes, on average, at a rate.
fn write_response_times(text: &mut String, contest: &ContestResult) -> fmt::Result {
    let timed = || contest.arms.iter().filter_map(|arm| Some((arm, arm.response_time?)));
    if timed().next().is_none() {
        return Ok(());
    }
    writeln!(text, "Where a message's time goes, on average of those that were answered:\n")?;
    writeln!(text, "| backend | pacer late | behind others on its connection | service |")?;
    writeln!(text, "|:--|--:|--:|--:|")?;
    for (arm, ResponseTime { late_us, queue_us, service_us }) in timed() {
        let cells = [late_us, queue_us, service_us].map(|us| format!("{us:.1} µs"));
        writeln!(text, "| `{}` | {} |", arm.arm.name, cells.join(" | "))?;
    }
    writeln!(text)
}

fn write_arm(text: &mut String, arm: &ArmResult, contest: &ContestResult) -> fmt::Result {
    let rank = rank_text(arm);
    write!(text, "| {rank} | `{}` |", arm.arm.name)?;
    for measure in contest.shown() {
        let level =
            arm.levels.get(&measure).map_or_else(|| "–".to_owned(), |level| level_text(measure, *level));
        let ratio = match arm.comparisons.get(&measure) {
            Some(comparison) => ratio_text(comparison),
            None if arm.arm.name == contest.reference => "reference".to_owned(),
            None => "–".to_owned(),
        };
        write!(text, " {level} | {ratio} |")?;
    }
    if has_idle(contest) {
        let idle = arm.levels.get(&Measure::IdleMemory);
        let idle = idle.map_or_else(|| "–".to_owned(), |bytes| format!("{:.1} KiB", bytes / 1024.0));
        write!(text, " {idle} |")?;
    }
    writeln!(text, " {} |", arm.rounds)
}

/// Whether what an idle connection costs was measured; at a rate it is not.
fn has_idle(contest: &ContestResult) -> bool {
    contest.rate.is_none() && contest.objectives.is_empty()
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
