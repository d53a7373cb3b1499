//! What the script of a page needs to rank by any measure against any reference, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    headline::{axis, ticks},
    need::{Need, needs},
    palette::arm_look,
};
use crate::{
    analysis::{Compared, Measure, Scope},
    load::Workload,
    record::{Class, Record, View},
    report::{answer::baseline_name, numbers::level_text},
    stats::{Better, Comparison, Verdict},
};

/// A measure that one can choose by.
pub(super) struct Choice {
    pub(super) key: &'static str,
    /// What a person calls it.
    pub(super) text: &'static str,
    /// What it is in loads at a rate, where sessions are short, and elsewhere: the first that a contest has.
    measures: [Measure; 3],
}

const fn choice(key: &'static str, text: &'static str, measures: [Measure; 3]) -> Choice {
    Choice { key, text, measures }
}

/// The measures that one can choose by.
pub(super) const CHOICES: [Choice; 5] = [
    choice("throughput", "throughput", [Measure::Capacity, Measure::Throughput, Measure::Throughput]),
    choice("median", "the median time", [Measure::ResponseP50, Measure::SessionP50, Measure::RoundTripP50]),
    choice("tail", "the tail: p99", [Measure::ResponseP99, Measure::SessionP99, Measure::RoundTripP99]),
    choice("cpu", "CPU cost of the server", [Measure::ServerCpu; 3]),
    choice("memory", "memory", [Measure::IdleMemory, Measure::ServerMemory, Measure::ServerMemory]),
];

impl Choice {
    /// The first of its measures that a contest has.
    pub(super) fn measure(&self, compared: &Compared<'_>) -> Option<Measure> {
        self.measures.into_iter().find(|measure| !compared.order(*measure).is_empty())
    }
}

/// All that the script needs.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    /// What each backend satisfies.
    needs: BTreeMap<&'a str, Need>,
    contests: Vec<ContestData<'a>>,
}

/// What the script needs of a contest.
#[derive(Serialize)]
pub(super) struct ContestData<'a> {
    /// What is asked for to get it, where its messages come at a rate; empty in a closed loop.
    load: String,
    workload: &'a str,
    view: View,
    class: Class,
    connections: usize,
    messages: u32,
    bytes: usize,
    /// The arms that have a verdict; everything below goes by their places in this list.
    arms: Vec<&'a str>,
    /// What sizes are told against where the reference that was chosen is a floor; `null` where there is no other.
    baseline: Option<usize>,
    /// Whether each of them is a floor, which is not ranked.
    floors: Vec<bool>,
    /// The arms that took part and have none.
    unjudged: Vec<&'a str>,
    servers: Vec<&'a str>,
    looks: Vec<String>,
    measures: BTreeMap<&'static str, MeasureData>,
}

#[derive(Serialize)]
struct MeasureData {
    name: &'static str,
    better: &'static str,
    /// As they are written.
    levels: Vec<String>,
    /// The arms by their ratios, the best first.
    order: Vec<usize>,
    /// `[arm][other]`: whether an arm is told better than another, directly or by way of others; 1 or 0.
    better_than: Vec<String>,
    /// For each reference the axis of the ratios to it.
    axes: Vec<Axis>,
    /// `[reference][arm]`: ratio, low, high, needed, and the verdict: 1 better, -1 worse, 0.5 suggestive, 0 statistically indistinguishable.
    ratios: Vec<Vec<Option<[f64; 5]>>>,
}

/// An axis of ratios.
#[derive(Serialize)]
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl<'a> Data<'a> {
    /// Takes what is needed of all contests, and of the backends what they satisfy.
    pub(super) fn new(contests: Vec<ContestData<'a>>, record: &Record) -> Self {
        let servers = contests.iter().flat_map(|contest| contest.servers.iter().copied());
        Self { needs: servers.map(|server| (server, needs(server, record))).collect(), contests }
    }

    /// As JSON that may stand in a script element: no text of it can end one.
    pub(super) fn json(&self) -> String {
        let json = serde_json::to_string(self).expect("numbers, texts and lists are JSON");
        json.replace('<', "\\u003c")
    }
}

/// Takes what is needed of a contest; nothing of a matrix, which has pairs for arms, nor where arms differ by their workers, nor of a
/// workload that connections and
/// messages alone don't tell from another.
pub(super) fn contest_data<'a>(compared: &Compared<'a>) -> Option<ContestData<'a>> {
    let contest = compared.contest();
    let Workload { connections, messages, message_bytes, .. } = contest.workload;
    let is_plain = contest.workload.idle == 0
        && contest.workload.work.is_none()
        && contest.workload.reply_bytes.is_none();
    // A contest at a rate is asked for by its name.
    let is_found = compared.scope() != Scope::Closed || is_plain;
    let is_choice = contest.view != View::Matrix && contest.class != Class::Scaling;
    if !is_choice || !is_found || compared.arms().is_empty() {
        return None;
    }
    let arms = compared.arms();
    let unjudged = (0..contest.arms.len()).filter(|arm| !arms.contains(arm) && !contest.arms[*arm].copy);
    let measures = CHOICES
        .iter()
        .filter_map(|choice| Some((choice.key, measure_data(compared, choice.measure(compared)?)?)));
    let measures: BTreeMap<_, _> = measures.collect();
    // One backend alone is compared with nobody, and what the page says of it stays.
    (!measures.is_empty()).then(|| ContestData {
        load: load(compared).unwrap_or_default(),
        workload: &contest.workload.name,
        view: contest.view,
        class: contest.class,
        connections,
        messages,
        bytes: message_bytes,
        arms: arms.iter().map(|arm| contest.arms[*arm].name.as_str()).collect(),
        baseline: baseline_name(&compared.result())
            .and_then(|name| arms.iter().position(|arm| contest.arms[*arm].name == name)),
        floors: arms.iter().map(|arm| compared.is_floor(*arm)).collect(),
        unjudged: unjudged.map(|arm| contest.arms[arm].name.as_str()).collect(),
        servers: arms.iter().map(|arm| contest.arms[*arm].server.as_str()).collect(),
        looks: arms.iter().map(|arm| arm_look(&contest.arms[*arm])).collect(),
        measures,
    })
}

/// What is asked for to get a contest whose messages come at a rate.
pub(super) fn load(compared: &Compared<'_>) -> Option<String> {
    (compared.scope() != Scope::Closed && !compared.arms().is_empty()).then(|| compared.title())
}

fn measure_data(compared: &Compared<'_>, measure: Measure) -> Option<MeasureData> {
    let arms = compared.arms();
    let place = |arm: usize| arms.iter().position(|is| *is == arm);
    let order: Vec<usize> = compared.order(measure).into_iter().filter_map(place).collect();
    if order.is_empty() {
        return None;
    }
    let bit = |arm: usize, other: usize| if compared.is_better(measure, arm, other) { '1' } else { '0' };
    let row = |reference: &usize| {
        let mut row = vec![None; arms.len()];
        for (arm, found) in compared.comparisons(measure, *reference) {
            if let Some(place) = place(arm) {
                row[place] = Some(figures(&found));
            }
        }
        row
    };
    let level = |arm: &usize| {
        let level = compared.level(measure, &compared.contest().arms[*arm].name);
        level.map_or_else(|| "–".to_owned(), |level| level_text(measure, level))
    };
    Some(MeasureData {
        name: measure.name(),
        better: if measure.better() == Better::More { "more" } else { "less" },
        levels: arms.iter().map(level).collect(),
        order,
        better_than: arms.iter().map(|arm| arms.iter().map(|other| bit(*arm, *other)).collect()).collect(),
        axes: arms.iter().map(|reference| axis_to(compared, measure, *reference)).collect(),
        ratios: arms.iter().map(row).collect(),
    })
}

fn axis_to(compared: &Compared<'_>, measure: Measure, reference: usize) -> Axis {
    let found: Vec<Comparison> =
        compared.comparisons(measure, reference).into_iter().map(|(_, found)| found).collect();
    let axis = axis(found.iter());
    let (low, high) = axis.ends();
    // Steps of a tenth, or of two, are no whole numbers to a computer.
    let ticks = ticks(&axis).into_iter().map(|tick| (tick * 1e6).round() / 1e6).collect();
    Axis { low, high, ticks }
}

fn figures(found: &Comparison) -> [f64; 5] {
    let verdict = match found.verdict {
        Verdict::Better => 1.0,
        Verdict::Worse => -1.0,
        Verdict::Suggestive => 0.5,
        Verdict::Indistinguishable => 0.0,
    };
    let round = |value: f64| (value * 1e6).round() / 1e6;
    [round(found.ratio), round(found.low), round(found.high), round(found.needed), verdict]
}
