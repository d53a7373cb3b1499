//! What the slots of a load measure, kept by each worker for itself.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{LatencyHistogram, board};
use crate::sharded::Sharded;

/// Shards for each worker thread: a runtime has a few threads beside its workers, and two that meet in one shard share
/// its lock.
const SHARDS_PER_WORKER: usize = 2;

/// What some of the slots measured.
#[derive(Clone, Default)]
pub(super) struct Tally {
    pub(super) connect: LatencyHistogram,
    pub(super) round_trip: LatencyHistogram,
    pub(super) session: LatencyHistogram,
    pub(super) close: LatencyHistogram,
    pub(super) unfinished: LatencyHistogram,
    pub(super) messages_in_all: u64,
    pub(super) last_end: Option<Instant>,
}

impl Tally {
    pub(super) fn merge(&mut self, other: &Self) {
        self.connect.merge(&other.connect);
        self.round_trip.merge(&other.round_trip);
        self.session.merge(&other.session);
        self.close.merge(&other.close);
        self.unfinished.merge(&other.unfinished);
        self.messages_in_all += other.messages_in_all;
        self.last_end = self.last_end.max(other.last_end);
    }
}

/// The tallies of a load.
pub(super) struct Tallies(Sharded<Mutex<Tally>>);

impl Tallies {
    /// Makes tallies for so many workers.
    pub(super) fn new(workers: usize) -> Self {
        // No more than a page has counters: whoever has a tally for itself has the counter of its number too.
        Self(Sharded::new((workers.max(1) * SHARDS_PER_WORKER).min(board::SHARDS)))
    }

    /// The tally of this thread, and its number.
    pub(super) fn mine(&self) -> (usize, MutexGuard<'_, Tally>) {
        let (shard, tally) = self.0.mine();
        (shard, lock(tally))
    }

    /// All of them, one after the other.
    pub(super) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Tally>> {
        self.0.all().map(lock)
    }

    /// What all of them say together.
    pub(super) fn merged(&self) -> Tally {
        let mut merged = Tally::default();
        self.all().for_each(|tally| merged.merge(&tally));
        merged
    }
}

/// Locks, also when a thread panicked while it held the lock: every update leaves the value whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_never_without_a_counter_of_its_own() {
        assert_eq!(Tallies::new(1000).0.shards(), board::SHARDS);
    }
}
