//! What on this machine would spoil a measurement, and what to do about it.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use serde::Serialize;

use crate::{
    backend,
    cgroup::{self, processors_of},
    environment::{Environment, line},
    net::{loopback_is_up, setting},
    placement::{Cpus, Machine},
};

/// The state of one thing that decides measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// The command or the deed that mends it; `None` when it is fine.
    pub mend: Option<String>,
}

impl Check {
    fn new(what: &'static str, found: impl Into<String>, mend: Option<&str>) -> Self {
        Self { what, found: found.into(), mend: mend.map(str::to_owned) }
    }
}

/// Whether a load can go over a link that delays and loses; nothing is wrong with a machine where it can't.
pub fn links(tried: anyhow::Result<()>) -> Check {
    let found = match tried {
        Ok(()) => "available (for --link)".to_owned(),
        Err(why) => format!("not available (needed for --link only): {why:#}"),
    };
    Check::new("links", found, None)
}

/// Looks at everything.
pub fn examine(environment: &Environment) -> Vec<Check> {
    vec![
        governor(environment),
        turbo(environment),
        smt(environment),
        load(),
        steal(),
        virtualisation(environment),
        quota(environment),
        tasks(),
        memory(environment),
        clock(),
        huge_pages(),
        network(environment),
        loopback(environment),
        descriptors(),
        somaxconn(environment),
        ports(environment),
        time_wait(environment),
        reuse(environment),
        conntrack(environment),
        io_uring(),
        processors(),
        affinity(),
        interrupts(),
        build(environment),
    ]
}

/// What was found wanting, in one line each.
pub fn warnings(checks: &[Check]) -> Vec<String> {
    let wanting =
        |check: &Check| check.mend.as_ref().map(|mend| format!("{}: {}; {mend}", check.what, check.found));
    checks.iter().filter_map(wanting).collect()
}

fn governor(environment: &Environment) -> Check {
    let found = environment.governors.join(", ");
    match found.as_str() {
        "" => Check::new("governor", "unknown (a virtual machine, or none)", None),
        "performance" => Check::new("governor", found, None),
        _ => Check::new("governor", found, Some("cpupower frequency-set --governor performance")),
    }
}

fn turbo(environment: &Environment) -> Check {
    match environment.turbo {
        None => Check::new("turbo", "unknown", None),
        Some(false) => Check::new("turbo", "off", None),
        Some(true) => {
            let mend = "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 > \
                        /sys/devices/system/cpu/cpufreq/boost";
            Check::new("turbo", "on: the clock follows the temperature", Some(mend))
        }
    }
}

fn smt(environment: &Environment) -> Check {
    match environment.smt {
        Some(true) => {
            let mend =
                "echo off > /sys/devices/system/cpu/smt/control, or give server and client whole cores";
            Check::new("SMT", "on: two processors may be one core", Some(mend))
        }
        Some(false) => Check::new("SMT", "off", None),
        None => Check::new("SMT", "unknown", None),
    }
}

fn load() -> Check {
    let text = line("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    let mend = (load > 0.5)
        .then_some("this slows what is measured; stop other programs, wait a minute and start again");
    Check::new("load", format!("{load:.2} over the last minute"), mend)
}

fn steal() -> Check {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).flat_map(str::parse).collect();
    let all: u64 = fields.iter().take(8).sum();
    let share = fields.get(7).map_or(0.0, |steal| *steal as f64 / all.max(1) as f64);
    let mend = (share > 0.01).then_some("ask for a machine with processors of its own");
    Check::new("steal", format!("{:.2}% since boot", share * 100.0), mend)
}

fn virtualisation(environment: &Environment) -> Check {
    if environment.virtual_machine {
        let vendor = environment.hypervisor.as_deref().unwrap_or("unnamed");
        let mend = "trust ratios, not absolute figures; measure again on bare metal";
        return Check::new("virtualisation", format!("a virtual machine ({vendor})"), Some(mend));
    }
    Check::new("virtualisation", "none seen", None)
}

fn quota(environment: &Environment) -> Check {
    let quota = environment.cgroup_cpu_max.as_deref().map_or(f64::INFINITY, processors_of);
    if quota.is_finite() {
        let mend =
            "give the control group cpu.max = max: what it has used up stands still until the next period";
        return Check::new("CPU quota", format!("{quota:.2} processors"), Some(mend));
    }
    Check::new("CPU quota", "none", None)
}

/// Agents, their workers, and what is around them, of a duel of all arms.
const TASKS: u64 = 400;

fn tasks() -> Check {
    let Some(limited) = cgroup::tasks() else { return Check::new("tasks", "not limited", None) };
    let mend = (limited.left() < TASKS).then_some(
        "give the control group pids.max = max: each arm has two processes, and each worker is a task",
    );
    Check::new("tasks", format!("{} now, at most {}", limited.now, limited.most), mend)
}

/// What a duel of all arms needs at most, with room: each has two processes of some MiB, and a record is read in memory.
const MEMORY_BYTES: u64 = 1 << 30;

fn memory(environment: &Environment) -> Check {
    let limit = environment.cgroup_memory_max.as_ref().and_then(|text| text.parse::<u64>().ok());
    let machine = environment.memory_kib.map(|kib| kib * 1024);
    let Some(bytes) = limit.into_iter().chain(machine).min() else {
        return Check::new("memory", "unknown", None);
    };
    let mend = (bytes < MEMORY_BYTES).then_some("allow 1 GiB (memory.max), or name fewer backends");
    Check::new("memory", format!("{} MiB", bytes >> 20), mend)
}

fn clock() -> Check {
    let source = line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let quick = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
    match source {
        None => Check::new("clock source", "unknown", None),
        Some(source) if quick.contains(&source.as_str()) => Check::new("clock source", source, None),
        Some(source) => {
            let mend = if cfg!(target_arch = "x86_64") {
                "boot with clocksource=tsc, if the machine has one that is stable: each reading is a system call"
            } else {
                "each reading may be a system call: trust ratios, not absolute latencies"
            };
            Check::new("clock source", source, Some(mend))
        }
    }
}

fn huge_pages() -> Check {
    let setting = line("/sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = setting.as_deref().and_then(|text| text.split_once('[')?.1.split_once(']'));
    Check::new("huge pages", chosen.map_or("unknown", |(chosen, _)| chosen), None)
}

fn network(environment: &Environment) -> Check {
    let found = environment.network.as_deref().unwrap_or("unknown");
    let mend = found.starts_with("shared: ").then_some(
        "allow network namespaces: run as root, or sysctl kernel.unprivileged_userns_clone=1 and \
         kernel.apparmor_restrict_unprivileged_userns=0; without, what others send is in the counters, and ports are shared",
    );
    Check::new("network", found, mend)
}

fn is_own(environment: &Environment) -> bool {
    environment.network.as_deref() == Some("own")
}

fn loopback(environment: &Environment) -> Check {
    match loopback_is_up() {
        Some(false) if is_own(environment) => {
            Check::new("loopback", "down here, up in a run's own network", None)
        }
        Some(true) => Check::new("loopback", "up", None),
        Some(false) => Check::new("loopback", "down", Some("ip link set lo up")),
        None => Check::new("loopback", "unknown", None),
    }
}

fn conntrack(environment: &Environment) -> Check {
    if is_own(environment) {
        return Check::new("connection tracking", "off in a run's own network", None);
    }
    let (count, most) =
        (number("net/netfilter/nf_conntrack_count"), number("net/netfilter/nf_conntrack_max"));
    match (count, most) {
        (Some(count), Some(most)) => {
            let mend = (count > most / 2).then_some("sysctl net.netfilter.nf_conntrack_max=1048576");
            Check::new("connection tracking", format!("{count} of {most} entries"), mend)
        }
        _ => Check::new("connection tracking", "not seen", None),
    }
}

fn descriptors() -> Check {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    let mend = (hard < 4096).then_some("ulimit -Hn 20000, as root or in /etc/security/limits.conf");
    Check::new("descriptors", format!("{hard} per process"), mend)
}

/// A setting of this process's own network.
fn number(name: &str) -> Option<u64> {
    setting(name)?.parse().ok()
}

/// A setting of the network that is measured in.
fn number_in(environment: &Environment, name: &str) -> Option<u64> {
    environment.settings.get(name)?.parse().ok()
}

fn somaxconn(environment: &Environment) -> Check {
    let cap = number_in(environment, "net/core/somaxconn");
    let mend = cap.is_none_or(|cap| cap < 4096).then_some("sysctl net.core.somaxconn=4096");
    Check::new("backlog", format!("at most {}", told(cap)), mend)
}

fn ports(environment: &Environment) -> Check {
    let of = |name: &str| environment.settings.get(name).cloned().unwrap_or_default();
    let range = of("net/ipv4/ip_local_port_range");
    let ends: Vec<u64> = range.split(' ').flat_map(str::parse).collect();
    let wide = matches!(ends[..], [first, last] if last.saturating_sub(first) >= 20_000 && first > 30_000);
    let mend = (!wide).then_some("sysctl net.ipv4.ip_local_port_range=\"32768 60999\"");
    let reserved = match of("net/ipv4/ip_local_reserved_ports") {
        none if none.is_empty() => String::new(),
        some => format!(", without {some}, which are reserved"),
    };
    Check::new("ephemeral ports", range + &reserved, mend)
}

fn time_wait(environment: &Environment) -> Check {
    let most = number_in(environment, "net/ipv4/tcp_max_tw_buckets");
    let now = if is_own(environment) { Some(0) } else { waiting() };
    let mend = if most.is_none_or(|most| most < 65_536) {
        Some("sysctl net.ipv4.tcp_max_tw_buckets=131072")
    } else {
        now.filter(|now| *now > 20_000)
            .map(|_| "wait a minute: they are of what ran before, and make ports dear")
    };
    Check::new("TIME_WAIT sockets", format!("{} now, at most {}", told(now), told(most)), mend)
}

/// Sockets in TIME_WAIT at this moment: the number behind `tw` in the line of TCP.
fn waiting() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/sockstat").ok()?;
    let words: Vec<&str> = text.lines().find(|line| line.starts_with("TCP:"))?.split(' ').collect();
    words.windows(2).find(|pair| pair[0] == "tw")?[1].parse().ok()
}

fn reuse(environment: &Environment) -> Check {
    let reuse = number_in(environment, "net/ipv4/tcp_tw_reuse");
    let mend = (!matches!(reuse, Some(1 | 2))).then_some("sysctl net.ipv4.tcp_tw_reuse=2");
    Check::new("TIME_WAIT reuse", told(reuse), mend)
}

/// Tried, not read off a setting: a filter may forbid what the setting allows, and who is root may do more.
fn io_uring() -> Check {
    let ring = backend::find("uring").ok();
    match ring.map(|it| it.available()) {
        None => Check::new("io_uring", "not tried", None),
        Some(Ok(())) => Check::new("io_uring", "works", None),
        Some(Err(why)) => {
            let why = why.to_string();
            let is_set = number("kernel/io_uring_disabled").is_some_and(|it| it > 0);
            let mend = if is_set {
                "sysctl kernel.io_uring_disabled=0"
            } else if why.contains("filter") {
                "allow io_uring_setup in the filter, which may be a container's"
            } else {
                "use Linux 5.19 or later, with io_uring"
            };
            Check::new("io_uring", why, Some(mend))
        }
    }
}

fn told(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

fn processors() -> Check {
    let Ok(allowed) = Cpus::of_this_process() else { return Check::new("processors", "unknown", None) };
    let cores = Machine::read().cores(allowed.numbers());
    let mend = (cores < 2)
        .then_some("use a machine with two cores, so that this program does not run beside what it measures");
    Check::new("processors", format!("{} available, of {cores} cores", allowed.count()), mend)
}

fn affinity() -> Check {
    match Cpus::cannot_pin() {
        None => Check::new("affinity", "works", None),
        Some(why) => Check::new(
            "affinity",
            why,
            Some("allow sched_setaffinity in the filter: without, the scheduler moves both sides about"),
        ),
    }
}

fn interrupts() -> Check {
    let machine = Machine::read();
    let allowed = Cpus::of_this_process().map(|cpus| cpus.numbers().to_vec()).unwrap_or_default();
    match (machine.busiest(), machine.quiet(&allowed)) {
        (Some(busiest), Some(quiet)) => {
            let found = format!("mostly on processor {busiest}; by default {quiet} is measured on");
            let mend = machine.share_a_core(busiest, quiet).then_some(
                "measure elsewhere (--server-cpus, --client-cpus), or move them: /proc/irq/*/smp_affinity",
            );
            Check::new("device interrupts", found, mend)
        }
        _ => Check::new("device interrupts", "none takes most", None),
    }
}

fn build(environment: &Environment) -> Check {
    let mend = (environment.profile != "release").then_some("build with cargo build --release");
    Check::new("build", environment.profile.clone(), mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_says_what_it_found() {
        let checks = examine(&Environment::read());
        assert!(checks.iter().all(|check| !check.what.is_empty() && !check.found.is_empty()), "{checks:?}");
        assert_eq!(warnings(&checks).len(), checks.iter().filter(|check| check.mend.is_some()).count());
    }

    #[test]
    fn what_spoils_a_measurement_comes_with_what_mends_it() {
        let bad = Environment {
            governors: vec!["powersave".to_owned()],
            turbo: Some(true),
            smt: Some(true),
            virtual_machine: true,
            profile: "debug".to_owned(),
            ..Environment::default()
        };
        let warnings = warnings(&examine(&bad));
        for word in ["cpupower", "no_turbo", "smt/control", "bare metal", "--release"] {
            assert!(warnings.iter().any(|warning| warning.contains(word)), "{word}: {warnings:?}");
        }
    }
}
