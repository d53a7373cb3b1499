//! What the slots of a load measure, kept by each worker for itself.

use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{LatencyHistogram, board};

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

/// The tallies of a load. Each thread writes to one of them, whichever slot it drives: a slot of a runtime that steals
/// moves from worker to worker, and one tally for each slot would have two workers in it at the same time.
pub(super) struct Tallies(Box<[Aligned]>);

/// Two tallies share no cache line. Each takes its memory when a thread first writes to it: most are never needed.
#[derive(Default)]
#[repr(align(128))]
struct Aligned(OnceLock<Mutex<Tally>>);

impl Tallies {
    /// Makes tallies for so many workers.
    pub(super) fn new(workers: usize) -> Self {
        // No more than a page has counters: whoever has a tally for itself has the counter of its number too.
        let shards = (workers.max(1) * SHARDS_PER_WORKER).min(board::SHARDS);
        Self((0..shards).map(|_| Aligned::default()).collect())
    }

    /// The tally of this thread, and its number.
    pub(super) fn mine(&self) -> (usize, MutexGuard<'_, Tally>) {
        let shard = thread_number() % self.0.len();
        (shard, lock(self.0[shard].0.get_or_init(Mutex::default)))
    }

    /// All of them, one after the other.
    pub(super) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Tally>> {
        self.0.iter().filter_map(|tally| tally.0.get()).map(lock)
    }

    /// What all of them say together.
    pub(super) fn merged(&self) -> Tally {
        let mut merged = Tally::default();
        self.all().for_each(|tally| merged.merge(&tally));
        merged
    }
}

/// The number of this thread among those that ever measured something. Workers start together, so theirs are in a row.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let mine = NEXT.fetch_add(1, Relaxed);
            number.set(Some(mine));
            mine
        })
    })
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
        assert_eq!(Tallies::new(1000).0.len(), board::SHARDS);
    }

    #[test]
    fn threads_that_start_together_write_to_tallies_of_their_own() {
        let tallies = Tallies::new(4);
        let shards: Vec<usize> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| tallies.mine().0)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        // Other tests number their threads at the same time; of eight shards the four may still meet, but not all.
        assert!(shards.iter().any(|shard| *shard != shards[0]), "{shards:?}");
        let shard = || {
            let (shard, _tally) = tallies.mine();
            shard
        };
        let again = std::thread::scope(|scope| scope.spawn(|| [shard(), shard()]).join().unwrap());
        assert_eq!(again[0], again[1], "a thread keeps its tally");
    }
}
