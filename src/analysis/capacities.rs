//! What the rounds of an arm at all rates say of its capacity, block by block.

use std::collections::{BTreeMap, BTreeSet};

use super::arm_rounds::median;
use crate::{
    load::Objective,
    stats::{Capacity, capacity},
};

/// The share of a block's rates that must have a round that counts for the block to have a capacity: of those that the client
/// could offer.
const LEAST_RATES: f64 = 0.7;

/// The response times of one round, in seconds: by the quantile of each objective.
type Responses = Vec<f64>;

/// Capacities, and the response times that they come of.
pub(crate) struct Capacities {
    rates: Vec<f64>,
    objectives: Vec<Objective>,
    /// How many of the rates, the lowest, have one round in each epoch, in its first block.
    once: usize,
    /// The rounds that count, by epoch and block, and by the number of the rate. A block without any is here too.
    rounds: BTreeMap<(usize, usize), BTreeMap<usize, Responses>>,
    /// The numbers of the rates at which the client was late, by epoch and block.
    late: BTreeMap<(usize, usize), BTreeSet<usize>>,
}

impl Capacities {
    /// Prepares to take the rounds of an arm at rates in ascending order, of which so many, the lowest, have one round in each
    /// epoch.
    pub(crate) fn new(rates: &[f64], once: usize, objectives: &[Objective]) -> Self {
        Self {
            rates: rates.to_vec(),
            objectives: objectives.to_vec(),
            once,
            rounds: BTreeMap::new(),
            late: BTreeMap::new(),
        }
    }

    /// Takes note of a block, whether or not a round of it counts.
    pub(super) fn has_block(&mut self, epoch: usize, block: usize) {
        self.rounds.entry((epoch, block)).or_default();
    }

    /// Takes a round that counts, by its response time under each objective, in seconds; returns whether it is the first such at its
    /// rate in its block. A try before it in which the client was late takes nothing from it.
    pub(crate) fn enter(
        &mut self,
        epoch: usize,
        block: usize,
        step: usize,
        response: impl Fn(&Objective) -> f64,
    ) -> bool {
        if let Some(late) = self.late.get_mut(&(epoch, block)) {
            late.remove(&step);
        }
        let responses = self.objectives.iter().map(response).collect();
        self.rounds.entry((epoch, block)).or_default().insert(step, responses).is_none()
    }

    /// Takes note of a round that does not count because the client was late.
    pub(super) fn client_was_late(&mut self, epoch: usize, block: usize, step: usize) {
        self.late.entry((epoch, block)).or_default().insert(step);
    }

    /// The capacity of each block, by epoch and block; `None` where too few rounds count.
    ///
    /// All arms of a block have the same plan. What its draw does to their response times is alike, and cancels in the ratio of two
    /// capacities of one block: over several blocks together it would not.
    pub(crate) fn of_blocks(&self) -> impl Iterator<Item = ((usize, usize), Option<Capacity>)> {
        self.rounds.iter().map(|(place, steps)| (*place, self.of_block(*place, steps)))
    }

    fn of_block(&self, place: (usize, usize), steps: &BTreeMap<usize, Responses>) -> Option<Capacity> {
        let own = steps.range(self.once..);
        let (counted, offered) = (own.clone().count(), self.offered(place));
        if offered == 0 || (counted as f64) < LEAST_RATES * offered as f64 {
            return None;
        }
        let (epoch, _) = place;
        // What an epoch has once stands for each of its blocks.
        let below = self.rounds.get(&(epoch, 0)).map(|first| first.range(..self.once)).into_iter().flatten();
        let steps: BTreeMap<usize, &Responses> = below.chain(own).map(|(step, it)| (*step, it)).collect();
        let found = self.lowest(|number| {
            steps.iter().filter_map(|(step, it)| Some((*self.rates.get(*step)?, *it.get(number)?))).collect()
        })?;
        // What lies beyond the rates is known only where the one at that end was measured.
        let end = match found {
            Capacity::At(_) => return Some(found),
            Capacity::AtLeast(_) => self.rates.len().checked_sub(1)?,
            Capacity::Below(_) => 0,
        };
        steps.contains_key(&end).then_some(found)
    }

    /// How many rates of its own a block has that the client could offer: all but the highest, where it was late at each of them.
    fn offered(&self, place: (usize, usize)) -> usize {
        let is_late = |step: &usize| self.late.get(&place).is_some_and(|late| late.contains(step));
        let own = self.once..self.rates.len();
        own.len() - own.rev().take_while(is_late).count()
    }

    /// The lowest capacity under any of the objectives, from the response times at each rate by the quantile of each.
    fn lowest(&self, points: impl Fn(usize) -> Vec<(f64, f64)>) -> Option<Capacity> {
        let under = |(number, objective): (usize, &Objective)| {
            capacity(&points(number), objective.limit().as_secs_f64())
        };
        self.objectives.iter().enumerate().filter_map(under).reduce(Capacity::min)
    }

    /// The capacity by the median response times of all blocks: of single blocks one in which the machine stood still is too low.
    /// `None` where no block has one, or it lies beyond the rates.
    pub(crate) fn level(&self) -> Option<f64> {
        self.of_blocks().find_map(|(_, found)| found)?;
        let points = |number: usize| {
            let rates = self.rates.iter().enumerate();
            rates.filter_map(|(step, rate)| Some((*rate, self.median_response(step, number)?))).collect()
        };
        match self.lowest(points)? {
            Capacity::At(rate) => Some(rate),
            Capacity::AtLeast(_) | Capacity::Below(_) => None,
        }
    }

    /// The median of all blocks of the response time at a rate, by the quantile of an objective, in seconds.
    fn median_response(&self, step: usize, number: usize) -> Option<f64> {
        let of_blocks: Vec<f64> =
            self.rounds.values().filter_map(|steps| steps.get(&step)?.get(number).copied()).collect();
        median(of_blocks.iter())
    }

    /// The response times by the first objective's quantile at each rate: the median round of each epoch, in seconds.
    pub(super) fn responses(&self) -> Vec<(f64, Vec<f64>)> {
        let at = |step: usize| {
            let mut epochs: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
            for ((epoch, _), steps) in &self.rounds {
                let response = steps.get(&step).and_then(|responses| responses.first());
                epochs.entry(*epoch).or_default().extend(response);
            }
            epochs.values().filter_map(|rounds| median(rounds.iter())).collect()
        };
        self.rates.iter().enumerate().map(|(step, rate)| (*rate, at(step))).collect()
    }

    /// What most blocks say of a capacity that lies beyond the rates that were offered.
    pub(super) fn beyond_the_rates(&self) -> Option<String> {
        let found: Vec<Capacity> = self.of_blocks().filter_map(|(_, found)| found).collect();
        let most = |is: fn(&Capacity) -> bool| found.iter().filter(|it| is(it)).count() * 2 > found.len();
        let rate = |rate: Option<&f64>| rate.map_or_else(String::new, |rate| format!("{rate:.0}/s"));
        if most(|it| matches!(it, Capacity::AtLeast(_))) {
            let highest = rate(self.rates.last());
            Some(format!("the objective is met at {highest} too, the highest rate that was offered"))
        } else if most(|it| matches!(it, Capacity::Below(_))) {
            let lowest = rate(self.rates.first());
            Some(format!("the objective is missed at {lowest} too, the lowest rate that was offered"))
        } else if most(|it| !matches!(it, Capacity::At(_))) {
            Some(
                "the capacity lies beyond the rates that were offered, now at one end and now at the other"
                    .to_owned(),
            )
        } else {
            None
        }
    }

    /// What to say where the client was late in most blocks at the highest rates, and the objective is met at the one below: then
    /// the capacity is beyond what it can offer.
    pub(super) fn client_is_the_limit(&self) -> Option<String> {
        let late = |step: &usize| self.late.values().filter(|late| late.contains(step)).count();
        let is_late = |step: &usize| late(step) * 2 > self.rounds.len();
        let first = (self.once..self.rates.len()).rev().take_while(is_late).last()?;
        let kept = first.checked_sub(1).filter(|step| self.meets(*step))?;
        let [kept, late] = [kept, first].map(|step| self.rates[step]);
        Some(format!(
            "the objective is met at {kept:.0}/s too, and at {late:.0}/s and above the client is late"
        ))
    }

    /// Whether the median response times of the rounds that count meet all objectives at a rate.
    fn meets(&self, step: usize) -> bool {
        let meets = |(number, objective): (usize, &Objective)| {
            self.median_response(step, number).is_some_and(|it| it <= objective.limit().as_secs_f64())
        };
        self.objectives.iter().enumerate().all(meets)
    }
}
