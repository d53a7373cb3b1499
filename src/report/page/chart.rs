//! Line charts: a percentile curve of each arm, throughput by connections, and rounds over time.

use std::collections::BTreeSet;

use super::{
    axis::LogAxis,
    palette::arm_look,
    svg::{Anchor, Svg},
};
use crate::{
    analysis::{Compared, Measure, ResponsePoint, ScalingPoint},
    record::Schedule,
    report::numbers::short,
};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 340.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 212.0;

/// The shares that are written below a percentile curve. Before the first stands the luck of single messages, and beyond the
/// last a record of this size tells little.
const PERCENTILES: [(f64, &str); 6] =
    [(0.1, "10"), (0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99")];

/// Points of a percentile curve.
const POINTS: usize = 50;

/// The radius of a dot.
const DOT: f64 = 2.2;

/// A drawing with both axes.
struct Chart {
    svg: Svg,
    y: LogAxis,
}

impl Chart {
    /// Draws the vertical axis with its unit, and the title of the horizontal one.
    fn new(y: LogAxis, y_title: &str, x_title: &str) -> Self {
        let mut svg = Svg::new(WIDTH, HEIGHT);
        for tick in y.ticks(6) {
            let at = y.at(tick);
            svg.line("grid", (LEFT, at), (RIGHT, at));
            svg.text("tick", (LEFT - 5.0, at + 4.0), Anchor::End, &short(tick));
        }
        svg.text("title", (4.0, 11.0), Anchor::Start, y_title);
        svg.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
        svg.text("title", ((LEFT + RIGHT) / 2.0, BOTTOM + 33.0), Anchor::Middle, x_title);
        Self { svg, y }
    }

    /// The vertical axis over values.
    fn axis(values: impl Iterator<Item = f64>) -> LogAxis {
        LogAxis::over(values, BOTTOM, TOP)
    }

    fn x_tick(&mut self, share: f64, text: &str) {
        let x = LEFT + share * (RIGHT - LEFT);
        self.svg.line("axis", (x, BOTTOM), (x, BOTTOM + 4.0));
        self.svg.text("tick", (x, BOTTOM + 16.0), Anchor::Middle, text);
    }

    /// Draws a line through points, each given by its share of the width and its value.
    fn curve(&mut self, look: &str, points: &[(f64, f64)]) {
        let placed: Vec<(f64, f64)> = points.iter().map(|(x, value)| self.place(*x, *value)).collect();
        self.svg.polyline(&format!("curve {look}"), &placed);
    }

    /// Draws a dot at each of some points.
    fn dots(&mut self, look: &str, points: &[(f64, f64)]) {
        for (x, value) in points {
            self.svg.dot(&format!("mark {look}"), self.place(*x, *value), DOT);
        }
    }

    fn place(&self, share: f64, value: f64) -> (f64, f64) {
        (LEFT + share * (RIGHT - LEFT), self.y.at(value))
    }
}

/// Draws how round trips are distributed: time against percentile, the tail stretched.
pub(super) fn percentiles(compared: &Compared<'_>) -> Option<String> {
    // Equal lengths are equal factors of the messages that take longer.
    let tail = |share: f64| -(1.0 - share).log10();
    let (from, to) = (tail(PERCENTILES[0].0), tail(PERCENTILES[PERCENTILES.len() - 1].0));
    let shares: Vec<f64> = (0..=POINTS)
        .map(|point| 1.0 - 10_f64.powf(-(from + (to - from) * point as f64 / POINTS as f64)))
        .collect();
    let x = |share: f64| (tail(share) - from) / (to - from);
    let us = |arm: usize, share: f64| compared.round_trip(arm).quantile(share).as_nanos() as f64 / 1e3;
    let arms: Vec<usize> = compared
        .order(compared.headline())
        .into_iter()
        .filter(|arm| compared.round_trip(*arm).count() > 0)
        .collect();
    let curve = |arm: &usize| shares.iter().map(|share| (x(*share), us(*arm, *share))).collect();
    let curves: Vec<Vec<(f64, f64)>> = arms.iter().map(curve).collect();
    let y = Chart::axis(curves.iter().flatten().map(|(_, value)| *value));
    let mut chart = Chart::new(y, "round trip, µs", "percentile of round trips");
    for (share, text) in PERCENTILES {
        chart.x_tick(x(share), text);
    }
    for (arm, curve) in arms.iter().zip(&curves) {
        chart.curve(&arm_look(&compared.contest().arms[*arm]), curve);
    }
    let said = arms.iter().map(|arm| {
        let name = &compared.contest().arms[*arm].name;
        format!("{name} median {:.0} µs, p99 {:.0} µs", us(*arm, 0.5), us(*arm, 0.99))
    });
    let said: Vec<String> = said.collect();
    let finding = format!("Round trips under {}: {}", compared.contest().workload, said.join("; "));
    (!arms.is_empty()).then(|| chart.svg.finish(&finding))
}

/// Draws throughput against the number of connections, over contests that differ in it alone.
pub(super) fn connections(each_compared: &[&Compared<'_>]) -> Option<String> {
    let mut columns: Vec<(usize, &Compared<'_>)> =
        each_compared.iter().map(|compared| (compared.contest().workload.connections, *compared)).collect();
    columns.sort_by_key(|(connections, _)| *connections);
    let (least, most) = (columns.first()?.0, columns.last()?.0);
    if least == most {
        return None;
    }
    let share =
        |connections: usize| (connections as f64 / least as f64).ln() / (most as f64 / least as f64).ln();
    let first = columns[0].1.contest();
    let curves: Vec<(usize, Vec<(f64, f64)>)> = (0..first.arms.len())
        .filter(|arm| !first.arms[*arm].copy)
        .map(|arm| {
            let level = |compared: &Compared<'_>| compared.level(Measure::Throughput, &first.arms[arm].name);
            (
                arm,
                columns
                    .iter()
                    .filter_map(|(number, compared)| Some((share(*number), level(compared)?)))
                    .collect(),
            )
        })
        .collect();
    let y = Chart::axis(curves.iter().flat_map(|(_, curve)| curve).map(|(_, value)| *value));
    let mut chart = Chart::new(y, "messages/s", "connections at a time");
    columns.iter().for_each(|(number, _)| chart.x_tick(share(*number), &number.to_string()));
    for (arm, curve) in &curves {
        let look = arm_look(&first.arms[*arm]);
        chart.curve(&look, curve);
        chart.dots(&look, curve);
    }
    let said: Vec<String> = curves
        .iter()
        .map(|(arm, curve)| {
            let levels: Vec<String> = curve.iter().map(|(_, value)| short(*value)).collect();
            format!("{} {}", first.arms[*arm].name, levels.join(", "))
        })
        .collect();
    let numbers: Vec<String> = columns.iter().map(|(number, _)| number.to_string()).collect();
    Some(chart.svg.finish(&format!("messages/s at {} connections: {}", numbers.join(", "), said.join("; "))))
}

/// Draws response time against the rate that is offered, a line an arm, with the interval of each point and its name at the end;
/// nothing for other contests than of a capacity.
pub(super) fn responses(compared: &Compared<'_>) -> Option<String> {
    let arms = (0..compared.contest().arms.len()).filter(|arm| !compared.contest().arms[*arm].copy);
    let curve = |arm: usize| compared.response_curve(arm);
    let curves: Vec<(usize, Vec<ResponsePoint>)> =
        arms.map(|arm| (arm, curve(arm))).filter(|(_, curve)| curve.len() > 1).collect();
    let points = || curves.iter().flat_map(|(_, curve)| curve);
    points().next()?;
    // Room for the names behind the last points.
    let x = LogAxis::over(points().map(|point| point.rate), 0.0, 0.78);
    let y = Chart::axis(points().flat_map(|point| [point.level_us, point.low_us, point.high_us]));
    let mut chart = Chart::new(y, "response, µs", "messages/s offered");
    for tick in x.ticks(6) {
        chart.x_tick(x.at(tick), &short(tick));
    }
    let mut ends = Vec::new();
    for (arm, curve) in &curves {
        let look = arm_look(&compared.contest().arms[*arm]);
        let line: Vec<(f64, f64)> = curve.iter().map(|point| (x.at(point.rate), point.level_us)).collect();
        for ResponsePoint { rate, low_us, high_us, .. } in curve {
            let at = x.at(*rate);
            chart.svg.line(&format!("interval {look}"), chart.place(at, *low_us), chart.place(at, *high_us));
        }
        chart.curve(&look, &line);
        chart.dots(&look, &line);
        ends.extend(line.last().map(|last| (*arm, chart.place(last.0, last.1))));
    }
    for (arm, (x, y)) in apart(ends) {
        chart.svg.text("name", (x + 6.0, y + 4.0), Anchor::Start, &compared.contest().arms[arm].name);
    }
    let said = curves.iter().map(|(arm, curve)| {
        let points: Vec<String> =
            curve.iter().map(|point| format!("{} at {}", short(point.level_us), short(point.rate))).collect();
        format!("{} {}", compared.contest().arms[*arm].name, points.join(", "))
    });
    let said: Vec<String> = said.collect();
    Some(chart.svg.finish(&format!("response time in µs by messages/s offered: {}", said.join("; "))))
}

/// Draws the speed-up by workers, a line a backend with its name at the end, beside what as many times the workers do at best; points
/// that say nothing of that are crosses. A backend begins on that line, with the fewest that it was measured with. Nothing where arms
/// don't differ by their workers.
pub(super) fn scaling(compared: &Compared<'_>) -> Option<String> {
    let points = compared.scaling();
    let fewest = points.iter().map(|point| point.fewest).min()?;
    let most = points.iter().map(|point| point.workers).max()?;
    let times = |workers: usize| workers as f64 / fewest as f64;
    let ideal = most as f64 / fewest as f64;
    // Room for the names behind the last points.
    let x = LogAxis::over([1.0, ideal].into_iter(), 0.0, 0.78);
    let height = |point: &ScalingPoint, speedup: f64| speedup * times(point.fewest);
    let ends = points.iter().flat_map(|point| [height(point, point.low), height(point, point.high)]);
    let mut chart = Chart::new(Chart::axis(ends.chain([1.0, ideal])), "speed-up", "workers");
    let numbers: BTreeSet<usize> = points.iter().flat_map(|point| [point.fewest, point.workers]).collect();
    numbers.iter().for_each(|number| chart.x_tick(x.at(times(*number)), &number.to_string()));
    let (from, to) = (chart.place(x.at(1.0), 1.0), chart.place(x.at(ideal), ideal));
    chart.svg.line("grid", from, to);
    let arms = &compared.contest().arms;
    let mut names = Vec::new();
    for of_backend in points.chunk_by(|one, other| one.backend == other.backend) {
        let Some(arm) = arms.iter().position(|arm| arm.server == of_backend[0].backend) else { continue };
        let look = arm_look(&arms[arm]);
        let start = times(of_backend[0].fewest);
        let each = of_backend.iter().map(|point| (x.at(times(point.workers)), height(point, point.speedup)));
        let line: Vec<(f64, f64)> = std::iter::once((x.at(start), start)).chain(each).collect();
        chart.curve(&look, &line);
        for point in of_backend {
            let at = x.at(times(point.workers));
            let [low, speedup, high] = [point.low, point.speedup, point.high].map(|it| height(point, it));
            chart.svg.line(&format!("interval {look}"), chart.place(at, low), chart.place(at, high));
            if point.void.is_some() {
                let (x, y) = chart.place(at, speedup);
                chart.svg.text(&format!("lost {look}"), (x, y + 4.0), Anchor::Middle, "×");
            } else {
                chart.dots(&look, &[(at, speedup)]);
            }
        }
        names.extend(line.last().map(|last| (arm, chart.place(last.0, last.1))));
    }
    for (arm, (x, y)) in apart(names) {
        chart.svg.text("name", (x + 6.0, y + 4.0), Anchor::Start, &arms[arm].server);
    }
    let said = points.iter().map(|point| {
        let void = if point.void.is_some() { " (void)" } else { "" };
        format!("{} with {} workers {:.2}{void}", point.backend, point.workers, point.speedup)
    });
    let said: Vec<String> = said.collect();
    Some(chart.svg.finish(&format!("speed-up: {}", said.join("; "))))
}

/// Moves names that would touch down from each other.
fn apart(mut ends: Vec<(usize, (f64, f64))>) -> Vec<(usize, (f64, f64))> {
    const LINE: f64 = 11.0;
    ends.sort_by(|one, other| one.1.1.total_cmp(&other.1.1));
    for index in 1..ends.len() {
        let least = ends[index - 1].1.1 + LINE;
        ends[index].1.1 = ends[index].1.1.max(least);
    }
    // Those that were moved below the axis have room above.
    let over = ends.last().map_or(0.0, |last| (last.1.1 - BOTTOM).max(0.0));
    ends.iter_mut().for_each(|end| end.1.1 -= over);
    ends
}

/// Draws the throughput of every round in the order of the blocks; rounds that were excluded stand as crosses below.
pub(super) fn rounds(compared: &Compared<'_>) -> Option<String> {
    let arms: Vec<usize> = (0..compared.contest().arms.len()).collect();
    let series: Vec<Vec<Vec<Option<f64>>>> =
        arms.iter().map(|arm| compared.rounds(compared.headline(), *arm)).collect();
    let values = || series.iter().flatten().flatten();
    let blocks = series.first().map_or(0, |arm| arm.iter().flatten().count());
    let per_epoch = series.first().and_then(|arm| arm.first()).map_or(0, Vec::len);
    values().flatten().next()?;
    let unit = match compared.headline().unit() {
        "1/s" => "messages/s".to_owned(),
        unit => format!("{}, {unit}", compared.headline().name()),
    };
    let mut chart = Chart::new(Chart::axis(values().flatten().copied()), &unit, "round");
    let share = |block: usize| (block as f64 + 0.5) / blocks as f64;
    for block in (0..blocks).step_by(blocks.div_ceil(8).max(1)) {
        chart.x_tick(share(block), &(block + 1).to_string());
    }
    let mut lost = 0;
    for (arm, series) in arms.iter().zip(&series) {
        let look = arm_look(&compared.contest().arms[*arm]);
        let points: Vec<(f64, Option<f64>)> =
            series.iter().flatten().enumerate().map(|(block, value)| (share(block), *value)).collect();
        // A line does not go on across what was excluded.
        for run in points.split(|(_, value)| value.is_none()) {
            let run: Vec<(f64, f64)> = run.iter().filter_map(|(x, value)| Some((*x, (*value)?))).collect();
            chart.curve(&look, &run);
            // So that a round between two that were excluded is seen too.
            chart.dots(&look, &run);
        }
        for (epoch, block) in compared.lost(*arm) {
            lost += 1;
            let at = (LEFT + share(epoch * per_epoch + block) * (RIGHT - LEFT), BOTTOM - 2.0);
            chart.svg.text(&format!("lost {look}"), at, Anchor::Middle, "×");
        }
    }
    let of_slices = match compared.contest().schedule {
        Schedule::Slices { .. } => " (a round is all slices of an epoch)",
        Schedule::Rounds { .. } => "",
    };
    let workload = &compared.contest().workload;
    Some(chart.svg.finish(&format!(
        "{unit} of each backend in {blocks} rounds of {workload}{of_slices}, in the order in which they were measured; \
         excluded rounds: {lost}"
    )))
}
