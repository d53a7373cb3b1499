//! The centre of log ratios, and how far it can be trusted.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// The share of values left out at each end of a trimmed mean (R. R. Wilcox, Introduction to Robust Estimation and
/// Hypothesis Testing, 2012, section 3.3): one round in five may be spoilt by something else on the machine.
const TRIM: f64 = 0.2;

/// Resamples of a bootstrap.
const DRAWS: usize = 10_000;

/// The coverage of every interval.
const COVERAGE: f64 = 0.95;

/// The 20% trimmed mean of values; NaN for none.
pub fn trimmed_mean(values: &[f64]) -> f64 {
    let mut sorted: Vec<(f64, usize)> = values.iter().map(|&value| (value, 0)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    trimmed_means(&sorted, &[vec![1.0]])[0]
}

/// The 20% trimmed means of many draws from the same values.
///
/// The values are sorted, each with the number of its epoch; `times[epoch][draw]` is how many times a draw has the epoch.
/// Each value is added to all draws before the next, which lets the processor take several draws at a time.
fn trimmed_means(sorted: &[(f64, usize)], times: &[Vec<f64>]) -> Vec<f64> {
    let mut totals = vec![0.0; times.first().map_or(0, Vec::len)];
    for (_, epoch) in sorted {
        totals.iter_mut().zip(&times[*epoch]).for_each(|(total, times)| *total += times);
    }
    let cuts: Vec<f64> = totals.iter().map(|total| (total * TRIM).floor()).collect();
    let mut seen = vec![0.0; totals.len()];
    let mut sums = vec![0.0; totals.len()];
    for (value, epoch) in sorted {
        let draws = totals.iter().zip(&cuts).zip(&times[*epoch]);
        for (((total, cut), times), (seen, sum)) in draws.zip(seen.iter_mut().zip(&mut sums)) {
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

/// A centre on the log scale, and what is known of its error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The trimmed mean of all log ratios.
    pub centre: f64,
    /// The lower end of the 95% interval.
    pub low: f64,
    /// The upper end of the 95% interval.
    pub high: f64,
    /// The standard error of the centre.
    pub error: f64,
    /// The probability of a centre this far from 0 if it were 0, two-sided.
    pub p: f64,
    /// The degrees of freedom of the error.
    pub freedom: f64,
}

impl Interval {
    /// The same the other way round: of the reference to the arm.
    pub fn inverse(self) -> Self {
        Self { centre: -self.centre, low: -self.high, high: -self.low, ..self }
    }

    /// The interval of a centre whose error is known with so many degrees of freedom.
    pub(super) fn of_student(centre: f64, error: f64, freedom: f64) -> Self {
        let half = -student(freedom).inverse_cdf((1.0 - COVERAGE) / 2.0) * error;
        let p = probability(centre, error, freedom);
        Self { centre, low: centre - half, high: centre + half, error, p, freedom }
    }
}

fn student(freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom are positive")
}

/// How likely a centre this far from 0 is, if it were 0.
fn probability(centre: f64, error: f64, freedom: f64) -> f64 {
    if error > 0.0 { 2.0 * student(freedom).cdf(-(centre.abs() / error)) } else { f64::from(centre == 0.0) }
}

/// The draws of a bootstrap. They hang on the seed and on the number of epochs alone, so all estimates of a contest share
/// them.
#[derive(Debug)]
pub struct Draws {
    seed: u64,
    made: RefCell<BTreeMap<usize, Arc<Vec<Vec<f64>>>>>,
}

impl Draws {
    /// Draws that go by this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, made: RefCell::default() }
    }

    /// As many epochs as there are, drawn with replacement again and again: `[epoch][draw]` is how many times a draw has an
    /// epoch.
    fn of(&self, epochs: usize) -> Arc<Vec<Vec<f64>>> {
        let make = || {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed);
            let mut times = vec![vec![0.0; DRAWS]; epochs];
            let drawn = (0..DRAWS).flat_map(|draw| std::iter::repeat_n(draw, epochs));
            drawn.for_each(|draw| times[random.random_range(0..epochs)][draw] += 1.0);
            Arc::new(times)
        };
        Arc::clone(self.made.borrow_mut().entry(epochs).or_insert_with(make))
    }
}

/// Estimates the centre of log ratios that come in epochs, with its interval, by a bootstrap over epochs.
///
/// Whole epochs are drawn with replacement, with all their blocks: A. C. Davison and D. V. Hinkley, Bootstrap Methods and
/// their Application, 1997, section 3.8, show that drawing blocks again within them counts their spread twice. The draws
/// give the standard error; it is widened by √(n/(n−1)) for n epochs, and the interval is Student's with n−1 degrees of
/// freedom, as T. C. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69(4), 2015,
/// section 3, has it for few observations: a percentile interval could not reach beyond what the epochs showed.
///
/// Returns `None` for fewer than three epochs, which tell nothing of how epochs differ. The same seed gives the same
/// interval, whatever the order of the epochs and of the values within.
pub fn bootstrap(epochs: &[Vec<f64>], draws: &Draws) -> Option<Interval> {
    let mut epochs: Vec<Vec<f64>> = epochs.iter().filter(|blocks| !blocks.is_empty()).cloned().collect();
    if epochs.len() < 3 {
        return None;
    }
    epochs.iter_mut().for_each(|blocks| blocks.sort_by(f64::total_cmp));
    epochs.sort_by(|a, b| {
        a.iter().zip(b).fold(a.len().cmp(&b.len()), |order, (a, b)| order.then(a.total_cmp(b)))
    });
    let mut sorted: Vec<(f64, usize)> = epochs
        .iter()
        .enumerate()
        .flat_map(|(epoch, blocks)| blocks.iter().map(move |&value| (value, epoch)))
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = epochs.len();
    let centre = trimmed_means(&sorted, &vec![vec![1.0]; count])[0];
    let means = trimmed_means(&sorted, &draws.of(count));
    Some(Interval::of_student(centre, standard_error(&means, count), (count - 1) as f64))
}

/// The standard deviation of the means of all draws, widened for so many epochs.
fn standard_error(means: &[f64], epochs: usize) -> f64 {
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / means.len() as f64;
    (variance * epochs as f64 / (epochs - 1) as f64).sqrt()
}
