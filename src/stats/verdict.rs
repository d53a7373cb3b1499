//! From an interval to a word: faster, slower, or no difference seen.

use std::fmt;

use serde::Serialize;

use super::{Draws, Interval, Series, bootstrap, log_ratios};

/// Epochs below which nothing is said.
pub const MIN_EPOCHS: usize = 3;

/// How many standard errors an effect must have to be seen in four runs of five at a 5% risk of seeing what is not
/// there: 1.96 + 0.84 (J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, section 2.4).
const DETECTABLE: f64 = 2.8;

/// The risk, over all arms together, of a verdict where there is no difference.
const RISK: f64 = 0.05;

/// Which way of a measure is the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Such as throughput.
    More,
    /// Such as time.
    Less,
}

/// What is said of two arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better than the reference.
    Better,
    /// Worse than the reference.
    Worse,
    /// The run cannot tell them apart.
    NoDifferenceSeen,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifferenceSeen => "no difference seen",
        })
    }
}

/// How one arm compares with another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The ratio.
    pub ratio: f64,
    /// The lower end of its 95% interval.
    pub low: f64,
    /// The upper end of its 95% interval.
    pub high: f64,
    /// The smallest difference, as a share, that the run could have seen.
    pub detectable: f64,
    /// Blocks that both arms have.
    pub blocks: usize,
    /// What is said.
    pub verdict: Verdict,
}

/// An estimate, and the blocks that it rests on.
pub type Estimate = Option<(Interval, usize)>;

/// Estimates the ratio of one series to another; `None` where too few epochs are left.
pub fn estimate(arm: &Series, reference: &Series, draws: &Draws) -> Estimate {
    let ratios = log_ratios(arm, reference);
    let blocks = ratios.iter().map(Vec::len).sum();
    bootstrap(&ratios, draws).map(|interval| (interval, blocks))
}

/// Estimates how a ratio changed from one run to another.
///
/// The runs are independent, so the variances add up; the degrees of freedom are what is left of both (B. L. Welch,
/// Biometrika 34(1/2), 1947). `None` where either run has too few epochs.
pub fn change(old: Estimate, new: Estimate) -> Estimate {
    let ((was, was_blocks), (is, is_blocks)) = (old?, new?);
    let (was_variance, is_variance) = (was.error.powi(2), is.error.powi(2));
    let error = (was_variance + is_variance).sqrt();
    let freedom = if error > 0.0 {
        error.powi(4) / (was_variance.powi(2) / was.freedom + is_variance.powi(2) / is.freedom)
    } else {
        was.freedom
    };
    Some((Interval::of_student(is.centre - was.centre, error, freedom), was_blocks + is_blocks))
}

/// Judges estimates that are looked at together: their probabilities are corrected for their number.
///
/// `noise` is what a second copy of the reference shows, on the log scale: an effect no larger is no difference.
pub fn judge(estimates: &[Estimate], noise: f64, better: Better) -> Vec<Option<Comparison>> {
    let probabilities: Vec<f64> = estimates.iter().flatten().map(|(interval, _)| interval.p).collect();
    let mut corrected = holm(&probabilities).into_iter();
    let mut judge_one = |&(interval, blocks): &(Interval, usize)| {
        comparison(interval, blocks, corrected.next().unwrap_or(1.0), noise, better)
    };
    estimates.iter().map(|estimate| estimate.as_ref().map(&mut judge_one)).collect()
}

fn comparison(interval: Interval, blocks: usize, p: f64, noise: f64, better: Better) -> Comparison {
    let least = (DETECTABLE * interval.error).max(noise);
    let seen = p < RISK && interval.centre.abs() > least;
    let verdict = match (seen, interval.centre > 0.0, better) {
        (false, ..) => Verdict::NoDifferenceSeen,
        (true, true, Better::More) | (true, false, Better::Less) => Verdict::Better,
        (true, ..) => Verdict::Worse,
    };
    let [ratio, low, high] = [interval.centre, interval.low, interval.high].map(f64::exp);
    Comparison { ratio, low, high, detectable: least.exp_m1(), blocks, verdict }
}

/// Corrects probabilities for their number (S. Holm, Scandinavian Journal of Statistics 6(2), 1979).
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let mut corrected = vec![0.0; probabilities.len()];
    let mut highest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        let remaining = (probabilities.len() - rank) as f64;
        highest = highest.max(probabilities[index] * remaining).min(1.0);
        corrected[index] = highest;
    }
    corrected
}

/// Puts arms into an order, the best first, each by its number; those that nothing was measured of are left out.
pub fn order(arms: &[Series], better: Better) -> Vec<usize> {
    let centre = |arm: &Series| {
        let values: Vec<f64> =
            arm.iter().flatten().flatten().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
        (!values.is_empty()).then(|| super::trimmed_mean(&values))
    };
    let mut order: Vec<(usize, f64)> =
        arms.iter().enumerate().filter_map(|(index, arm)| Some((index, centre(arm)?))).collect();
    order.sort_by(|a, b| if better == Better::More { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
    order.into_iter().map(|(index, _)| index).collect()
}

/// Whether an arm is worse than the first of a rank, of which it would be one otherwise; `noise` as in [`judge`].
pub fn told_apart(estimate: Estimate, arms: usize, noise: f64, better: Better) -> bool {
    estimate.is_some_and(|(interval, blocks)| {
        // As strict as if the arm were the first of all that Holm corrects for.
        comparison(interval, blocks, interval.p * arms as f64, noise, better).verdict == Verdict::Worse
    })
}

/// Ranks arms that are in order, the best 1: those that can't be told apart from the first of their rank share it.
pub fn ranks(order: &[usize], told_apart: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let mut leader: Option<(usize, usize)> = None;
    let mut ranked = Vec::new();
    for (place, &arm) in order.iter().enumerate() {
        let (first, rank) = leader.filter(|(first, _)| !told_apart(arm, *first)).unwrap_or((arm, place + 1));
        leader = Some((first, rank));
        ranked.push((arm, rank));
    }
    ranked
}
