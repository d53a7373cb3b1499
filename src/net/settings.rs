//! The kernel's settings that decide what connections cost.

use std::{collections::BTreeMap, fs, path::Path};

/// Their paths below `/proc/sys`. Those of `net` belong to a network namespace each.
const NAMES: [&str; 13] = [
    "kernel/io_uring_disabled",
    "kernel/sched_autogroup_enabled",
    "net/core/somaxconn",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_local_reserved_ports",
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_fin_timeout",
    "net/ipv4/tcp_max_tw_buckets",
    "net/ipv4/tcp_no_metrics_save",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_tw_reuse",
    "net/ipv4/tcp_tw_reuse_delay",
    "net/ipv4/tcp_wmem",
];

/// Those that this process sees, by their paths below `/proc/sys`.
pub fn settings() -> BTreeMap<String, String> {
    NAMES.iter().filter_map(|name| Some(((*name).to_owned(), setting(name)?))).collect()
}

/// One by its path below `/proc/sys`, with single spaces; `None` where it is not there, or empty.
pub fn setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}
