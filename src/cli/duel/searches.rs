//! Simulated searches for capacities: is what they find where it is, and do their intervals hold it?

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use crate::{
    analysis::Capacities,
    duel::{Ladder, Prober, find_rates},
    load::Objective,
    stats::{Better, Capacity, Draws, Judgement, Measured, Series},
};

/// What p99 is to stay below, in seconds.
const LIMIT: f64 = 0.002;

/// How long a message takes the reference, in seconds.
const SERVICE: f64 = 33e-6;

/// How much slower the other arm is.
const SLOWER: f64 = 1.1;

const EPOCHS: usize = 8;
const BLOCKS: usize = 2;

/// The reference, its second copy, and the arm that is slower.
const ARMS: [f64; 3] = [1.0, 1.0, SLOWER];

/// A machine on which the arms answer as a queue does (M/M/1): the response time is exponential with the mean s / (1 − λs), and
/// its p99 ln 100 times that (L. Kleinrock, Queueing Systems 1, 1975, section 3.2).
struct Machine(Xoshiro256PlusPlus);

/// What the arms of a block have in common at one rate, as factors.
#[derive(Clone, Copy)]
struct Moment {
    /// How fast the processor is.
    speed: f64,
    /// What the draw of the plan does to p99.
    plan: f64,
}

impl Machine {
    fn normal(&mut self) -> f64 {
        let (u, v): (f64, f64) = (1.0 - self.0.random::<f64>(), self.0.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// p99 of a round: plans of a thousand messages near the limit differ by a third, one plan measured twice by a tenth, and in one
    /// round of ten the machine stands still. So it was in results/2026-11-26.5.
    fn round(&mut self, slower: f64, rate: f64, moment: Moment) -> f64 {
        let service = SERVICE * slower / moment.speed;
        let stall = if self.0.random::<f64>() < 0.1 { 0.003 } else { 0.0 };
        let free = 1.0 - rate * service;
        let settled = if free > 0.0 { service * 100.0_f64.ln() / free } else { f64::INFINITY };
        // A round ends before a queue has grown without limit.
        settled.min(0.05) * moment.plan * (0.1 * self.normal()).exp() + stall
    }

    fn moment(&mut self) -> Moment {
        Moment { speed: (0.04 * self.normal()).exp(), plan: (0.33 * self.normal()).exp() }
    }
}

/// The rate at which p99 is the limit: s ln 100 / (1 − λs) = L.
fn truth(slower: f64) -> f64 {
    let service = SERVICE * slower;
    (1.0 - service * 100.0_f64.ln() / LIMIT) / service
}

impl Prober for Machine {
    fn arms(&self) -> usize {
        2
    }

    fn lowest(&self) -> f64 {
        1.0
    }

    fn saturate(&mut self, arm: usize) -> anyhow::Result<f64> {
        Ok(self.moment().speed / (SERVICE * ARMS[arm * 2]))
    }

    fn response(&mut self, arm: usize, rate: f64) -> anyhow::Result<f64> {
        let moment = self.moment();
        Ok(self.round(ARMS[arm * 2], rate, moment) / LIMIT)
    }
}

/// What a search says: the level of the reference, where it lies between two rates, and the ratio of the slower arm to it with its interval.
fn search(seed: u64) -> (Option<f64>, [f64; 3]) {
    let mut machine = Machine(Xoshiro256PlusPlus::seed_from_u64(seed));
    let Ladder { rates, below } = find_rates(&mut machine, 10).unwrap();
    let objectives: [Objective; 1] = [format!("p99 < {}ms", LIMIT * 1e3).parse().unwrap()];
    let mut arms = ARMS.map(|slower| (slower, Capacities::new(&rates, below, &objectives)));
    for (epoch, block) in (0..EPOCHS).flat_map(|epoch| (0..BLOCKS).map(move |block| (epoch, block))) {
        let first = if block == 0 { 0 } else { below };
        for (step, rate) in rates.iter().enumerate().skip(first) {
            let moment = machine.moment();
            for (slower, capacities) in &mut arms {
                let response = machine.round(*slower, *rate, moment);
                capacities.enter(epoch, block, step, |_| response);
            }
        }
    }
    let level = arms[0].1.level();
    let [reference, copy, slower] = arms.map(|(_, capacities)| series(&capacities));
    let measured = Measured { reference, copy: Some(copy), others: vec![slower] };
    let judgement = Judgement::of(&measured, Better::More, &Draws::new(1));
    let said = judgement.comparison(1, 0).unwrap();
    (level, [said.ratio, said.low, said.high])
}

/// The capacity of each block, by epoch.
fn series(capacities: &Capacities) -> Series {
    let blocks: Vec<Option<f64>> =
        capacities.of_blocks().map(|(_, found)| found.map(Capacity::rate)).collect();
    blocks.chunks(BLOCKS).map(<[_]>::to_vec).collect()
}

#[test]
fn a_thousand_searches_are_right_on_average_and_their_intervals_hold_the_truth() {
    hold(1000);
}

#[test]
#[ignore = "takes ten seconds"]
fn so_are_eight_thousand() {
    hold(8000);
}

/// Holds so many searches to the truth, and tells what they found.
#[allow(clippy::print_stdout, reason = "the figures that METHODOLOGY.md has")]
fn hold(searches: u64) {
    let ratio = truth(SLOWER) / truth(1.0);
    let said: Vec<(Option<f64>, [f64; 3])> = (0..searches).map(search).collect();
    let levels: Vec<f64> = said.iter().filter_map(|(level, _)| Some(level.as_ref()? / truth(1.0))).collect();
    let level = levels.iter().sum::<f64>() / levels.len() as f64;
    let all = searches as f64;
    let without = 1.0 - levels.len() as f64 / all;
    let mean = said.iter().map(|(_, [said, ..])| said / ratio).sum::<f64>() / all;
    let held = said.iter().filter(|(_, [_, low, high])| (*low..=*high).contains(&ratio)).count() as f64 / all;
    println!(
        "level {level:.4} and ratio {mean:.4} of the truth, which intervals held in {held:.4}; no level in {without:.4}"
    );
    assert!((level - 1.0).abs() < 0.02 && (mean - 1.0).abs() < 0.02, "level {level}, ratio {mean}");
    assert!((0.93..=0.97).contains(&held), "held in {held}");
    assert!(without < 0.01, "{without} have no level");
}
