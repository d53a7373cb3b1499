//! From an interval to a word: faster, slower, or no difference seen.

use std::fmt;

use serde::Serialize;

use super::{Interval, Series, bootstrap, log_ratios};

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

/// Compares each arm with the reference.
///
/// `noise` is the series of the second copy of the reference: an effect no larger than what it shows is no difference.
/// An arm for which too few epochs are left gets `None`. The probabilities are corrected for the number of arms.
pub fn compare(
    arms: &[&Series],
    reference: &Series,
    noise: Option<&Series>,
    better: Better,
    seed: u64,
) -> Vec<Option<Comparison>> {
    let estimate = |arm: &Series| {
        let ratios = log_ratios(arm, reference);
        let blocks = ratios.iter().map(Vec::len).sum();
        bootstrap(&ratios, seed).map(|interval| (interval, blocks))
    };
    let seen_in_noise = noise.and_then(&estimate).map_or(0.0, |(interval, _)| interval.centre.abs());
    let estimates: Vec<Option<(Interval, usize)>> = arms.iter().map(|arm| estimate(arm)).collect();
    let probabilities: Vec<f64> = estimates.iter().flatten().map(|(interval, _)| interval.p).collect();
    let mut corrected = holm(&probabilities).into_iter();
    let finish = |(interval, blocks): (Interval, usize)| {
        let p = corrected.next().unwrap_or(1.0);
        comparison(interval, blocks, p, seen_in_noise, better)
    };
    let mut finish = finish;
    estimates.into_iter().map(|estimate| estimate.map(&mut finish)).collect()
}

fn comparison(interval: Interval, blocks: usize, p: f64, noise: f64, better: Better) -> Comparison {
    let least = (DETECTABLE * interval.error).max(noise);
    let seen = p < RISK && interval.centre.abs() > least;
    let verdict = match (seen, interval.centre > 0.0, better) {
        (false, ..) => Verdict::NoDifferenceSeen,
        (true, true, Better::More) | (true, false, Better::Less) => Verdict::Better,
        (true, ..) => Verdict::Worse,
    };
    let detectable = (DETECTABLE * interval.error).exp_m1();
    let [ratio, low, high] = [interval.centre, interval.low, interval.high].map(f64::exp);
    Comparison { ratio, low, high, detectable, blocks, verdict }
}

/// Compares the ratios of an arm to the reference in two runs.
///
/// The runs are independent, so the variances add up; the degrees of freedom are what is left of both (B. L. Welch,
/// Biometrika 34(1/2), 1947). `None` where either run has too few epochs.
pub fn change(old: &[Vec<f64>], new: &[Vec<f64>], better: Better, seed: u64) -> Option<Comparison> {
    let (was, is) = (bootstrap(old, seed)?, bootstrap(new, seed)?);
    let (was_variance, is_variance) = (was.error.powi(2), is.error.powi(2));
    let error = (was_variance + is_variance).sqrt();
    let freedom = if error > 0.0 {
        let parts =
            was_variance.powi(2) / (was.epochs - 1) as f64 + is_variance.powi(2) / (is.epochs - 1) as f64;
        error.powi(4) / parts
    } else {
        1.0
    };
    let interval = Interval::of_student(is.centre - was.centre, error, freedom, was.epochs + is.epochs);
    let blocks = old.iter().chain(new).map(Vec::len).sum();
    Some(comparison(interval, blocks, interval.p, 0.0, better))
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

/// Ranks arms, the best 1; those that can't be told from the first of their rank share it.
pub fn ranks(arms: &[&Series], better: Better, seed: u64) -> Vec<Option<usize>> {
    let Some(any) = arms.first() else { return Vec::new() };
    let centre = |arm: &Series| {
        let values: Vec<f64> =
            arm.iter().flatten().flatten().filter(|value| **value > 0.0).map(|v| v.ln()).collect();
        (!values.is_empty() && arm.len() == any.len()).then(|| super::trimmed_mean(&values))
    };
    let mut order: Vec<(usize, f64)> =
        arms.iter().enumerate().filter_map(|(index, arm)| Some((index, centre(arm)?))).collect();
    order.sort_by(|a, b| if better == Better::More { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
    let mut ranks = vec![None; arms.len()];
    let mut leader: Option<(usize, usize)> = None;
    for (place, &(index, _)) in order.iter().enumerate() {
        let told_apart = leader.is_none_or(|(first, _)| {
            let comparison = compare(&[arms[index]], arms[first], None, better, seed)[0];
            comparison.is_some_and(|comparison| comparison.verdict == Verdict::Worse)
        });
        if told_apart {
            leader = Some((index, place + 1));
        }
        ranks[index] = leader.map(|(_, rank)| rank);
    }
    ranks
}
