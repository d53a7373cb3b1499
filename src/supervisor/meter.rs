//! What all processes below this one spend, read from outside.
//!
//! CPU time is the kernel's own clock of each process, to the nanosecond, with its threads that have ended; of children that a
//! process has reaped itself, what /proc/PID/stat adds to it (`cutime` and `cstime`, proc(5)), to a hundredth of a second; of
//! orphans, what this process reaps. Context switches of threads that have ended are in no file, and are missing.

use std::{collections::BTreeMap, time::Duration};

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike as _,
    },
    unistd::Pid,
};
use procfs::process::{ClearRefs, Process};

use super::tree::reap_orphans;
use crate::{
    agent::Cost,
    net::KernelCounters,
    processes::{cpu_time, descendants},
};

/// Reads costs, each since the one before.
pub(super) struct Meter {
    /// The program itself, whose end is another's to see.
    program: Pid,
    before: Spent,
    kernel: Option<KernelCounters>,
}

/// What was spent until some instant.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    user: Duration,
    all: Duration,
    voluntary_switches: u64,
    involuntary_switches: u64,
}

impl Meter {
    pub(super) fn new(program: u32) -> Self {
        let program = Pid::from_raw(program.cast_signed());
        let before = Spent::read(&below());
        Self { program, before, kernel: KernelCounters::read().ok() }
    }

    /// Reads the cost since the last reading, and begins anew.
    pub(super) fn read(&mut self) -> Cost {
        let below = below();
        reap_orphans(&below, self.program);
        let (is, kernel) = (Spent::read(&below), KernelCounters::read().ok());
        let was = std::mem::replace(&mut self.before, is);
        let cpu = is.all.saturating_sub(was.all);
        let user = is.user.saturating_sub(was.user).min(cpu);
        let cost = Cost {
            user_s: user.as_secs_f64(),
            system_s: (cpu - user).as_secs_f64(),
            voluntary_switches: is.voluntary_switches.saturating_sub(was.voluntary_switches),
            involuntary_switches: is.involuntary_switches.saturating_sub(was.involuntary_switches),
            peak_memory_bytes: sum_of_memory(&below, |status| status.vmhwm),
            resident_bytes: sum_of_memory(&below, |status| status.vmrss),
            kernel: kernel.zip(self.kernel).map(|(is, was)| is - was),
        };
        self.kernel = kernel;
        // Where it can't be done the mark stays, and later peaks are told too high, never too low.
        below.iter().for_each(|process| drop(process.clear_refs(ClearRefs::PeakRSS)));
        cost
    }
}

fn below() -> Vec<Process> {
    descendants(std::process::id())
}

impl Spent {
    fn read(below: &[Process]) -> Self {
        let reaped = getrusage(UsageWho::RUSAGE_CHILDREN);
        let mut spent = reaped.map_or_else(
            |_| Self::default(),
            |usage| {
                let time = |time: nix::sys::time::TimeVal| {
                    Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
                };
                let switches = |count: i64| u64::try_from(count).unwrap_or(0);
                Self {
                    user: time(usage.user_time()),
                    all: time(usage.user_time()) + time(usage.system_time()),
                    voluntary_switches: switches(usage.voluntary_context_switches()),
                    involuntary_switches: switches(usage.involuntary_context_switches()),
                }
            },
        );
        below.iter().for_each(|process| spent.add(process));
        spent
    }

    /// Adds what a process has spent; one that is gone meanwhile is counted where it was reaped.
    fn add(&mut self, process: &Process) {
        let Ok(stat) = process.stat() else { return };
        let ticks = |ticks: u64| Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64);
        let reaped = |ticks: i64| u64::try_from(ticks).unwrap_or(0);
        let own = cpu_time(Pid::from_raw(process.pid)).unwrap_or_else(|_| ticks(stat.utime + stat.stime));
        self.all += own + ticks(reaped(stat.cutime) + reaped(stat.cstime));
        self.user += ticks(stat.utime + reaped(stat.cutime));
        for (voluntary, involuntary) in switches(process).values() {
            self.voluntary_switches += voluntary;
            self.involuntary_switches += involuntary;
        }
    }
}

/// The context switches of each thread that runs.
fn switches(process: &Process) -> BTreeMap<i32, (u64, u64)> {
    let tasks = process.tasks().into_iter().flatten().flatten();
    let told = tasks.filter_map(|task| Some((task.tid, task.status().ok()?)));
    let both = |status: procfs::process::Status| {
        Some((status.voluntary_ctxt_switches?, status.nonvoluntary_ctxt_switches?))
    };
    told.filter_map(|(thread, status)| Some((thread, both(status)?))).collect()
}

fn sum_of_memory(below: &[Process], of: fn(&procfs::process::Status) -> Option<u64>) -> Option<u64> {
    let told = below.iter().filter_map(|process| of(&process.status().ok()?));
    let kib = told.reduce(|one, other| one + other)?;
    Some(kib * 1024)
}
