//! From an estimate to a word: better, worse, suggestive, or statistically indistinguishable.

use std::fmt;

use serde::Serialize;

use super::Estimate;

/// The risk, over all arms that are compared together, of a verdict where there is no difference.
pub(super) const RISK: f64 = 0.05;

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
    /// Its own interval leaves 1 out, but not after correction for the number of arms.
    Suggestive,
    /// The run does not tell the two apart.
    Indistinguishable,
}

impl Verdict {
    /// Whether a difference is told: nothing else is.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Better | Self::Worse)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Suggestive => "suggestive",
            Self::Indistinguishable => "statistically indistinguishable",
        })
    }
}

/// How one arm compares with another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The ratio.
    pub ratio: f64,
    /// The lower end of its 95% interval, which is not corrected for the number of arms.
    pub low: f64,
    /// The upper end of that.
    pub high: f64,
    /// The least difference, as a share and on its own side of 1, for which a verdict would have been given. There is one if,
    /// and only if, the ratio is further from 1.
    pub needed: f64,
    /// Blocks that it rests on.
    pub blocks: usize,
    /// What is said.
    pub verdict: Verdict,
}

/// An estimate among those that it is judged with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finding {
    pub(super) estimate: Estimate,
    /// The uncorrected probability below which there is a verdict: that of its step in Holm's procedure.
    step: f64,
    pub(super) is_told: bool,
}

impl Finding {
    /// The same the other way round.
    pub(super) fn inverse(self) -> Self {
        Self { estimate: self.estimate.inverse(), ..self }
    }

    /// Whether the arm is told to be better than what it was compared with.
    pub(super) fn is_better(&self, better: Better) -> bool {
        self.is_told && (self.estimate.centre > 0.0) == (better == Better::More)
    }

    /// What it says in figures, and in a word.
    pub(super) fn comparison(&self, better: Better) -> Comparison {
        let Estimate { centre, blocks, .. } = self.estimate;
        let (low, high) = self.estimate.interval();
        let verdict = match (self.is_told, self.is_better(better)) {
            (true, true) => Verdict::Better,
            (true, false) => Verdict::Worse,
            (false, _) if low > 0.0 || high < 0.0 => Verdict::Suggestive,
            (false, _) => Verdict::Indistinguishable,
        };
        let least = self.estimate.threshold(self.step);
        // exp(t) - 1 above 1 and 1 - exp(-t) below.
        let needed = if centre < 0.0 { -(-least).exp_m1() } else { least.exp_m1() };
        Comparison { ratio: centre.exp(), low: low.exp(), high: high.exp(), needed, blocks, verdict }
    }
}

/// Judges estimates together by Holm's procedure, in which the risk is that of any verdict where there is no difference.
///
/// Where m of T others are told, an estimate is told if its probability is below risk / (T − m) (S. Holm, Scandinavian Journal
/// of Statistics 6(2), 1979).
pub(super) fn find(estimates: &[Option<Estimate>], risk: f64) -> Vec<Option<Finding>> {
    let probabilities: Vec<f64> = estimates.iter().flatten().map(Estimate::p).collect();
    let corrected = holm(&probabilities);
    let told = corrected.iter().filter(|p| **p < risk).count();
    let mut corrected = corrected.into_iter();
    let mut find_one = |estimate: Estimate| {
        let is_told = corrected.next().is_some_and(|p| p < risk);
        let others_told = told - usize::from(is_told);
        Finding { estimate, step: risk / (probabilities.len() - others_told) as f64, is_told }
    };
    estimates.iter().map(|estimate| estimate.map(&mut find_one)).collect()
}

/// Judges estimates that are looked at together: their probabilities are corrected for their number.
pub fn judge(estimates: &[Option<Estimate>], better: Better) -> Vec<Option<Comparison>> {
    find(estimates, RISK).into_iter().map(|finding| Some(finding?.comparison(better))).collect()
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
