//! Ratios, intervals, verdicts, ranks: what the rounds of a contest say; pure.
//!
//! Everything that is said of a contest by one measure comes from one estimator, in [`Estimates`]: the centre of each arm's
//! log differences from the reference, block by block. All arms of a block ran within seconds of each other, so the drift of
//! the machine affects all of them and cancels. The blocks of an epoch share their processes and are not independent; epochs
//! are. [`Judgement`] turns the estimates into verdicts and ranks that cannot contradict each other.

mod bootstrap;
mod capacity;
mod estimate;
mod estimates;
mod judgement;
mod moderation;
mod precision;
mod verdict;

pub use bootstrap::{Draws, level};
pub use capacity::{Capacity, capacity};
pub use estimate::{Estimate, change, mean_with_interval};
pub use estimates::{Estimates, MIN_EPOCHS};
pub use judgement::Judgement;
pub use precision::Precision;
pub use verdict::{Better, Comparison, Verdict, holm, judge};

/// What an arm measured in each block, by epoch; `None` where the round was excluded.
pub type Series = Vec<Vec<Option<f64>>>;

/// What the arms of a contest measured, by one measure.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The reference.
    pub reference: Series,
    /// The second copy of the reference, if there is one.
    pub copy: Option<Series>,
    /// The arms that are compared with it.
    pub others: Vec<Series>,
}

#[cfg(test)]
mod simulations;
#[cfg(test)]
mod tests;
