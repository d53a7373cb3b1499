//! The work of a run that the kernel's own threads do, which is charged to none of its processes.
//!
//! Packets of loopback are received in a softirq of the processor that sent them, at the sender's expense. Where more come at once than
//! a softirq works off (2 ms or ten times; `__do_softirq` in kernel/softirq.c), the rest is left to the processor's ksoftirqd: so
//! whoever hands hundreds of messages to the kernel in one call gets them received by that thread.

use std::{fs, sync::OnceLock, time::Duration};

use procfs::process::all_processes;

/// The CPU time of all ksoftirqd threads until now, whatever they did, to the nanosecond (`/proc/PID/schedstat`); `None` where these
/// threads can't be seen, as in a container with processes of its own.
pub(super) fn ksoftirqd() -> Option<Duration> {
    let threads = threads();
    let spent = threads.iter().map(|process| {
        let text = fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    });
    if threads.is_empty() { None } else { spent.sum() }
}

/// The threads, one for each processor that was online when they were first looked for.
fn threads() -> &'static [i32] {
    static THREADS: OnceLock<Vec<i32>> = OnceLock::new();
    THREADS.get_or_init(|| {
        let is_one = |comm: &str| comm.starts_with("ksoftirqd/");
        let processes = all_processes().into_iter().flatten().flatten();
        let stats = processes.filter_map(|process| process.stat().ok());
        stats.filter(|stat| stat.ppid == KTHREADD && is_one(&stat.comm)).map(|stat| stat.pid).collect()
    })
}

/// The parent of all threads of the kernel.
const KTHREADD: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_these_threads_spent_only_grows() {
        // They can't be seen in a container with processes of its own.
        if let Some(first) = ksoftirqd() {
            assert!(first > Duration::ZERO && ksoftirqd().unwrap() >= first);
        }
    }
}
