//! Whose turn it is: every arm once a block, in an order that a seed decides.

use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus, seq::SliceRandom as _};

use crate::record::Contest;

/// The order of the arms in a block. The same seed, contest, epoch and block give the same order, whatever else runs.
pub fn order(seed: u64, contest: &Contest, epoch: usize, block: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contest.arms.len()).collect();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(mix(seed, contest, epoch, block)));
    order
}

/// Mixes all that decides an order into one number, the same with every compiler: FNV-1a (G. Fowler, L. C. Noll,
/// K.-P. Vo, 1991).
fn mix(seed: u64, contest: &Contest, epoch: usize, block: usize) -> u64 {
    let Contest { workload, view, class, .. } = contest;
    let place = format!("{seed} {workload} {view:?} {class:?} {epoch} {block}");
    place
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
