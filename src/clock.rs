//! The clock that all processes of a machine share, and durations as the numbers in which they are handed on.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What CLOCK_MONOTONIC says (clock_gettime(2)): std's instants are of that clock, but don't show it.
///
/// # Errors
/// When there is no such clock.
pub(crate) fn monotonic() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from)
}

/// A duration in whole nanoseconds; the most that fit, where it is longer than 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
