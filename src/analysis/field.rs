//! A contest whose rounds were read: any arm compared with any other, each pair by the same estimate.

use std::{cell::RefCell, collections::BTreeMap};

use super::{ArmResult, ContestResult, ledger::Ledger, measure::Measure};
use crate::{
    load::LatencyHistogram,
    record::{Arm, Contest, Record},
    stats::{Comparison, Draws, Estimate, Series, estimate, judge, order, ranks, told_apart},
};

/// The arms of a contest with all that was measured of them. Arms are named by their number, the reference's is 0.
pub struct Field<'a> {
    contest: &'a Contest,
    ledgers: Vec<Ledger<'a>>,
    /// Why nothing can be said of an arm, for each.
    barred: Vec<Option<String>>,
    draws: Draws,
    /// Estimates that were made, by measure, arm and the arm of a lower number that it is compared with.
    made: RefCell<BTreeMap<(Measure, usize, usize), Estimate>>,
}

impl<'a> Field<'a> {
    /// Reads the rounds of a contest.
    ///
    /// # Errors
    /// When a histogram cannot be decoded, or two rounds claim the same place.
    pub fn read(contest: &'a Contest, record: &Record) -> anyhow::Result<Self> {
        let ledgers = Ledger::read_all(contest, record)?;
        let barred = barred(&ledgers);
        Ok(Self { contest, ledgers, barred, draws: Draws::new(record.setup.seed), made: RefCell::default() })
    }

    /// The contest.
    pub fn contest(&self) -> &'a Contest {
        self.contest
    }

    /// The arms that are compared and ranked: all but the second copy of the reference, and those without a verdict.
    pub fn arms(&self) -> Vec<usize> {
        let judged = |arm: &usize| self.barred[*arm].is_none() && !self.arm(*arm).copy;
        (0..self.ledgers.len()).filter(judged).collect()
    }

    fn arm(&self, arm: usize) -> &'a Arm {
        self.ledgers[arm].arm
    }

    /// The second copy of the reference, unless it has no verdict.
    fn copy(&self) -> Option<usize> {
        (1..self.ledgers.len()).find(|arm| self.arm(*arm).copy && self.barred[*arm].is_none())
    }

    /// What an arm measured in each block.
    pub fn series(&self, measure: Measure, arm: usize) -> Series {
        self.ledgers[arm].series(measure)
    }

    /// The round trips of all rounds of an arm that count.
    pub fn round_trip(&self, arm: usize) -> &LatencyHistogram {
        self.ledgers[arm].round_trip()
    }

    /// What was measured over all rounds of an arm that has a verdict, named as in the contest.
    pub fn level(&self, measure: Measure, name: &str) -> Option<f64> {
        let arm = self.arms().into_iter().find(|arm| self.arm(*arm).name == name)?;
        self.ledgers[arm].levels().get(&measure).copied()
    }

    /// Rounds of an arm that were set aside or failed, each by its epoch and block.
    pub fn lost(&self, arm: usize) -> &[(usize, usize)] {
        &self.ledgers[arm].lost
    }

    /// Estimates the ratio of one arm to another. Both ways round it is the same estimate, mirrored.
    pub fn estimate(&self, measure: Measure, arm: usize, to: usize) -> Estimate {
        if arm < to {
            return self.estimate(measure, to, arm).map(|(interval, blocks)| (interval.inverse(), blocks));
        }
        let make = || estimate(&self.series(measure, arm), &self.series(measure, to), &self.draws);
        *self.made.borrow_mut().entry((measure, arm, to)).or_insert_with(make)
    }

    /// What the second copy of the reference shows, on the log scale.
    pub fn noise(&self, measure: Measure) -> f64 {
        let shown = self.copy().and_then(|copy| self.estimate(measure, copy, 0));
        shown.map_or(0.0, |(interval, _)| interval.centre.abs())
    }

    /// Compares arms with one of them, each by its number, by one measure.
    pub fn comparisons(&self, measure: Measure, reference: usize) -> Vec<(usize, Comparison)> {
        let others: Vec<usize> = self.arms().into_iter().filter(|arm| *arm != reference).collect();
        self.judged(measure, &others, reference, self.noise(measure))
    }

    /// Compares the second copy of the reference with it; by itself, for it is the noise of the others.
    pub fn copy_comparison(&self, measure: Measure) -> Option<Comparison> {
        let copy = self.copy()?;
        self.judged(measure, &[copy], 0, 0.0).into_iter().next().map(|(_, comparison)| comparison)
    }

    fn judged(&self, measure: Measure, arms: &[usize], to: usize, noise: f64) -> Vec<(usize, Comparison)> {
        let estimates: Vec<Estimate> = arms.iter().map(|arm| self.estimate(measure, *arm, to)).collect();
        let found = judge(&estimates, noise, measure.better());
        arms.iter().zip(found).filter_map(|(arm, found)| Some((*arm, found?))).collect()
    }

    /// Ranks the arms by one measure, the best first, each by its number and with its rank; ties share one.
    pub fn ranks(&self, measure: Measure) -> Vec<(usize, usize)> {
        ranks(&self.order(measure), |arm, first| self.told_apart(measure, arm, first))
    }

    /// The arms by one measure, the best first.
    pub fn order(&self, measure: Measure) -> Vec<usize> {
        let arms = self.arms();
        let series: Vec<Series> = arms.iter().map(|arm| self.series(measure, *arm)).collect();
        order(&series, measure.better()).into_iter().map(|place| arms[place]).collect()
    }

    /// Whether an arm is worse than another, with which it would share a rank otherwise.
    pub fn told_apart(&self, measure: Measure, arm: usize, first: usize) -> bool {
        let estimate = self.estimate(measure, arm, first);
        told_apart(estimate, self.arms().len(), self.noise(measure), measure.better())
    }

    /// What is known of each arm, compared with the first.
    pub fn result(&self) -> ContestResult {
        let mut arms: Vec<ArmResult> = (0..self.ledgers.len()).map(|arm| self.arm_result(arm)).collect();
        for measure in Measure::ALL {
            let copy = self.copy().zip(self.copy_comparison(measure));
            for (arm, found) in self.comparisons(measure, 0).into_iter().chain(copy) {
                arms[arm].comparisons.insert(measure, found);
            }
            for (arm, rank) in self.ranks(measure) {
                arms[arm].ranks.insert(measure, rank);
            }
        }
        arms.sort_by_key(|arm| (arm.arm.copy, arm.rank().unwrap_or(usize::MAX), arm.arm.name.clone()));
        let reference = self.contest.arms.first().map_or_else(String::new, |arm| arm.name.clone());
        let Contest { workload, schedule, view, class, .. } = self.contest;
        ContestResult {
            workload: workload.name.clone(),
            shape: workload.clone(),
            schedule: *schedule,
            view: *view,
            class: *class,
            reference,
            arms,
        }
    }

    fn arm_result(&self, arm: usize) -> ArmResult {
        let ledger = &self.ledgers[arm];
        ArmResult {
            arm: ledger.arm.clone(),
            rounds: ledger.rounds(),
            set_aside: ledger.set_aside.clone(),
            no_verdict: self.barred[arm].clone(),
            client_bound: ledger.client_bound(),
            ranks: BTreeMap::new(),
            levels: ledger.levels(),
            session_time: ledger.session_time(),
            longest_us: ledger.longest_us(),
            comparisons: BTreeMap::new(),
        }
    }
}

/// Why nothing can be said of each arm: its own reason, or that the reference or its second copy is no witness.
fn barred(ledgers: &[Ledger<'_>]) -> Vec<Option<String>> {
    let own: Vec<Option<String>> = ledgers.iter().map(Ledger::no_verdict).collect();
    let witness = |arm: &usize| *arm == 0 || ledgers[*arm].arm.copy;
    let lost = (0..ledgers.len()).filter(witness).find_map(|arm| Some((ledgers[arm].arm, own[arm].clone()?)));
    let Some((arm, why)) = lost else { return own };
    let all = || format!("{} is no witness: {why}", arm.name);
    own.into_iter().map(|own| Some(own.unwrap_or_else(all))).collect()
}
