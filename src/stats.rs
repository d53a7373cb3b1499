//! Ratios, intervals, verdicts: what the rounds of a duel say; pure.
//!
//! An arm is compared with another block by block: both ran within seconds of each other, so the log ratio of the two
//! is free of whatever drifts more slowly. The blocks of an epoch share their processes and so are no independent
//! witnesses; epochs are. Absent from here: records, I/O, and any clock.

mod bootstrap;
mod verdict;

pub use bootstrap::{Draws, Interval, bootstrap, trimmed_mean};
pub use verdict::{
    Better, Comparison, Estimate, MIN_EPOCHS, Verdict, change, estimate, holm, judge, order, ranks,
    told_apart,
};

/// What an arm measured in each block, by epoch; `None` where the round was set aside.
pub type Series = Vec<Vec<Option<f64>>>;

/// The log ratio of one series to another, block by block, by epoch; blocks that either lacks are left out.
pub fn log_ratios(of: &Series, to: &Series) -> Vec<Vec<f64>> {
    let both = |(of, to): (&Option<f64>, &Option<f64>)| match (of, to) {
        (Some(of), Some(to)) if *of > 0.0 && *to > 0.0 => Some((of / to).ln()),
        _ => None,
    };
    of.iter().zip(to).map(|(of, to)| of.iter().zip(to).filter_map(both).collect()).collect()
}

#[cfg(test)]
mod tests;
