//! The one estimator of a contest by one measure: a centre for each arm, and the error of every difference of two.

use std::sync::Arc;

use super::{
    Draws, Estimate, Measured, Series,
    bootstrap::{Centre, Resamples},
    moderation::Prior,
};

/// Epochs below which nothing is said: fewer do not tell how epochs differ.
pub const MIN_EPOCHS: usize = 3;

/// How much larger the variance of a difference of two copies is than that of an arm from the mean of both: (1 + 1) / (1 + ½).
const OF_COPIES: f64 = 4.0 / 3.0;

/// How strongly the variances of two arms are correlated that have the reference in common: half a variance of the one and a
/// half is in both, and variances are correlated by the square, (½ / 1½)².
const IN_COMMON: f64 = 1.0 / 9.0;

/// Centres and errors of all arms of a contest, by one measure. Arms go by their numbers; the reference's is 0.
///
/// In each block the log difference of an arm is taken from the mean of both copies of the reference, or from the one that has
/// the block. The centre of an arm is the 20% trimmed mean of its differences, and that of the reference is 0. The centre of
/// any two arms is the difference of theirs: if A is better than B and B than C, then A is better than C.
///
/// The errors are those of a bootstrap over epochs, the same resamples for all arms, so that what two arms have in common
/// cancels. They are widened by √(n/(n−1)) for n epochs, as T. C. Hesterberg, What Teachers Should Know About the Bootstrap,
/// The American Statistician 69(4), 2015, section 3, has it for few observations, and moderated over the arms of the contest.
#[derive(Debug)]
pub struct Estimates {
    /// `[arm - 1]`; `None` for one with too few epochs.
    others: Vec<Option<Centre>>,
    copy: Option<Centre>,
    resamples: Arc<Resamples>,
    to_reference: Prior,
    between: Prior,
}

impl Estimates {
    /// Estimates what all arms of a contest measured.
    pub fn of(measured: &Measured, draws: &Draws) -> Self {
        let copies: Vec<&Series> = [&measured.reference].into_iter().chain(&measured.copy).collect();
        let mut all: Vec<Vec<Vec<f64>>> =
            measured.others.iter().map(|arm| differences(arm, &copies)).collect();
        if let Some(copy) = &measured.copy {
            all.push(differences(copy, &[&measured.reference]));
        }
        // An epoch in which nothing can be compared is none.
        let epochs = all.iter().map(Vec::len).max().unwrap_or(0);
        let counts = |epoch: &usize| all.iter().any(|arm| arm.get(*epoch).is_some_and(|it| !it.is_empty()));
        let counting: Vec<usize> = (0..epochs).filter(counts).collect();
        let resamples = draws.of(counting.len());
        let centre = |arm: &Vec<Vec<f64>>| {
            let values: Vec<Vec<f64>> =
                counting.iter().map(|epoch| arm.get(*epoch).cloned().unwrap_or_default()).collect();
            let there = values.iter().filter(|blocks| !blocks.is_empty()).count();
            (there >= MIN_EPOCHS).then(|| Centre::of(&values, &resamples))
        };
        let mut others: Vec<Option<Centre>> = all.iter().map(centre).collect();
        let copy = measured.copy.as_ref().and_then(|_| others.pop()?);
        let none = Prior::fit(&[], 0.0);
        let mut estimates = Self { others, copy, resamples, to_reference: none, between: none };
        estimates.fit();
        estimates
    }

    /// Fits what is known of variances of both kinds to those that there are.
    fn fit(&mut self) {
        let arms: Vec<&Centre> = self.others.iter().flatten().collect();
        let to_reference: Vec<(f64, f64)> = arms.iter().map(|arm| self.variance(arm, None)).collect();
        let pairs = arms.iter().enumerate().flat_map(|(number, arm)| {
            arms[..number].iter().map(|other| self.variance(arm, Some(other))).collect::<Vec<_>>()
        });
        let between: Vec<(f64, f64)> = pairs.collect();
        let count = arms.len() as f64;
        let freedom: f64 = to_reference.iter().map(|(_, freedom)| freedom).sum();
        // Variances that have something in common are worth fewer: of k arms, those of all pairs have (k−1)(n−1) degrees of
        // freedom, as in an analysis of variance by arms and epochs.
        let of_reference = freedom / (1.0 + (count - 1.0) * IN_COMMON);
        self.between = Prior::fit(&between, freedom * (1.0 - 1.0 / count));
        self.to_reference = Prior::fit(&to_reference, of_reference);
    }

    /// The variance of the difference of two centres, or of one from 0, with its degrees of freedom.
    fn variance(&self, one: &Centre, other: Option<&Centre>) -> (f64, f64) {
        let centres = one.resampled.iter();
        let (variance, epochs) = match other {
            None => (self.resamples.variance(centres.copied()), one.epochs),
            Some(other) => {
                let differences = centres.zip(&other.resampled).map(|(one, other)| one - other);
                (self.resamples.variance(differences), one.epochs.min(other.epochs))
            }
        };
        let freedom = (epochs - 1) as f64;
        (variance * epochs as f64 / freedom, freedom)
    }

    /// Arms, with the reference.
    pub fn arms(&self) -> usize {
        self.others.len() + 1
    }

    /// Estimates the log ratio of an arm to another; `None` for an arm that has too few epochs, and for one with itself.
    pub fn of_pair(&self, arm: usize, to: usize) -> Option<Estimate> {
        let centre = |arm: usize| self.others[arm - 1].as_ref();
        match (arm, to) {
            (arm, to) if arm == to => None,
            (0, to) => Some(self.estimate(centre(to)?, None, self.to_reference).inverse()),
            (arm, 0) => Some(self.estimate(centre(arm)?, None, self.to_reference)),
            (arm, to) => Some(self.estimate(centre(arm)?, Some(centre(to)?), self.between)),
        }
    }

    /// Estimates the log ratio of the second copy of the reference to the reference itself.
    pub fn of_copy(&self) -> Option<Estimate> {
        Some(self.estimate(self.copy.as_ref()?, None, self.to_reference.scaled(OF_COPIES)))
    }

    fn estimate(&self, one: &Centre, other: Option<&Centre>, prior: Prior) -> Estimate {
        let (variance, freedom) = self.variance(one, other);
        let (variance, freedom) = prior.moderate(variance, freedom);
        let blocks = other.map_or(one.blocks, |other| one.blocks.min(other.blocks));
        Estimate::new(one.value - other.map_or(0.0, |other| other.value), variance, freedom, blocks)
    }
}

/// The log differences of a series from the mean of others, block by block, by epoch. A block that it lacks, or all of the
/// others, is left out.
fn differences(arm: &Series, from: &[&Series]) -> Vec<Vec<f64>> {
    let log = |value: Option<f64>| value.filter(|value| *value > 0.0 && value.is_finite()).map(f64::ln);
    let at = |series: &Series, epoch: usize, block: usize| log(*series.get(epoch)?.get(block)?);
    let difference = |epoch: usize, block: usize| {
        let value = at(arm, epoch, block)?;
        let there: Vec<f64> = from.iter().filter_map(|series| at(series, epoch, block)).collect();
        (!there.is_empty()).then(|| value - there.iter().sum::<f64>() / there.len() as f64)
    };
    let epochs = arm.iter().enumerate();
    epochs
        .map(|(epoch, blocks)| (0..blocks.len()).filter_map(|block| difference(epoch, block)).collect())
        .collect()
}
