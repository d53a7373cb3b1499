//! A value for each worker thread, so that none waits for another's cache lines.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// A value for each of some threads. Each thread uses one of them, whichever connection it drives: a task of a runtime that
/// steals moves from worker to worker, and one value for each connection would have two workers in it at the same time.
#[derive(Debug)]
pub(crate) struct Sharded<T>(Box<[Aligned<T>]>);

/// Two values share no cache line. Each takes its memory when a thread first uses it: most are never needed.
#[derive(Debug)]
#[repr(align(128))]
struct Aligned<T>(OnceLock<T>);

impl<T: Default> Sharded<T> {
    /// Makes so many values, at least one.
    pub(crate) fn new(shards: usize) -> Self {
        Self((0..shards.max(1)).map(|_| Aligned(OnceLock::new())).collect())
    }

    /// The value of this thread, and its number.
    pub(crate) fn mine(&self) -> (usize, &T) {
        let shard = thread_number() % self.0.len();
        (shard, self.0[shard].0.get_or_init(T::default))
    }

    /// Each value by its number; `None` for one that no thread has used.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = Option<&T>> {
        self.0.iter().map(|shard| shard.0.get())
    }

    /// All that a thread has used.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|shard| shard.0.get())
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn shards(&self) -> usize {
        self.0.len()
    }
}

/// The number of this thread among those that ever used such a value. Workers start together, so theirs are in a row.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_start_together_have_values_of_their_own() {
        let sharded: Sharded<()> = Sharded::new(8);
        let shards: Vec<usize> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| sharded.mine().0)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        // Other tests number their threads at the same time; of eight shards the four may still meet, but not all.
        assert!(shards.iter().any(|shard| *shard != shards[0]), "{shards:?}");
        let again = std::thread::scope(|scope| scope.spawn(|| [sharded.mine().0; 2]).join().unwrap());
        assert_eq!(again[0], again[1], "a thread keeps its value");
    }
}
