//! The forest plot: each arm's ratio to the reference with its interval, and the band of the reference's second copy.

use super::{
    axis::LogAxis,
    palette::arm_look,
    svg::{Anchor, Svg},
};
use crate::{
    analysis::{ArmResult, ContestResult, Measure},
    report::{numbers::short, words::sign},
    stats::{Better, Comparison, Verdict},
};

// What every drawing with a row for each arm has: its width, the height of a row, what is above the first, where names end
// and where the axis begins.
pub(super) const WIDTH: f64 = 360.0;
pub(super) const ROW: f64 = 19.0;
pub(super) const TOP: f64 = 6.0;
pub(super) const NAMES: f64 = 104.0;
pub(super) const FROM: f64 = 112.0;

/// The axis, its values and its title.
const FOOT: f64 = 36.0;
/// Where the axis ends, and the ratios.
const TO: f64 = 274.0;
const RATIOS: f64 = 356.0;

/// Draws all arms of a contest by one measure, in the order of their ratios; nothing when there is nothing to compare.
pub(super) fn forest(contest: &ContestResult, measure: Measure) -> Option<String> {
    let rows = rows(contest, measure);
    let compared = || rows.iter().filter_map(|arm| arm.comparisons.get(&measure));
    compared().next()?;
    let axis = LogAxis::over(compared().flat_map(|found| [found.low, found.high]).chain([1.0]), FROM, TO);
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + FOOT);

    let copy = rows.iter().find(|arm| arm.arm.copy).and_then(|arm| arm.comparisons.get(&measure));
    if let Some(copy) = copy {
        let (low, high) = (axis.at(copy.low), axis.at(copy.high));
        svg.rect("band", (low, TOP), (high - low, bottom - TOP));
    }
    svg.line("same", (axis.at(1.0), TOP), (axis.at(1.0), bottom));
    draw_axis(&mut svg, axis, bottom, &format!("{} to {}", measure.name(), contest.reference));
    for (row, arm) in rows.iter().enumerate() {
        draw_arm(&mut svg, axis, TOP + ROW * (row as f64 + 0.5), arm, measure);
    }
    Some(svg.finish(&finding(contest, measure, &rows)))
}

/// The arms, the best first; the second copy of the reference last.
fn rows(contest: &ContestResult, measure: Measure) -> Vec<&ArmResult> {
    let shown =
        |arm: &&ArmResult| arm.comparisons.contains_key(&measure) || arm.arm.name == contest.reference;
    let mut rows: Vec<&ArmResult> = contest.arms.iter().filter(shown).collect();
    let ratio = |arm: &ArmResult| arm.comparisons.get(&measure).map_or(1.0, |found| found.ratio);
    rows.sort_by(|one, other| {
        let by_ratio = match measure.better() {
            Better::More => ratio(other).total_cmp(&ratio(one)),
            Better::Less => ratio(one).total_cmp(&ratio(other)),
        };
        one.arm.copy.cmp(&other.arm.copy).then(by_ratio)
    });
    rows
}

fn draw_axis(svg: &mut Svg, axis: LogAxis, bottom: f64, title: &str) {
    svg.line("axis", (FROM, bottom), (TO, bottom));
    for tick in axis.ticks(5) {
        let x = axis.at(tick);
        svg.line("axis", (x, bottom), (x, bottom + 4.0));
        svg.text("tick", (x, bottom + 15.0), Anchor::Middle, &short(tick));
    }
    svg.text("title", ((FROM + TO) / 2.0, bottom + 31.0), Anchor::Middle, title);
}

fn draw_arm(svg: &mut Svg, axis: LogAxis, y: f64, arm: &ArmResult, measure: Measure) {
    let look = arm_look(&arm.arm);
    svg.text("name", (NAMES, y + 4.0), Anchor::End, &arm.arm.name);
    let Some(Comparison { ratio, low, high, verdict, .. }) = arm.comparisons.get(&measure) else {
        svg.dot(&format!("mark {look}"), (axis.at(1.0), y), 3.5);
        svg.text("value", (RATIOS, y + 4.0), Anchor::End, "reference");
        return;
    };
    svg.line(&format!("interval {look}"), (axis.at(*low), y), (axis.at(*high), y));
    svg.dot(&format!("mark {look}"), (axis.at(*ratio), y), 3.5);
    svg.text("value", (RATIOS, y + 4.0), Anchor::End, &format!("{ratio:.3} {}", sign(*verdict)));
}

fn finding(contest: &ContestResult, measure: Measure, rows: &[&ArmResult]) -> String {
    let said = rows.iter().filter(|arm| !arm.arm.copy).filter_map(|arm| {
        let Comparison { ratio, verdict, .. } = arm.comparisons.get(&measure)?;
        Some(match verdict {
            Verdict::Indistinguishable => format!("{} statistically indistinguishable", arm.arm.name),
            said => format!("{} {ratio:.2}, {said}", arm.arm.name),
        })
    });
    let said: Vec<String> = said.collect();
    format!(
        "{} under {}, ratio to {}: {}",
        measure.name(),
        contest.workload,
        contest.reference,
        said.join("; ")
    )
}
