//! Verdicts and ranks of a contest by one measure, all from the same estimates.

use super::{
    Better, Comparison, Draws, Estimate, Estimates, Measured,
    verdict::{Finding, RISK, find},
};

/// The risk of telling any two arms apart that are equal, where neither is the reference. The verdicts have nearly all of the 5%
/// that ranks may be split in although all arms are equal: with 5% here too it was 5 to 9 of 100 simulated duels, with 1% it is
/// 1 to 5.
const RISK_OF_PAIRS: f64 = 0.01;

/// The probability with which the two copies of the reference are told apart by any measure of a contest, though nothing distinguishes
/// them: an alarm, for they are the same program. At 1% for each of 13 measures, two records of five, of four contests each, would have one
/// (1 − 0.99^52).
const ALARM: f64 = 0.01;

/// What is said of the arms of a contest. Arms go by their numbers; the reference's is 0.
///
/// An arm is better than the reference if its verdict says so; than another arm if Holm's procedure over all pairs of the
/// contest says so. Both go by centres that add up, so a chain of such claims never leads back to where it began, and whoever
/// is better than an arm is better than all that it is better than. The rank of an arm is one more than the number of arms
/// that are better, so ranks and verdicts agree: an arm that is told worse than the reference ranks behind it.
#[derive(Debug)]
pub struct Judgement {
    better: Better,
    estimates: Estimates,
    /// `[arm - 1][other]`, for each other of a lower number.
    pairs: Vec<Vec<Option<Finding>>>,
    /// `[arm][other]`: whether the arm is told better than the other, by whatever chain.
    is_better: Vec<Vec<bool>>,
}

impl Judgement {
    /// Judges what the arms of a contest measured.
    pub fn of(measured: &Measured, better: Better, draws: &Draws) -> Self {
        let estimates = Estimates::of(measured, draws);
        let pairs = find_pairs(&estimates);
        let is_better = closure(&pairs, better);
        Self { better, estimates, pairs, is_better }
    }

    /// The estimate of an arm's ratio to another.
    pub fn estimate(&self, arm: usize, to: usize) -> Option<Estimate> {
        self.estimates.of_pair(arm, to)
    }

    /// Compares an arm with another; both ways round it is the same, mirrored. `None` where either has too few epochs.
    pub fn comparison(&self, arm: usize, to: usize) -> Option<Comparison> {
        let finding = match (arm, to) {
            (arm, to) if arm > to => self.pairs[arm - 1][to]?,
            (arm, to) if arm < to => self.pairs[to - 1][arm]?.inverse(),
            _ => return None,
        };
        Some(finding.comparison(self.better))
    }

    /// The estimate of the ratio of the second copy of the reference to it.
    pub fn copy_estimate(&self) -> Option<Estimate> {
        self.estimates.of_copy()
    }

    /// Compares the second copy of the reference with it, with the probability of what it shows. A verdict is an alarm: both
    /// are the same program, and something told them apart with a probability below 1%, corrected for so many measures that
    /// they are compared by (Bonferroni).
    pub fn copy(&self, measures: usize) -> Option<(Comparison, f64)> {
        let estimate = self.estimates.of_copy()?;
        let finding = find(&[Some(estimate)], ALARM / measures as f64).into_iter().flatten().next()?;
        Some((finding.comparison(self.better), estimate.p()))
    }

    /// Whether an arm is told better than another, directly or by way of others.
    pub fn is_better(&self, arm: usize, than: usize) -> bool {
        self.is_better[arm][than]
    }

    /// The arms that can be compared, by their ratios, the best first.
    pub fn order(&self) -> Vec<usize> {
        let centre = |arm: usize| self.estimate(arm, 0).map(|estimate| (arm, estimate.centre));
        let mut order: Vec<(usize, f64)> = (1..self.estimates.arms()).filter_map(centre).collect();
        if !order.is_empty() {
            order.insert(0, (0, 0.0));
        }
        order.sort_by(|a, b| match self.better {
            Better::More => b.1.total_cmp(&a.1),
            Better::Less => a.1.total_cmp(&b.1),
        });
        order.into_iter().map(|(arm, _)| arm).collect()
    }

    /// Ranks those of the arms that can be compared: each by its number and with its rank, in the order of ranks and then of
    /// ratios, the best first. Arms of one rank are not distinguished.
    pub fn ranks(&self, of: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
        let order: Vec<usize> = self.order().into_iter().filter(|arm| of(*arm)).collect();
        let rank = |arm: usize| 1 + order.iter().filter(|other| self.is_better[**other][arm]).count();
        let mut ranked: Vec<(usize, usize)> = order.iter().map(|arm| (*arm, rank(*arm))).collect();
        // Stable, so those of one rank stay in the order of their ratios.
        ranked.sort_by_key(|(_, rank)| *rank);
        ranked
    }
}

/// Compares every two arms: with the reference among those that are compared with it, other pairs among all.
fn find_pairs(estimates: &Estimates) -> Vec<Vec<Option<Finding>>> {
    let arms = estimates.arms();
    let numbers: Vec<(usize, usize)> =
        (1..arms).flat_map(|arm| (0..arm).map(move |other| (arm, other))).collect();
    let all: Vec<Option<Estimate>> =
        numbers.iter().map(|(arm, other)| estimates.of_pair(*arm, *other)).collect();
    let with_reference: Vec<Option<Estimate>> = numbers
        .iter()
        .zip(&all)
        .filter(|((_, other), _)| *other == 0)
        .map(|(_, estimate)| *estimate)
        .collect();
    let of_reference = find(&with_reference, RISK);
    let mut pairs: Vec<Vec<Option<Finding>>> = vec![Vec::new(); arms - 1];
    for ((arm, other), finding) in numbers.into_iter().zip(find(&all, RISK_OF_PAIRS)) {
        pairs[arm - 1].push(if other == 0 { of_reference[arm - 1] } else { finding });
    }
    pairs
}

/// Whoever is better than an arm is better than all that it is better than (S. Warshall, Journal of the ACM 9(1), 1962).
fn closure(pairs: &[Vec<Option<Finding>>], better: Better) -> Vec<Vec<bool>> {
    let arms = pairs.len() + 1;
    let mut is_better = vec![vec![false; arms]; arms];
    for (index, row) in pairs.iter().enumerate() {
        for (other, finding) in row.iter().enumerate().filter_map(|(other, it)| Some((other, (*it)?))) {
            let arm = index + 1;
            is_better[arm][other] = finding.is_better(better);
            is_better[other][arm] = finding.inverse().is_better(better);
        }
    }
    for by in 0..arms {
        let beyond = is_better[by].clone();
        for row in is_better.iter_mut().filter(|row| row[by]) {
            row.iter_mut().zip(&beyond).for_each(|(is, beyond)| *is |= beyond);
        }
    }
    is_better
}
