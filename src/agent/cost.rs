//! What a process spends: CPU time, context switches, memory, and what the kernel counted meanwhile.

use std::ops::Add;

use nix::sys::{
    resource::{Usage, UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};
use procfs::process::{ClearRefs, Process};
use serde::{Deserialize, Serialize};

use crate::net::KernelCounters;

/// What a process spent between two of its replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// CPU time in user mode, in seconds.
    pub user_s: f64,
    /// CPU time in the kernel, in seconds.
    pub system_s: f64,
    /// Context switches because a thread waited.
    pub voluntary_switches: u64,
    /// Context switches because another thread's turn had come.
    pub involuntary_switches: u64,
    /// The most memory that was resident, in bytes; `None` where the kernel does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// The memory that was resident at the end, in bytes; `None` where the kernel does not tell.
    pub resident_bytes: Option<u64>,
    /// What the process's network namespace counted; `None` where the kernel does not tell.
    pub kernel: Option<KernelCounters>,
}

impl Cost {
    /// CPU time in all, in seconds.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

/// What two processes spent at the same time.
impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let both = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(one, other)| one + other);
        Self {
            user_s: self.user_s + other.user_s,
            system_s: self.system_s + other.system_s,
            voluntary_switches: self.voluntary_switches + other.voluntary_switches,
            involuntary_switches: self.involuntary_switches + other.involuntary_switches,
            peak_memory_bytes: both(self.peak_memory_bytes, other.peak_memory_bytes),
            resident_bytes: both(self.resident_bytes, other.resident_bytes),
            kernel: self.kernel.zip(other.kernel).map(|(one, other)| one + other),
        }
    }
}

/// Reads costs of this process, each since the one before.
pub(super) struct CostMeter {
    usage: Usage,
    kernel: Option<KernelCounters>,
}

impl CostMeter {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { usage: getrusage(UsageWho::RUSAGE_SELF)?, kernel: KernelCounters::read().ok() })
    }

    /// Reads the cost since the last reading, and begins anew.
    pub(super) fn read(&mut self) -> anyhow::Result<Cost> {
        let before = std::mem::replace(self, Self::new()?);
        let (was, is) = (before.usage, self.usage);
        let memory = memory_bytes();
        let cost = Cost {
            user_s: seconds(is.user_time()) - seconds(was.user_time()),
            system_s: seconds(is.system_time()) - seconds(was.system_time()),
            voluntary_switches: difference(is.voluntary_context_switches(), was.voluntary_context_switches()),
            involuntary_switches: difference(
                is.involuntary_context_switches(),
                was.involuntary_context_switches(),
            ),
            peak_memory_bytes: memory.map(|(peak, _)| peak),
            resident_bytes: memory.map(|(_, resident)| resident),
            kernel: self.kernel.zip(before.kernel).map(|(is, was)| is - was),
        };
        forget_peak_memory();
        Ok(cost)
    }
}

fn seconds(time: TimeVal) -> f64 {
    time.num_microseconds() as f64 / 1e6
}

fn difference(is: i64, was: i64) -> u64 {
    u64::try_from(is - was).unwrap_or(0)
}

/// The high-water mark of resident memory, and what is resident now. The mark is not `ru_maxrss`, which starts with the
/// parent's at exec.
fn memory_bytes() -> Option<(u64, u64)> {
    let status = Process::myself().ok()?.status().ok()?;
    Some((status.vmhwm? * 1024, status.vmrss? * 1024))
}

/// Sets the high-water mark back to what is resident now (proc(5), `/proc/pid/clear_refs`, value 5).
fn forget_peak_memory() {
    // Where it can't be done the mark stays, and later peaks are told too high, never too low.
    let _ = Process::myself().and_then(|process| process.clear_refs(ClearRefs::PeakRSS));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_cost_is_for_what_was_done_since_the_last_alone() {
        let mut meter = CostMeter::new().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let ballast = vec![1_u8; 64 << 20];
        let busy = meter.read().unwrap();
        drop(ballast);
        let rest = meter.read().unwrap();
        let again = meter.read().unwrap();
        assert!(busy.cpu_s() >= 0.02, "{busy:?}");
        assert!(rest.cpu_s() < busy.cpu_s(), "{rest:?}");
        let (Some(high), Some(low)) = (busy.peak_memory_bytes, again.peak_memory_bytes) else { return };
        assert!(high >= low + (32 << 20), "the peak of one request is not the next one's: {high} then {low}");
    }
}
