//! What the rounds of an arm at all rates say of its capacity, epoch by epoch.

use std::collections::BTreeMap;

use super::{arm_rounds::median, merged::Merged};
use crate::{
    load::Objective,
    record::{Arrivals, Contest},
    stats::{Capacity, capacity},
};

/// The share of the rates that must have a round in an epoch for the epoch to have a capacity.
const LEAST_RATES: f64 = 0.7;

/// The response times of one round, in seconds: by the quantile of each objective.
type Responses = Vec<f64>;

/// Capacities, and the response times that they come of.
pub(super) struct Capacities {
    rates: Vec<f64>,
    objectives: Vec<Objective>,
    /// The rounds that count, by epoch and by the number of the rate. An epoch without any is here too.
    rounds: BTreeMap<usize, BTreeMap<usize, Vec<Responses>>>,
}

impl Capacities {
    /// Prepares to take the rounds of an arm.
    pub(super) fn new(contest: &Contest) -> Self {
        let (rates, objectives) = match &contest.arrivals {
            Arrivals::Open { rates, objectives, .. } => (rates.clone(), objectives.clone()),
            Arrivals::Closed => (Vec::new(), Vec::new()),
        };
        Self { rates, objectives, rounds: BTreeMap::new() }
    }

    /// Takes note of an epoch, whether or not a round of it counts.
    pub(super) fn has_epoch(&mut self, epoch: usize) {
        self.rounds.entry(epoch).or_default();
    }

    /// Takes a round that counts.
    pub(super) fn enter(&mut self, epoch: usize, step: usize, round: &Merged) {
        let under = |objective: &Objective| round.response_s(objective.quantile().share());
        let responses = self.objectives.iter().map(under).collect();
        self.rounds.entry(epoch).or_default().entry(step).or_default().push(responses);
    }

    /// The capacity of each epoch; `None` where too few rounds count.
    pub(super) fn of_epochs(&self) -> impl Iterator<Item = (usize, Option<Capacity>)> {
        self.rounds.iter().map(|(epoch, steps)| (*epoch, self.of_epoch(steps)))
    }

    fn of_epoch(&self, steps: &BTreeMap<usize, Vec<Responses>>) -> Option<Capacity> {
        if (steps.len() as f64) < LEAST_RATES * self.rates.len() as f64 {
            return None;
        }
        let under = |(number, objective): (usize, &Objective)| {
            let point = |(step, rounds): (&usize, &Vec<Responses>)| {
                Some((*self.rates.get(*step)?, response(rounds, number)?))
            };
            let points: Vec<(f64, f64)> = steps.iter().filter_map(point).collect();
            capacity(&points, objective.limit().as_secs_f64())
        };
        let found = self.objectives.iter().enumerate().filter_map(under).reduce(Capacity::min)?;
        // What lies beyond the rates is known only where the one at that end was measured.
        let end = match found {
            Capacity::At(_) => return Some(found),
            Capacity::AtLeast(_) => self.rates.len().checked_sub(1)?,
            Capacity::Below(_) => 0,
        };
        steps.contains_key(&end).then_some(found)
    }

    /// The response times by the first objective's quantile at each rate: in each epoch, in seconds.
    pub(super) fn responses(&self) -> Vec<(f64, Vec<f64>)> {
        let at =
            |step: usize| self.rounds.values().filter_map(|steps| response(steps.get(&step)?, 0)).collect();
        self.rates.iter().enumerate().map(|(step, rate)| (*rate, at(step))).collect()
    }

    /// What most epochs say of a capacity that lies beyond the rates that were offered.
    pub(super) fn beyond_the_rates(&self) -> Option<String> {
        let found: Vec<Capacity> = self.of_epochs().filter_map(|(_, found)| found).collect();
        let most = |is: fn(&Capacity) -> bool| found.iter().filter(|it| is(it)).count() * 2 > found.len();
        let rate = |rate: Option<&f64>| rate.map_or_else(String::new, |rate| format!("{rate:.0}/s"));
        if most(|it| matches!(it, Capacity::AtLeast(_))) {
            let highest = rate(self.rates.last());
            Some(format!("it meets the objective at {highest} too, the highest rate that was offered"))
        } else if most(|it| matches!(it, Capacity::Below(_))) {
            let lowest = rate(self.rates.first());
            Some(format!("it misses the objective at {lowest} too, the lowest rate that was offered"))
        } else if most(|it| !matches!(it, Capacity::At(_))) {
            Some("it lies beyond the rates that were offered, now at one end and now at the other".to_owned())
        } else {
            None
        }
    }
}

/// The median of some rounds, by one of the objectives: what the machine did in one of them is not the arm's.
fn response(rounds: &[Responses], objective: usize) -> Option<f64> {
    median(rounds.iter().filter_map(|responses| responses.get(objective)))
}
