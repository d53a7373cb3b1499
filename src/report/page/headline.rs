//! The answer as it stands without a script: one plot of the first contest, its arms by their ranks by what it ranks by.

use askama::{Template, filters::HtmlSafe};

use super::{
    axis::LogAxis,
    palette::{arm_look, look},
};
use crate::{
    analysis::{ArmResult, ContestResult, Measure},
    load::Workload,
    report::{
        answer::lead_words,
        numbers::{level_text, short},
        words::{SIGNS, at_a_time_words, connections_words, heading, needed_text, sign},
    },
    stats::Comparison,
};

/// Where the axis begins and ends, in percent of the plot's width: behind its end is room for what stands at a mark.
const FROM: f64 = 6.0;
const TO: f64 = 72.0;

/// The height of a line of names of floors, in pixels.
const LINE: usize = 14;

/// The axis of ratios; all of them, and 1, are on it.
pub(super) fn axis<'a>(found: impl Iterator<Item = &'a Comparison>) -> LogAxis {
    LogAxis::over(found.flat_map(|found| [found.low, found.high]).chain([1.0]), FROM, TO)
}

/// Round values along an axis, so few that they don't touch on a telephone.
pub(super) fn ticks(axis: &LogAxis) -> Vec<f64> {
    axis.ticks(4)
}

/// A ranking, said and shown.
pub(super) struct Headline {
    pub(super) sentence: String,
    pub(super) measured: String,
    pub(super) ranking: Ranking,
}

/// The plot of a ranking, a table with a row for each arm; the script draws others into the same rows.
#[derive(Template)]
#[template(path = "ranking.html")]
pub(super) struct Ranking {
    signs: &'static str,
    measure: &'static str,
    reference: String,
    /// Where the ratio of 1 is, in percent; so are all places.
    same: String,
    ticks: Vec<(String, String)>,
    floors: Vec<Floor>,
    rows: Vec<Row>,
}

impl HtmlSafe for Ranking {}

/// A floor: a line across the plot with its name at the top, each lower than the one before so that names never touch.
struct Floor {
    name: String,
    ratio: String,
    x: String,
    y: usize,
    dx: i8,
    anchor: &'static str,
}

struct Row {
    name: String,
    look: String,
    rank: String,
    level: String,
    ratio: String,
    sign: &'static str,
    /// Where that is no verdict, the difference that was needed for one.
    needed: String,
    /// Where the interval begins, the ratio is, and the interval ends.
    places: Option<[String; 3]>,
    verdict: String,
    /// Whether it has no place in this plot, and is there for the script alone.
    hidden: bool,
}

/// Ranks the arms of a contest by its headline. Backends that stand in other contests alone have a row too, for the script.
pub(super) fn headline(contest: &ContestResult, names: &[&str]) -> Headline {
    let measure = contest.headline;
    let ranked: Vec<&ArmResult> =
        contest.arms.iter().filter(|arm| arm.ranks.contains_key(&measure)).collect();
    let shown = contest.arms.iter().filter(|arm| !arm.arm.copy);
    let axis = axis(shown.filter_map(|arm| arm.comparisons.get(&measure)));
    let others = names.iter().filter(|name| !ranked.iter().any(|arm| arm.arm.name == **name));
    let is_unjudged =
        |name: &str| contest.arms.iter().any(|arm| arm.arm.name == name && arm.no_verdict.is_some());
    let rows = ranked.iter().map(|arm| row(arm, measure, &axis));
    let rows = rows.chain(others.map(|name| unranked(name, is_unjudged(name)))).collect();
    Headline {
        sentence: lead_words(contest),
        measured: measured(contest),
        ranking: Ranking {
            signs: SIGNS,
            measure: measure.name(),
            reference: contest.reference.clone(),
            same: place(&axis, 1.0),
            ticks: ticks(&axis).into_iter().map(|tick| (place(&axis, tick), short(tick))).collect(),
            floors: floors(contest, &axis),
            rows,
        },
    }
}

fn place(axis: &LogAxis, value: f64) -> String {
    format!("{:.2}", axis.at(value))
}

/// The floors of a contest. Names that stand to the left of their lines are higher the further to the right they are, the others
/// the further to the left, so that no line crosses a name.
fn floors(contest: &ContestResult, axis: &LogAxis) -> Vec<Floor> {
    let ratio = |arm: &ArmResult| match arm.comparisons.get(&contest.headline) {
        Some(found) => Some(found.ratio),
        None => (arm.arm.name == contest.reference && !arm.levels.is_empty()).then_some(1.0),
    };
    let is_left = |ratio: f64| axis.at(ratio) > 50.0;
    let floors = contest.arms.iter().filter(|arm| arm.floor);
    let mut floors: Vec<(&ArmResult, f64)> = floors.filter_map(|arm| Some((arm, ratio(arm)?))).collect();
    floors.sort_by(|(_, one), (_, other)| match (is_left(*one), is_left(*other)) {
        (true, true) => other.total_cmp(one),
        (false, false) => one.total_cmp(other),
        (one, other) => other.cmp(&one),
    });
    let floor = |(line, (arm, ratio)): (usize, (&ArmResult, f64))| Floor {
        name: arm.arm.name.clone(),
        ratio: if arm.arm.name == contest.reference { "1".to_owned() } else { format!("{ratio:.3}") },
        x: place(axis, ratio),
        y: line * LINE,
        dx: if is_left(ratio) { -5 } else { 5 },
        anchor: if is_left(ratio) { "end" } else { "start" },
    };
    floors.into_iter().enumerate().map(floor).collect()
}

/// The row of a backend without a rank here; hidden but where it took part and has no verdict.
fn unranked(name: &str, is_unjudged: bool) -> Row {
    let absent = || "–".to_owned();
    Row {
        name: name.to_owned(),
        look: look(name),
        rank: absent(),
        level: absent(),
        ratio: absent(),
        sign: "",
        needed: String::new(),
        places: None,
        verdict: "no verdict here".to_owned(),
        hidden: !is_unjudged,
    }
}

/// What was measured, in words.
fn measured(contest: &ContestResult) -> String {
    let Workload { connections, messages, message_bytes, .. } = contest.shape;
    let beside = contest.shape.beside();
    if contest.shape.arrivals.is_some() {
        let heading = heading(contest.view, contest.class);
        return format!(
            "Measured: {}, {}{beside}, {heading}.",
            contest.title,
            connections_words(connections)
        );
    }
    format!(
        "Measured: {}{beside}, sessions of {messages} messages of {message_bytes} bytes ({}), {}.",
        at_a_time_words(connections),
        contest.workload,
        heading(contest.view, contest.class)
    )
}

fn row(arm: &ArmResult, measure: Measure, axis: &LogAxis) -> Row {
    let found = arm.comparisons.get(&measure);
    // Only the reference is ranked and not compared.
    let ends = found.map_or([1.0; 3], |Comparison { low, ratio, high, .. }| [*low, *ratio, *high]);
    Row {
        name: arm.arm.name.clone(),
        look: arm_look(&arm.arm),
        rank: arm.rank().map_or_else(|| "–".to_owned(), |rank| rank.to_string()),
        level: arm.levels.get(&measure).map_or_else(|| "–".to_owned(), |level| level_text(measure, *level)),
        ratio: found.map_or_else(|| "1".to_owned(), |found| format!("{:.3}", found.ratio)),
        sign: found.map_or("", |found| sign(found.verdict)),
        needed: found
            .filter(|found| !found.verdict.is_told())
            .map_or_else(String::new, |it| needed_text(it.needed)),
        places: Some(ends.map(|value| place(axis, value))),
        verdict: found.map_or_else(|| "reference".to_owned(), |found| found.verdict.to_string()),
        hidden: false,
    }
}
