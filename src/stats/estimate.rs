//! A log ratio, and how far it can be trusted.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// The coverage of every interval.
const COVERAGE: f64 = 0.95;

/// The least standard error that is taken for one: below it there is but the rounding of logarithms.
const LEAST_ERROR: f64 = 1e-12;

/// The centre of a log ratio, with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The centre, on the log scale: 0 for no difference.
    pub centre: f64,
    /// Its standard error, on the log scale; greater than 0.
    pub error: f64,
    /// The degrees of freedom of the error.
    pub freedom: f64,
    /// Blocks that it rests on.
    pub blocks: usize,
}

impl Estimate {
    pub(super) fn new(centre: f64, variance: f64, freedom: f64, blocks: usize) -> Self {
        Self { centre, error: variance.sqrt().max(LEAST_ERROR), freedom, blocks }
    }

    /// The same the other way round: of the reference to the arm.
    pub fn inverse(self) -> Self {
        Self { centre: -self.centre, ..self }
    }

    /// The ends of its 95% interval, on the log scale: Student's, not corrected for the number of arms.
    pub fn interval(&self) -> (f64, f64) {
        let half = self.threshold(1.0 - COVERAGE);
        (self.centre - half, self.centre + half)
    }

    /// The probability of a centre this far from 0 if it were 0, two-sided.
    pub fn p(&self) -> f64 {
        2.0 * self.student().cdf(-(self.centre.abs() / self.error))
    }

    /// How far from 0 a centre with this error must be for its probability to be this, two-sided; on the log scale.
    pub(super) fn threshold(&self, p: f64) -> f64 {
        -self.student().inverse_cdf(p / 2.0) * self.error
    }

    fn student(&self) -> StudentsT {
        StudentsT::new(0.0, 1.0, self.freedom).expect("degrees of freedom are positive")
    }
}

/// The mean of some numbers, and half of its 95% interval: Student's. `None` for fewer than two.
pub fn mean_with_interval(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.collect();
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let variance = squares / (count - 1.0) / count;
    let estimate = Estimate::new(mean, variance, count - 1.0, values.len());
    Some((mean, estimate.threshold(1.0 - COVERAGE)))
}

/// Estimates how a ratio changed from one run to another.
///
/// The runs are independent, so the variances add up; the degrees of freedom are what is left of both (B. L. Welch,
/// Biometrika 34(1/2), 1947).
pub fn change(old: Estimate, new: Estimate) -> Estimate {
    let (was, is) = (old.error.powi(2), new.error.powi(2));
    let variance = was + is;
    let freedom = variance.powi(2) / (was.powi(2) / old.freedom + is.powi(2) / new.freedom);
    Estimate::new(new.centre - old.centre, variance, freedom, old.blocks + new.blocks)
}
