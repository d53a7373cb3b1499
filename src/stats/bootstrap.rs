//! Trimmed means, and what they come to when epochs are drawn again.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

/// The share of values left out at each end of a trimmed mean (R. R. Wilcox, Introduction to Robust Estimation and
/// Hypothesis Testing, 2012, section 3.3): one round in five may be disturbed by something else on the machine.
const TRIM: f64 = 0.2;

/// Resamples where not all are enumerated. The standard deviation of so many is known to 1.1%, a share of 1/√(2·4000).
const DRAWS: usize = 4_000;

/// Epochs up to which all resamples are enumerated: of 8 there are 6,435 different ones.
const ENUMERATED: usize = 8;

/// What values, none of them negative, come to by the estimator of their ratios: e to the 20% trimmed mean of their logarithms. `None`
/// for none, and where that mean is infinite.
pub fn level(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    // Of a ratio there is none with 0, so there it is left out; where nothing else was measured it is what was measured.
    let (zeros, positive): (Vec<f64>, Vec<f64>) = values.into_iter().partition(|value| *value == 0.0);
    if positive.is_empty() {
        return zeros.first().copied();
    }
    let infinite = positive.iter().filter(|value| value.is_infinite()).count();
    let is_trimmed = infinite as f64 <= (positive.len() as f64 * TRIM).floor();
    // A trimmed value is multiplied by 0, and ∞ × 0 is NaN.
    let logs: Vec<f64> = positive.iter().map(|value| value.min(f64::MAX).ln()).collect();
    is_trimmed.then(|| trimmed_mean(&logs).exp())
}

/// The 20% trimmed mean of values; NaN for none.
pub(super) fn trimmed_mean(values: &[f64]) -> f64 {
    let mut sorted: Vec<(f64, usize)> = values.iter().map(|&value| (value, 0)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    trimmed_means(&sorted, &[vec![1.0]])[0]
}

/// The 20% trimmed means of many resamples of the same values; NaN for a resample that has none.
///
/// The values are sorted, each with the number of its epoch; `times[epoch][resample]` is how many times a resample has the
/// epoch. Each value is added to all resamples before the next, which lets the processor take several at a time.
fn trimmed_means(sorted: &[(f64, usize)], times: &[Vec<f64>]) -> Vec<f64> {
    let mut totals = vec![0.0; times.first().map_or(0, Vec::len)];
    for (_, epoch) in sorted {
        totals.iter_mut().zip(&times[*epoch]).for_each(|(total, times)| *total += times);
    }
    let cuts: Vec<f64> = totals.iter().map(|total| (total * TRIM).floor()).collect();
    let mut seen = vec![0.0; totals.len()];
    let mut sums = vec![0.0; totals.len()];
    for (value, epoch) in sorted {
        let resamples = totals.iter().zip(&cuts).zip(&times[*epoch]);
        for (((total, cut), times), (seen, sum)) in resamples.zip(seen.iter_mut().zip(&mut sums)) {
            let from = greater(*seen, *cut);
            *seen += times;
            let to = -greater(-*seen, cut - total);
            *sum += value * greater(to - from, 0.0);
        }
    }
    sums.iter().zip(totals.iter().zip(&cuts)).map(|(sum, (total, cut))| sum / (total - 2.0 * cut)).collect()
}

/// The greater of two numbers, neither of them NaN: one instruction, where `f64::max` needs several.
fn greater(one: f64, other: f64) -> f64 {
    if one > other { one } else { other }
}

/// The resamples of epochs. They depend on the seed and on the number of epochs alone, so all arms and measures of a contest
/// share them.
#[derive(Debug)]
pub struct Draws {
    seed: u64,
    made: RefCell<BTreeMap<usize, Arc<Resamples>>>,
}

impl Draws {
    /// Draws by this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, made: RefCell::default() }
    }

    /// The resamples of so many epochs.
    pub(super) fn of(&self, epochs: usize) -> Arc<Resamples> {
        let make = || match epochs {
            0..=ENUMERATED => Arc::new(Resamples::enumerated(epochs)),
            _ => Arc::new(Resamples::drawn(epochs, self.seed)),
        };
        Arc::clone(self.made.borrow_mut().entry(epochs).or_insert_with(make))
    }
}

/// As many epochs as there are, with replacement, again and again: whole epochs, with all their blocks.
///
/// A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application, 1997, section 3.8, show that drawing blocks
/// again within epochs counts their spread twice.
#[derive(Debug)]
pub(super) struct Resamples {
    /// `[epoch][resample]`: how many times a resample has an epoch.
    times: Vec<Vec<f64>>,
    /// The probability of each resample.
    weights: Vec<f64>,
}

impl Resamples {
    /// All resamples that there are, each with its multinomial probability (P. Hall, The Bootstrap and Edgeworth Expansion,
    /// 1992, appendix I): nothing is left to chance.
    fn enumerated(epochs: usize) -> Self {
        let mut resamples = Self { times: vec![Vec::new(); epochs], weights: Vec::new() };
        let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
        let all = factorial(epochs) / (epochs as f64).powi(epochs as i32);
        resamples.enumerate(&mut vec![0; epochs], 0, epochs, &|counts: &[usize]| {
            counts.iter().fold(all, |weight, count| weight / factorial(*count))
        });
        resamples
    }

    /// Adds all resamples that begin with the counts before `epoch`, with so many epochs left to draw.
    fn enumerate(
        &mut self,
        counts: &mut Vec<usize>,
        epoch: usize,
        left: usize,
        weight: &dyn Fn(&[usize]) -> f64,
    ) {
        let Some(last) = counts.len().checked_sub(1) else { return };
        if epoch == last {
            counts[epoch] = left;
            self.weights.push(weight(counts));
            self.times.iter_mut().zip(counts).for_each(|(times, count)| times.push(*count as f64));
            return;
        }
        for count in 0..=left {
            counts[epoch] = count;
            self.enumerate(counts, epoch + 1, left - count, weight);
        }
    }

    fn drawn(epochs: usize, seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut times = vec![vec![0.0; DRAWS]; epochs];
        let drawn = (0..DRAWS).flat_map(|draw| std::iter::repeat_n(draw, epochs));
        drawn.for_each(|draw| times[random.random_range(0..epochs)][draw] += 1.0);
        Self { times, weights: vec![1.0 / DRAWS as f64; DRAWS] }
    }

    /// The variance of what a deviation is in each resample, which is NaN where it has none. In one pass, for pairs are many:
    /// deviations are near 0, so nothing cancels.
    pub(super) fn variance(&self, deviations: impl Iterator<Item = f64>) -> f64 {
        let (mut all, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (deviation, weight) in deviations.zip(&self.weights) {
            let (deviation, weight) = if deviation.is_nan() { (0.0, 0.0) } else { (deviation, *weight) };
            all += weight;
            sum += weight * deviation;
            squares += weight * deviation * deviation;
        }
        (squares / all - (sum / all).powi(2)).max(0.0)
    }
}

/// The trimmed mean of values that come in epochs, and what it is in each resample.
#[derive(Debug)]
pub(super) struct Centre {
    /// The trimmed mean of all values.
    pub(super) value: f64,
    /// By how much that of each resample differs from it; NaN where the resample has no value.
    pub(super) deviations: Vec<f64>,
    /// Epochs that have a value.
    pub(super) epochs: usize,
    /// Blocks that the values are of.
    pub(super) blocks: usize,
}

impl Centre {
    /// Takes values by epoch, as many epochs as the resamples are of; so many blocks have any.
    pub(super) fn of(values: &[&[f64]], blocks: usize, resamples: &Resamples) -> Self {
        let numbered = values.iter().enumerate();
        let mut sorted: Vec<(f64, usize)> =
            numbered.flat_map(|(epoch, blocks)| blocks.iter().map(move |&value| (value, epoch))).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let value = trimmed_means(&sorted, &vec![vec![1.0]; values.len()])[0];
        let mut deviations = trimmed_means(&sorted, &resamples.times);
        deviations.iter_mut().for_each(|deviation| *deviation -= value);
        let epochs = values.iter().filter(|values| !values.is_empty()).count();
        Self { value, deviations, epochs, blocks }
    }
}
