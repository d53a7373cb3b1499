//! The centre of log ratios, and how far it can be trusted.

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// The share of values left out at each end of a trimmed mean (R. R. Wilcox, Introduction to Robust Estimation and
/// Hypothesis Testing, 2012, section 3.3): one round in five may be spoilt by something else on the machine.
const TRIM: f64 = 0.2;

/// Resamples of a bootstrap.
const DRAWS: usize = 10_000;

/// The coverage of every interval.
const COVERAGE: f64 = 0.95;

/// The mean of what is left of sorted values, each weighted by a count, when a fifth is cut off at each end.
fn trimmed_mean_of_sorted(weighted: impl Iterator<Item = (f64, u32)>, total: u32) -> f64 {
    let cut = (f64::from(total) * TRIM).floor() as u32;
    let (mut seen, mut sum) = (0, 0.0);
    let kept = total - 2 * cut;
    for (value, weight) in weighted {
        let from = seen.max(cut);
        seen += weight;
        let to = seen.min(cut + kept);
        if to > from {
            sum += value * f64::from(to - from);
        }
    }
    sum / f64::from(kept)
}

/// The 20% trimmed mean of values; NaN for none.
pub fn trimmed_mean(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    trimmed_mean_of_sorted(sorted.iter().map(|&value| (value, 1)), sorted.len() as u32)
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
pub fn bootstrap(epochs: &[Vec<f64>], seed: u64) -> Option<Interval> {
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
    let centre = trimmed_mean_of_sorted(sorted.iter().map(|&(value, _)| (value, 1)), sorted.len() as u32);

    let count = epochs.len();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut drawn = vec![0_u32; count];
    let means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            drawn.fill(0);
            (0..count).for_each(|_| drawn[random.random_range(0..count)] += 1);
            let total = drawn.iter().zip(&epochs).map(|(&times, blocks)| times * blocks.len() as u32).sum();
            trimmed_mean_of_sorted(sorted.iter().map(|&(value, epoch)| (value, drawn[epoch])), total)
        })
        .collect();
    Some(Interval::of_student(centre, standard_error(&means, count), (count - 1) as f64))
}

/// The standard deviation of the means of all draws, widened for so many epochs.
fn standard_error(means: &[f64], epochs: usize) -> f64 {
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / means.len() as f64;
    (variance * epochs as f64 / (epochs - 1) as f64).sqrt()
}
