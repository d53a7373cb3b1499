//! Standard errors that lend each other strength: what all arms of a contest show says something of each.
//!
//! G. K. Smyth, Linear Models and Empirical Bayes Methods for Assessing Differential Expression in Microarray Experiments,
//! Statistical Applications in Genetics and Molecular Biology 3(1), 2004, sections 3 and 6.2; the fit is that of `fitFDist`
//! in his program limma.

use statrs::function::gamma::digamma;

/// Variances below which there is no fit: how much they differ is not known from fewer. Fitted to three, 3 equal arms got a
/// verdict in 5.7 of 100 simulated duels, without a fit in 5.0.
const LEAST_VARIANCES: usize = 4;

/// The share of the median that a variance counts for at least in the fit, as in limma: the logarithm of 0 is no number.
const LEAST_SHARE: f64 = 1e-5;

/// By how much the spread of variances is taken to be larger than it was found, so that a few arms that happen to be alike do not
/// vouch for another that is not: of some ten arms the true spread is larger still once in five times. In simulated duels of 12
/// equal arms whose noise differs (a standard deviation of 50%), 6 epochs give a verdict in 7 of 100 without this and in 5 with
/// it; where the noise of all arms is the same, as many are told as without.
const CAUTION: f64 = 1.6;

/// What is known of a variance before it is measured: the distribution of all variances of its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    /// s0², the typical variance.
    variance: f64,
    /// d0, its degrees of freedom; 0 where nothing is known.
    freedom: f64,
    /// The degrees of freedom that no variance exceeds.
    most: f64,
}

impl Prior {
    /// Fits a prior to variances, each with its degrees of freedom, by the moments of their logarithms.
    ///
    /// `most` is how many degrees of freedom all of them have together; one variance cannot have more.
    pub(super) fn fit(variances: &[(f64, f64)], most: f64) -> Self {
        let nothing = Self { variance: 0.0, freedom: 0.0, most };
        let mut sorted: Vec<f64> = variances.iter().map(|(variance, _)| *variance).collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        if variances.len() < LEAST_VARIANCES || median <= 0.0 {
            return nothing;
        }
        let count = variances.len() as f64;
        let logs = variances.iter().map(|(variance, freedom)| {
            let half = freedom / 2.0;
            variance.max(median * LEAST_SHARE).ln() - digamma(half) + half.ln()
        });
        let logs: Vec<f64> = logs.collect();
        let mean = logs.iter().sum::<f64>() / count;
        let spread = CAUTION * logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let of_chance = variances.iter().map(|(_, freedom)| trigamma(freedom / 2.0)).sum::<f64>() / count;
        if spread <= of_chance {
            // They differ no more than chance has it: all are the same one.
            return Self { variance: mean.exp(), freedom: most, most };
        }
        let half = trigamma_inverse(spread - of_chance);
        Self { variance: (mean + digamma(half) - half.ln()).exp(), freedom: 2.0 * half, most }
    }

    /// Moderates a variance with its degrees of freedom: (d0·s0² + d·s²) / (d0 + d), with d0 + d degrees of freedom.
    pub(super) fn moderate(&self, variance: f64, freedom: f64) -> (f64, f64) {
        let all = self.freedom + freedom;
        let moderated = (self.freedom * self.variance + freedom * variance) / all;
        (moderated, all.min(self.most.max(freedom)))
    }

    /// The same of variances that are so many times as large.
    pub(super) fn scaled(self, times: f64) -> Self {
        Self { variance: self.variance * times, ..self }
    }
}

/// The derivative of the digamma function (M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 1964,
/// formulas 6.4.6 and 6.4.12); for `x` > 0.
fn trigamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 10.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = 1.0 / 6.0 - square * (1.0 / 30.0 - square * (1.0 / 42.0 - square / 30.0));
    sum + 1.0 / x + square / 2.0 + square / x * series
}

/// Where the trigamma function, which falls from infinity to 0, has this value; for values > 0.
fn trigamma_inverse(value: f64) -> f64 {
    // Between 1/x and 1/x + 1/x², so it is bracketed; a halving is one more bit.
    let (mut low, mut high) = (0.5 / value.max(value.sqrt()), 1.0 / value + 1.0 / value.sqrt() + 1.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if trigamma(middle) > value { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigamma_is_what_tables_say() {
        let pi_square = std::f64::consts::PI.powi(2);
        for (x, expected) in [(1.0, pi_square / 6.0), (0.5, pi_square / 2.0), (2.0, pi_square / 6.0 - 1.0)] {
            assert!((trigamma(x) - expected).abs() < 1e-12, "{x}: {}", trigamma(x));
        }
        for value in [1e-4, 0.1, 0.49, 1.0, 7.0, 1e4] {
            assert!((trigamma(trigamma_inverse(value)) / value - 1.0).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn equal_variances_are_pooled_and_different_ones_are_not() {
        let equal = Prior::fit(&[(2.0, 5.0); 8], 40.0);
        assert_eq!(equal.freedom, 40.0);
        let (variance, freedom) = equal.moderate(2.0, 5.0);
        assert!(freedom == 40.0 && variance > 2.0 && variance < 2.6, "{variance}");
        let different: Vec<(f64, f64)> = (0..8).map(|i| (10f64.powi(i), 5.0)).collect();
        assert!(Prior::fit(&different, 40.0).freedom < 0.5);
        let few = Prior::fit(&[(2.0, 5.0); 3], 40.0);
        assert_eq!(few.moderate(3.0, 5.0), (3.0, 5.0));
    }
}
