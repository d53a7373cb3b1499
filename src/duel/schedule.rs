//! Whose turn it is: every arm once a block, in an order that a seed decides.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus, seq::SliceRandom as _};

use crate::record::Contest;

/// The order of the arms in a block. The same seed, contest, epoch and block give the same order, whatever else runs.
pub fn order(seed: u64, contest: &Contest, epoch: usize, block: usize) -> Vec<usize> {
    let mut hasher = DefaultHasher::new();
    (seed, &contest.workload, contest.view as u8, epoch, block).hash(&mut hasher);
    let mut order: Vec<usize> = (0..contest.arms.len()).collect();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(hasher.finish()));
    order
}
