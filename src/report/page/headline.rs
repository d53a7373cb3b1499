//! The answer as it stands without a script: the ranking of the first contest by throughput.

use askama::{Template, filters::HtmlSafe};

use super::{
    axis::{LogAxis, short},
    palette::{arm_look, look},
};
use crate::{
    analysis::{ArmResult, ContestResult, Measure},
    load::Workload,
    report::words::{best_words, heading, verdict_words},
    stats::Comparison,
};

/// Where the axis of the small intervals begins and ends, in the units of their drawings.
const FROM: f64 = 4.0;
const TO: f64 = 116.0;

/// A ranking, said and shown.
pub(super) struct Headline {
    pub(super) sentence: String,
    pub(super) measured: String,
    pub(super) ranking: Ranking,
}

/// The table of a ranking; the script writes other rankings into the same rows.
#[derive(Template)]
#[template(path = "ranking.html")]
pub(super) struct Ranking {
    unit: String,
    reference: String,
    rows: Vec<Row>,
}

impl HtmlSafe for Ranking {}

struct Row {
    name: String,
    look: String,
    rank: String,
    level: String,
    ratio: String,
    interval: String,
    /// Where the ratio of 1 is.
    same: String,
    /// Where the interval begins, the ratio is, and the interval ends.
    places: Option<[String; 3]>,
    /// Whether a mark on the ratio of 1 is shown where there is no interval: for the reference alone.
    visibility: &'static str,
    verdict: String,
    /// Whether it has no place in this contest, and is there for the script alone.
    hidden: bool,
}

/// Ranks the arms of a contest by throughput. Backends that stand in other contests alone have a row too, for the script.
pub(super) fn headline(contest: &ContestResult, names: &[&str]) -> Headline {
    let measure = contest.headline;
    let arms: Vec<&ArmResult> = contest.arms.iter().filter(|arm| arm.rank().is_some() || arm.floor).collect();
    let found = || arms.iter().filter_map(|arm| arm.comparisons.get(&measure));
    let axis = LogAxis::over(found().flat_map(|found| [found.low, found.high]).chain([1.0]), FROM, TO);
    let ranked = arms.iter().map(|arm| row(arm, measure, axis, &contest.reference));
    let others = names.iter().filter(|name| !arms.iter().any(|arm| arm.arm.name == **name));
    let takes_part = |name: &str| contest.arms.iter().any(|arm| arm.arm.name == name);
    let rows = ranked.chain(others.map(|name| unranked(name, axis, takes_part(name)))).collect();
    Headline {
        sentence: best_words(contest),
        measured: measured(contest),
        ranking: Ranking { unit: measure.name().to_owned(), reference: contest.reference.clone(), rows },
    }
}

/// The row of a backend without a verdict here; hidden where it does not take part.
fn unranked(name: &str, axis: LogAxis, takes_part: bool) -> Row {
    let absent = || "–".to_owned();
    Row {
        name: name.to_owned(),
        look: look(name),
        rank: absent(),
        level: absent(),
        ratio: absent(),
        interval: String::new(),
        same: format!("{:.1}", axis.at(1.0)),
        places: None,
        visibility: "hidden",
        verdict: "no verdict here".to_owned(),
        hidden: !takes_part,
    }
}

/// What was measured, in words.
fn measured(contest: &ContestResult) -> String {
    let Workload { connections, messages, message_bytes, .. } = contest.shape;
    let beside = contest.shape.beside();
    if contest.shape.arrivals.is_some() {
        let heading = heading(contest.view, contest.class);
        return format!("Measured: {}, {connections} connections{beside}, {heading}.", contest.title);
    }
    format!(
        "Measured: {connections} {}{beside}, sessions of {messages} messages of {message_bytes} bytes ({}), {}.",
        if connections == 1 { "connection" } else { "connections at a time" },
        contest.workload,
        heading(contest.view, contest.class)
    )
}

fn row(arm: &ArmResult, measure: Measure, axis: LogAxis, reference: &str) -> Row {
    let level = arm.levels.get(&measure).copied();
    let compared = arm.comparisons.get(&measure);
    let place = |value: f64| format!("{:.1}", axis.at(value));
    Row {
        name: arm.arm.name.clone(),
        look: arm_look(&arm.arm),
        rank: arm.rank().map_or_else(|| "–".to_owned(), |rank| rank.to_string()),
        level: level.map_or_else(|| "–".to_owned(), short),
        ratio: compared.map_or_else(|| "1".to_owned(), |found| format!("{:.3}", found.ratio)),
        interval: compared.map_or_else(String::new, |found| format!("{:.3} to {:.3}", found.low, found.high)),
        same: place(1.0),
        places: compared
            .map(|Comparison { low, ratio, high, .. }| [low, ratio, high].map(|value| place(*value))),
        visibility: if arm.arm.name == reference { "visible" } else { "hidden" },
        verdict: compared.map_or_else(
            || if arm.arm.name == reference { "reference".to_owned() } else { String::new() },
            verdict_words,
        ) + if arm.floor { "; a floor, not ranked" } else { "" },
        hidden: false,
    }
}
