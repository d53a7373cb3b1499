//! The processes below this one, and their end.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use procfs::process::Process;

use crate::processes::descendants;

/// How long processes have to be gone once they were killed.
const UNTIL_GONE: Duration = Duration::from_secs(2);

/// How long between two looks.
const UNTIL_LOOKED_AGAIN: Duration = Duration::from_millis(2);

/// Makes this process the parent of every process below it whose own parent ends.
///
/// # Errors
/// When the kernel does not know it (Linux before 3.4).
pub(super) fn keep_all() -> anyhow::Result<()> {
    Ok(set_child_subreaper(true)?)
}

/// The processes below this one that run, by name and number.
pub(super) fn running() -> Vec<String> {
    let below = descendants(std::process::id());
    let running = below.iter().filter_map(|process| process.stat().ok()).filter(|stat| stat.state != 'Z');
    running.map(|stat| format!("{} ({})", stat.comm, stat.pid)).collect()
}

/// Takes note of those of some processes that have ended, so that the kernel adds what they spent to what this process's children have.
pub(super) fn reap_orphans(below: &[Process], but: Pid) {
    for process in below {
        let pid = Pid::from_raw(process.pid);
        if pid != but {
            // One that runs, or is another's child, is left alone.
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Kills every process below this one, also those that are made meanwhile.
pub(super) fn end_all() {
    let deadline = Instant::now() + UNTIL_GONE;
    loop {
        let below = descendants(std::process::id());
        if below.is_empty() || Instant::now() > deadline {
            return;
        }
        for process in below {
            let pid = Pid::from_raw(process.pid);
            // It may be gone by now, or be another's child.
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        }
        thread::sleep(UNTIL_LOOKED_AGAIN);
    }
}
