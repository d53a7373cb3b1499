//! The clock that all processes of a machine share, and durations as the numbers in which they are handed on.

use std::{fs, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// What CLOCK_MONOTONIC says (clock_gettime(2)): std's instants are of that clock, but don't show it.
///
/// # Errors
/// When there is no such clock.
pub(crate) fn monotonic() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from)
}

/// Which clock [`monotonic`] reads: where two say the same, it is one clock. It begins anew when a machine is booted, and each time
/// namespace has its own (time_namespaces(7)). `None` where the system does not tell.
pub(crate) fn which() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// A duration in whole nanoseconds; the most that fit, where it is longer than 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
