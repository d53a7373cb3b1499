//! What each thread of a server does.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{load::LatencyHistogram, sharded::Sharded};

/// Threads that are told apart: more share a tally, and their messages count as one thread's.
const THREADS_TOLD_APART: usize = 64;

/// What the threads of a server did since it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadWork {
    /// Messages that each thread began to answer, by its number; up to the last that answered any.
    pub messages: Vec<u64>,
    /// How late timers fired, where messages wait.
    pub timer_lateness: LatencyHistogram,
}

impl ThreadWork {
    /// What was done since an earlier look.
    pub fn since(&self, before: &Self) -> Self {
        let was = before.messages.iter().copied().chain(std::iter::repeat(0));
        Self {
            messages: self.messages.iter().zip(was).map(|(is, was)| is.saturating_sub(was)).collect(),
            timer_lateness: self.timer_lateness.without(&before.timer_lateness),
        }
    }

    /// How unevenly messages spread over so many workers: the largest share over the mean one; `None` where there were none.
    pub fn spread(&self, workers: usize) -> Option<f64> {
        let all: u64 = self.messages.iter().sum();
        let most = *self.messages.iter().max()?;
        (all > 0).then(|| most as f64 * workers as f64 / all as f64)
    }
}

/// What the threads count, each for itself.
#[derive(Debug)]
pub(super) struct ThreadTallies(Sharded<ThreadTally>);

#[derive(Debug, Default)]
struct ThreadTally {
    messages: AtomicU64,
    /// Made for the first timer: it is hundreds of KiB, which connections that are held would seem to cost.
    timer_lateness: Mutex<Option<LatencyHistogram>>,
}

impl ThreadTallies {
    pub(super) fn new() -> Self {
        Self(Sharded::new(THREADS_TOLD_APART))
    }

    /// Takes note that this thread begins to answer a message.
    pub(super) fn answers(&self) {
        self.0.mine().1.messages.fetch_add(1, Relaxed);
    }

    /// Takes note that a timer has woken this thread so late.
    pub(super) fn woke(&self, late: Duration) {
        let (_, thread) = self.0.mine();
        let mut lateness = thread.timer_lateness.lock().unwrap_or_else(PoisonError::into_inner);
        lateness.get_or_insert_with(LatencyHistogram::new).record(late);
    }

    /// What each thread did until now.
    pub(super) fn read(&self) -> ThreadWork {
        let messages =
            |thread: Option<&ThreadTally>| thread.map_or(0, |thread| thread.messages.load(Relaxed));
        let mut work =
            ThreadWork { messages: self.0.numbered().map(messages).collect(), ..ThreadWork::default() };
        while work.messages.last() == Some(&0) {
            work.messages.pop();
        }
        for thread in self.0.all() {
            if let Some(lateness) = &*thread.timer_lateness.lock().unwrap_or_else(PoisonError::into_inner) {
                work.timer_lateness.merge(lateness);
            }
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(messages: &[u64]) -> ThreadWork {
        ThreadWork { messages: messages.to_vec(), timer_lateness: LatencyHistogram::new() }
    }

    #[test]
    fn who_only_answers_needs_no_histogram() {
        let tallies = ThreadTallies::new();
        tallies.answers();
        let made =
            || tallies.0.all().filter(|thread| thread.timer_lateness.lock().unwrap().is_some()).count();
        assert_eq!(made(), 0);
        tallies.woke(Duration::from_millis(1));
        assert_eq!((made(), tallies.read().timer_lateness.count()), (1, 1));
    }

    #[test]
    fn what_was_done_since_is_each_threads_own() {
        let since = |is: &[u64], was: &[u64]| work(is).since(&work(was)).messages;
        assert_eq!(since(&[7, 0, 9], &[5, 0, 9]), [2, 0, 0]);
        assert_eq!(since(&[7, 3, 9], &[5]), [2, 3, 9], "threads that came later");
    }

    #[test]
    fn a_spread_is_the_largest_share_to_the_mean_of_all_workers() {
        assert_eq!(work(&[30, 10]).spread(2), Some(1.5));
        assert_eq!(work(&[40]).spread(4), Some(4.0), "three had nothing");
        assert_eq!(work(&[]).spread(2), None);
        assert_eq!(work(&[0, 0]).spread(2), None);
    }
}
