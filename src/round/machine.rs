//! What the whole machine did while something was measured.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use serde::{Deserialize, Serialize};

use super::{Network, softirq::ksoftirqd};
use crate::{cgroup, placement::Cpus};

/// Clock ticks of `/proc/stat` in a second, the same on every Linux since 2.6 (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// By how many ticks the counters of a processor are off at most: each of its kinds of time is told in whole ones.
const GRAIN_TICKS: f64 = 2.0;

/// What others did on this machine's processors meanwhile; `None` where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// The share of all processors' time that the hypervisor gave to others.
    pub steal: Option<f64>,
    /// The share of all processors' time that went to processes which have nothing to do with the measurement.
    pub others: Option<f64>,
    /// The share of all processors' time that the kernel's ksoftirqd threads had, which receive what was sent in large batches; `None` in
    /// a shared network.
    pub ksoftirqd: Option<f64>,
    /// The share of time in which somebody waited for a processor, on average over ten seconds: the measured themselves
    /// too, where they share one.
    pub cpu_pressure: Option<f64>,
    /// The share of the time of all processors that may be used in which a quota made this process and the measured stand still.
    pub throttled: Option<f64>,
}

impl Neighbours {
    /// The share of the processors that anybody else had.
    pub fn share(&self) -> Option<f64> {
        self.others.map(|others| others + self.steal.unwrap_or(0.0))
    }
}

/// A watch over the machine's processors, from when it was begun.
#[derive(Debug)]
pub struct MachineWatch {
    began: Option<Ticks>,
    own: Option<Duration>,
    ksoftirqd: Option<Duration>,
    throttled: Option<(Instant, Duration)>,
}

impl MachineWatch {
    /// Begins to watch, while something is measured in this network.
    pub fn begin(network: &Network) -> Self {
        let throttled = cgroup::throttled().map(|throttled| (Instant::now(), throttled));
        // In a network of the run's own the packets are ours; in a shared one, whose they are can't be told.
        let ksoftirqd = network.is_own().then(ksoftirqd).flatten();
        Self { began: Ticks::read(), own: own_cpu(), ksoftirqd, throttled }
    }

    /// Says what was done since, when those who were measured spent so much CPU time.
    pub fn end(&self, measured: Duration) -> Neighbours {
        let cpu_pressure = cpu_pressure();
        let throttled = self.throttled();
        let (Some(was), Some(is)) = (self.began, Ticks::read()) else {
            return Neighbours { cpu_pressure, throttled, ..Neighbours::default() };
        };
        let since = |is: u64, was: u64| is.saturating_sub(was) as f64;
        let all = since(is.all, was.all).max(1.0);
        let own = self.own.zip(own_cpu()).map(|(was, is)| is.saturating_sub(was));
        let ksoftirqd = self.ksoftirqd.zip(ksoftirqd()).map(|(was, is)| is.saturating_sub(was));
        let others = own.map(|own| {
            let ours = (measured + own + ksoftirqd.unwrap_or_default()).as_secs_f64() * TICKS_PER_SECOND;
            let busy = all - since(is.idle, was.idle) - since(is.steal, was.steal);
            // What the grain of the counters explains is nobody's: in a short round it is as much as others may have.
            ((busy - ours - GRAIN_TICKS * is.processors as f64) / all).max(0.0)
        });
        Neighbours {
            steal: Some(since(is.steal, was.steal) / all),
            others,
            ksoftirqd: ksoftirqd.map(|spent| spent.as_secs_f64() * TICKS_PER_SECOND / all),
            cpu_pressure,
            throttled,
        }
    }

    fn throttled(&self) -> Option<f64> {
        let (since, was) = self.throttled?;
        let stood_still = cgroup::throttled()?.saturating_sub(was);
        let processors = Cpus::of_this_process().map_or(1, |cpus| cpus.count());
        let all = since.elapsed().as_secs_f64() * processors as f64;
        Some((stood_still.as_secs_f64() / all.max(f64::MIN_POSITIVE)).min(1.0))
    }
}

/// What all processors together spent since boot, in clock ticks (proc(5), `/proc/stat`).
#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    idle: u64,
    steal: u64,
    processors: usize,
}

impl Ticks {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let ticks: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
        // The fourth and fifth are idle, without and with a disk to wait for; the eighth is what the hypervisor gave to
        // others. The two after it are counted in the first two already.
        let idle = ticks.get(3)? + ticks.get(4)?;
        let processors = text.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
        Some(Self { all: ticks.iter().take(8).sum(), idle, steal: *ticks.get(7)?, processors })
    }
}

/// The CPU time of this process.
fn own_cpu() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Some(Duration::from_micros(micros.unsigned_abs()))
}

fn cpu_pressure() -> Option<f64> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let value = text.lines().next()?.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    value.parse::<f64>().ok().map(|percent| percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_from_the_line_of_all_processors() {
        let ticks = Ticks::parse("cpu  10 1 5 100 4 2 3 7 1 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n").unwrap();
        assert_eq!((ticks.all, ticks.idle, ticks.steal, ticks.processors), (132, 104, 7, 1));
        assert!(Ticks::parse("cpu 1 2\n").is_none());
    }

    #[test]
    fn a_process_that_has_nothing_to_do_with_it_is_seen() {
        let watch = MachineWatch::begin(&Network::shared());
        let mut other = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(600));
        let seen = watch.end(Duration::ZERO);
        other.kill().unwrap();
        other.wait().unwrap();
        // Half a core at least of however many there are, however busy.
        let processors = std::thread::available_parallelism().unwrap().get() as f64;
        assert!(seen.share().unwrap() > 0.3 / processors, "{seen:?}");
    }
}
