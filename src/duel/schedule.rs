//! Whose turn it is: every arm once a block, in an order that a seed decides.

use std::time::Duration;

use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus, seq::SliceRandom as _};

use super::AROUND_AN_EPOCH;
use crate::{
    load::Workload,
    record::{Arrivals, Contest, Schedule},
};

/// The order of the arms in a block. The same seed, contest, epoch and block give the same order, whatever else runs.
pub fn order(seed: u64, contest: &Contest, epoch: usize, block: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contest.arms.len()).collect();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(mix(seed, contest, epoch, block)));
    order
}

/// The turns of a block: every arm once; or at each rate that is offered, the rates in an order that a seed decides, and the arms
/// at each rate. So all arms have a rate within a second of each other, and when the processor is slow then, all have it slow.
///
/// A rate that has one round in each epoch has it in the first block.
pub fn turns(seed: u64, contest: &Contest, epoch: usize, block: usize) -> Vec<(usize, Option<usize>)> {
    let Arrivals::Open { rates, once, .. } = &contest.arrivals else {
        return order(seed, contest, epoch, block).into_iter().map(|arm| (arm, None)).collect();
    };
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(mix(seed, contest, epoch, block));
    let mut steps: Vec<usize> = (if block == 0 { 0 } else { *once }..rates.len()).collect();
    steps.shuffle(&mut draws);
    let mut arms: Vec<usize> = (0..contest.arms.len()).collect();
    let at_each = steps.into_iter().flat_map(|step| {
        arms.shuffle(&mut draws);
        arms.iter().map(|arm| (*arm, Some(step))).collect::<Vec<_>>()
    });
    at_each.collect()
}

/// The window of a slice, in milliseconds. Shorter ones see through more of the processor's flicker, and spend more of
/// the time on stopping and continuing: METHODOLOGY.md, "Slices".
const SLICE_MS: u64 = 20;

/// What passes at the head of a slice before its window opens, in milliseconds: caches are cold, and who was in the air
/// when the pair was stopped comes down. With 2 ms `compio` had 1 to 3% less
/// throughput in `stream` than with any longer stretch (METHODOLOGY.md, "Slices").
const WARM_MS: u64 = 10;

/// Connections from which on a slice is longer.
const MANY: usize = 256;

/// How much longer: a round trip of a thousand connections is a thousand times that of one.
const MANY_LONGER: u64 = 4;

/// The fewest blocks of an epoch.
const LEAST_BLOCKS: u64 = 4;

/// Cuts a window of so many milliseconds into slices: of each arm, that much in an epoch.
pub fn slices(workload: &Workload, window_ms: u64) -> Schedule {
    let times = if workload.connections >= MANY { MANY_LONGER } else { 1 };
    let (warm_ms, slice_ms) = (WARM_MS * times, SLICE_MS * times);
    let blocks = (window_ms / slice_ms).max(LEAST_BLOCKS) as usize;
    Schedule::Slices { warm_ms, slice_ms, blocks }
}

/// Epochs that a duel of a set time should have: the interval of fewer is wide for want of them, however many blocks each has.
pub(super) const EPOCHS_IN_TIME: u32 = 8;

/// Shortens the epochs of slices so that a contest of so many arms has enough of them in its share of the time.
pub fn fit(schedule: Schedule, arms: usize, time: Duration) -> Schedule {
    let Schedule::Slices { warm_ms, slice_ms, blocks } = schedule else { return schedule };
    let of_an_arm = time / EPOCHS_IN_TIME / u32::try_from(arms.max(1)).unwrap_or(u32::MAX);
    let in_blocks = of_an_arm.saturating_sub(AROUND_AN_EPOCH).as_millis() as u64;
    let fitting = (in_blocks / (warm_ms + slice_ms)).max(LEAST_BLOCKS) as usize;
    Schedule::Slices { warm_ms, slice_ms, blocks: blocks.min(fitting) }
}

/// Mixes all that decides an order into one number, the same with every compiler: FNV-1a (G. Fowler, L. C. Noll,
/// K.-P. Vo, 1991).
fn mix(seed: u64, contest: &Contest, epoch: usize, block: usize) -> u64 {
    let Contest { workload: Workload { name: workload, .. }, view, class, .. } = contest;
    let place = format!("{seed} {workload} {view:?} {class:?} {epoch} {block}");
    place
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
