//! The time of a round, and when the pacer stood still.

use std::time::{Duration, Instant};

/// What passes between two looks at the clock, in which one connection is served, and takes longer than this was not all of it
/// that: the processor was somebody else's meanwhile. Ten times what sending over loopback takes at most.
const STOOD_STILL: Duration = Duration::from_micros(100);

/// By how much longer that is for each byte of a reply, in nanoseconds: to read and to compare it takes a fifth of this.
const OF_A_BYTE_NS: u64 = 2;

pub(super) struct Clock {
    begun: Instant,
    now: Instant,
    /// The last stretch in which the pacer stood still.
    still: (Instant, Instant),
    /// What must have passed for that; `None` for one that sleeps, which does not notice.
    stood_still: Option<Duration>,
}

impl Clock {
    /// Begins a round whose replies have so many bytes.
    pub(super) fn begin(spins: bool, reply_bytes: usize) -> Self {
        let now = Instant::now();
        let stood_still = STOOD_STILL + Duration::from_nanos(OF_A_BYTE_NS * reply_bytes as u64);
        Self { begun: now, now, still: (now, now), stood_still: spins.then_some(stood_still) }
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// When it was looked at last.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Looks at the time; returns the stretch in which the pacer stood still since the last look, if it did.
    pub(super) fn look(&mut self) -> Option<(Instant, Instant)> {
        let before = std::mem::replace(&mut self.now, Instant::now());
        let stood_still = self.stood_still.is_some_and(|longest| self.now - before > longest);
        if stood_still {
            self.still = (before, self.now);
        }
        stood_still.then_some(self.still)
    }

    /// Whether an instant lies in the last stretch in which the pacer stood still.
    pub(super) fn stood_still_at(&self, instant: Instant) -> bool {
        (self.still.0..self.still.1).contains(&instant)
    }
}
