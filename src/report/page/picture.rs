//! A picture of a contest for a README: the arms by their ratios, floors as lines across; a file of its own, for light and dark.

use askama::Template;

use super::axis::LogAxis;
use crate::{
    analysis::{ArmResult, ContestResult},
    report::{
        numbers::{level_text, short},
        words::heading,
    },
    stats::Better,
};

const WIDTH: f64 = 760.0;

/// Where the axis begins and ends: names to the left of it, levels to the right.
const FROM: f64 = 150.0;
const TO: f64 = 660.0;

const TOP: f64 = 54.0;
const ROW: f64 = 22.0;

#[derive(Template)]
#[template(path = "picture.svg", escape = "html")]
struct Picture {
    width: f64,
    height: f64,
    top: f64,
    bottom: f64,
    label: String,
    title: String,
    note: String,
    same: String,
    ticks: Vec<Tick>,
    floors: Vec<Floor>,
    rows: Vec<Row>,
}

struct Tick {
    x: String,
    text: String,
}

struct Floor {
    x: String,
    y: f64,
    text: String,
}

struct Row {
    y: f64,
    name: String,
    low: String,
    at: String,
    high: String,
    level: String,
}

/// Draws a contest; `source` says where its record is.
pub fn picture(contest: &ContestResult, source: &str) -> String {
    let measure = contest.headline;
    let (floors, ranked): (Vec<&ArmResult>, Vec<&ArmResult>) =
        contest.arms.iter().filter(|arm| !arm.arm.copy).partition(|arm| arm.floor);
    let interval = |arm: &ArmResult| match arm.comparisons.get(&measure) {
        Some(found) => Some([found.low, found.ratio, found.high]),
        None => (arm.arm.name == contest.reference).then_some([1.0; 3]),
    };
    let all = contest.arms.iter().filter_map(interval).flatten();
    let axis = LogAxis::over(all, FROM, TO);
    let place = |value: f64| format!("{:.1}", axis.at(value));
    let mut shown: Vec<(&ArmResult, [f64; 3])> =
        ranked.into_iter().filter_map(|arm| Some((arm, interval(arm)?))).collect();
    shown.sort_by(|(_, one), (_, other)| match measure.better() {
        Better::More => other[1].total_cmp(&one[1]),
        Better::Less => one[1].total_cmp(&other[1]),
    });
    let rows: Vec<Row> = shown
        .into_iter()
        .enumerate()
        .map(|(number, (arm, ends))| {
            let [low, at, high] = ends.map(place);
            let level =
                arm.levels.get(&measure).map_or_else(String::new, |level| level_text(measure, *level));
            Row { y: TOP + ROW * (number as f64 + 0.5), name: arm.arm.name.clone(), low, at, high, level }
        })
        .collect();
    let bottom = TOP + ROW * rows.len() as f64;
    let floor = |(number, arm): (usize, &&ArmResult)| {
        let [_, at, _] = interval(arm)?;
        // One above the other, so that names of neighbours don't touch.
        Some(Floor { x: place(at), y: TOP - 4.0 - 12.0 * (number % 2) as f64, text: arm.arm.name.clone() })
    };
    let title = format!(
        "{} to {}: {}, {}",
        measure.name(),
        contest.reference,
        contest.title,
        heading(contest.view, contest.class)
    );
    let picture = Picture {
        width: WIDTH,
        height: bottom + 40.0,
        top: TOP,
        bottom,
        label: title.clone(),
        title,
        note: format!(
            "Ratios in the same blocks with 95% intervals; dashed: hand-written loops. Right: {}. {source}",
            measure.name()
        ),
        same: place(1.0),
        ticks: axis.ticks(8).into_iter().map(|tick| Tick { x: place(tick), text: short(tick) }).collect(),
        floors: floors.iter().enumerate().filter_map(floor).collect(),
        rows,
    };
    picture.render().expect("a template of numbers and names renders")
}

#[cfg(test)]
mod tests {
    use crate::{analysis::analyse, report::tests::small};

    #[test]
    fn a_picture_names_every_arm_once_and_is_well_formed() {
        let contest = &analyse(&small()).unwrap().contests[0];
        let svg = super::picture(contest, "a <record>");
        for arm in contest.arms.iter().filter(|arm| !arm.arm.copy && !arm.comparisons.is_empty()) {
            assert_eq!(svg.matches(&format!(">{}</text>", arm.arm.name)).count(), 1, "{svg}");
        }
        assert!(svg.contains("a &#60;record&#62;"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
