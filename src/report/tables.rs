//! A record as CSV, and as the formats of two trackers of benchmarks.

use serde_json::{Map, Value, json};

use crate::{
    analysis::{Analysis, ArmResult, Change, ContestResult, Measure},
    environment::Difference,
    record::Class,
    stats::{Better, Comparison},
};

/// Renders one row for each contest, arm and measure. The verdict is `better`, `worse`, `suggestive` (its own interval leaves 1
/// out, but not after correction for the number of arms) or `statistically indistinguishable`; `needed` is the difference, as a share, that
/// was needed for one of the first two; `rate` is what was offered, where that is one; `better_than` names the arms that this one
/// is told better than.
pub fn csv(analysis: &Analysis) -> String {
    let mut text =
        "workload,view,class,arm,server,client,measure,unit,level,ratio,low,high,needed,verdict,rank,rounds,\
         rate,better_than\n"
            .to_owned();
    for (contest, arm) in arms(analysis) {
        for measure in Measure::ALL {
            let Some(level) = arm.levels.get(&measure) else { continue };
            let mut row = vec![
                contest.workload.clone(),
                contest.view.name().to_owned(),
                contest.class.name().to_owned(),
                arm.arm.name.clone(),
                arm.arm.server.clone(),
                arm.arm.client.clone(),
                measure.name().to_owned(),
                measure.unit().to_owned(),
                level.to_string(),
            ];
            match arm.comparisons.get(&measure) {
                Some(found) => {
                    row.extend(
                        [found.ratio, found.low, found.high, found.needed].map(|value| format!("{value:.6}")),
                    );
                    row.push(found.verdict.to_string());
                }
                None => row.extend([const { String::new() }; 5]),
            }
            row.push(arm.ranks.get(&measure).map_or_else(String::new, ToString::to_string));
            row.push(arm.rounds.to_string());
            row.push(contest.rate.map_or_else(String::new, |rate| rate.to_string()));
            row.push(arm.better_than.get(&measure).map_or_else(String::new, |worse| worse.join(" ")));
            let cells: Vec<String> = row.iter().map(|cell| quote(cell)).collect();
            text.push_str(&cells.join(","));
            text.push('\n');
        }
    }
    text
}

/// Quotes a cell where it must be (RFC 4180), and disarms what a spreadsheet would take for a formula.
fn quote(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '@']) || cell.starts_with('-') && cell.parse::<f64>().is_err();
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

fn arms(analysis: &Analysis) -> impl Iterator<Item = (&ContestResult, &ArmResult)> {
    analysis.contests.iter().flat_map(|contest| contest.arms.iter().map(move |arm| (contest, arm)))
}

/// The name of an arm among all contests.
fn full_name(contest: &ContestResult, arm: &ArmResult) -> String {
    let ContestResult { view, class, .. } = contest;
    let workload = &contest.title;
    let class = match class {
        // As names were before there were classes, so that a tracker goes on with its series.
        Class::Mixed => String::new(),
        class => format!("{}/", class.name()),
    };
    format!("{workload}/{}/{class}{}", view.name(), arm.arm.name)
}

/// Renders Bencher Metric Format: a benchmark for each arm, a measure for each of its levels.
pub fn bencher(analysis: &Analysis) -> Value {
    let mut benchmarks = Map::new();
    for (contest, arm) in arms(analysis) {
        let measures: Map<String, Value> =
            arm.levels.iter().map(|(measure, level)| (slug(*measure), json!({ "value": level }))).collect();
        benchmarks.insert(full_name(contest, arm), measures.into());
    }
    benchmarks.into()
}

fn slug(measure: Measure) -> String {
    measure.name().replace([' ', '/'], "-").to_lowercase()
}

/// Renders what github-action-benchmark takes as `customSmallerIsBetter`: all measures but the throughput.
pub fn github_action_benchmark(analysis: &Analysis) -> Value {
    let mut entries = Vec::new();
    for (contest, arm) in arms(analysis) {
        for (measure, level) in arm.levels.iter().filter(|(measure, _)| measure.better() == Better::Less) {
            let name = format!("{} {}", full_name(contest, arm), measure.name());
            entries.push(json!({ "name": name, "unit": measure.unit(), "value": level }));
        }
    }
    entries.into()
}

/// Renders what changed between two records, for a program: in what their designs differ, what else does, and the changes. A
/// change has no verdict where the designs differ.
pub fn changes_json(changes: &[Change], design: &[Difference], causes: &[Difference]) -> Value {
    let each = changes.iter().map(|change| {
        let Comparison { ratio, low, high, needed, verdict, .. } = change.comparison;
        json!({
            "workload": change.workload, "view": change.view, "class": change.class, "arm": change.arm,
            "measure": change.measure, "ratio": ratio, "low": low, "high": high, "needed": needed,
            "verdict": design.is_empty().then_some(verdict),
        })
    });
    json!({ "design_differences": design, "possible_causes": causes, "changes": each.collect::<Vec<_>>() })
}
