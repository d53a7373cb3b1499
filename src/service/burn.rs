//! Spending CPU time on nothing.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

use crate::clock::nanoseconds;

/// How much of what is left is spent before the clock is looked at again: the loop may be half as fast now as when it was measured,
/// where the other thread of its core is busy.
const AT_A_TIME: f64 = 0.5;

/// Spends so much CPU time of this thread, as the kernel counts it, the looks at its clock included.
///
/// By the clock of the thread and not by turns of a loop: the processor of a shared machine is faster and slower from one
/// moment to the next, and time that is asked for should be that time. And not by the time of day: that goes on while the
/// process is stopped, or another thread has the processor.
pub fn spend(time: Duration) {
    // What a look takes now, a system call of some half a microsecond: half of it is gone before the first has its time, and half
    // of the last is still to come.
    let (Some(begun), Some(looked)) = (thread_time(), thread_time()) else { return burn(nanoseconds(time)) };
    let look = looked - begun;
    let until = (begun + time).saturating_sub(look);
    let mut now = looked;
    while until > now + look {
        burn(nanoseconds((until - now - look).mul_f64(AT_A_TIME)));
        now = thread_time().unwrap_or(until);
    }
    // Another look would take longer than what is left.
    burn(nanoseconds(until.saturating_sub(now)));
}

/// Measures the loop, so that the first message does not wait for that.
pub(super) fn prepare() {
    burn(0);
}

/// The CPU time of this thread; `None` where the kernel does not tell.
fn thread_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from)
}

/// Spends CPU time on nothing: a counted loop, for a clock would go on while another thread has the processor.
pub(super) fn burn(nanoseconds: u64) {
    static TURNS_PER_MICROSECOND: OnceLock<u64> = OnceLock::new();
    let turns = nanoseconds * TURNS_PER_MICROSECOND.get_or_init(turns_per_microsecond) / 1000;
    spin(turns);
}

/// Measures the loop: the best of some tries, for the others were interrupted.
fn turns_per_microsecond() -> u64 {
    const TURNS: u64 = 1_000_000;
    let tries = (0..10).map(|_| {
        let begun = Instant::now();
        spin(TURNS);
        begun.elapsed()
    });
    let best = tries.min().unwrap_or(Duration::from_millis(1));
    (TURNS * 1000 / u64::try_from(best.as_nanos()).unwrap_or(u64::MAX).max(1)).max(1)
}

/// The loop itself. It stands once in the program, so that what was measured is what burns.
#[inline(never)]
fn spin(turns: u64) {
    for turn in 0..turns {
        let _ = std::hint::black_box(turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_what_was_asked_for() {
        prepare();
        // By the same clock, within 2%, or 0.5 µs, which is what a look at the clock takes. Whoever else has the processor between two of
        // them only adds, so one try of many that is true shows that the rest would be.
        for micros in [5, 25, 100, 1000] {
            let asked = Duration::from_micros(micros);
            let off = || {
                let before = thread_time().unwrap();
                (0..100).for_each(|_| spend(asked));
                let spent = thread_time().unwrap() - before;
                spent.as_secs_f64() / (asked * 100).as_secs_f64() - 1.0
            };
            let allowed = (0.5 / micros as f64).max(0.02);
            assert!((0..40).any(|_| off().abs() <= allowed), "{micros} µs are never spent within {allowed}");
        }
    }
}
