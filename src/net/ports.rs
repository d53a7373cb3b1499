//! How many sessions a second the kernel's port table allows.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{setting, settings};

/// How long a port rests in TIME_WAIT where it may not be used again early: `TCP_TIMEWAIT_LEN`, a constant of Linux.
const TIME_WAIT: Duration = Duration::from_secs(60);

/// How close to the limit a result may come, as a share of it, before it is flagged.
const SAFE_SHARE: f64 = 0.8;

/// The rate of sessions at which one client runs short of ports, so that `connect` and not the backend sets the pace.
///
/// A client that closes first leaves its port in TIME_WAIT for that destination. `connect` looks through the ports of
/// one parity first (`__inet_hash_connect` in net/ipv4/inet_hashtables.c); once these are all taken it walks all of
/// them for every connection, at more than thirty times the cost. So the limit is half the range, divided by the
/// time after which a port may be used again, for each destination.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortLimit {
    /// Ports in the ephemeral range, without those that are reserved.
    pub ports: u32,
    /// How long a port rests before it may be used again for the same destination, in seconds.
    pub rest_s: f64,
    /// Destinations that the client rotates over.
    pub destinations: u32,
}

impl PortLimit {
    /// Reads this machine's settings, for a client that rotates over these destinations.
    pub fn towards(destinations: &[SocketAddr]) -> Self {
        let loopback = destinations.iter().all(|destination| destination.ip().is_loopback());
        Self {
            ports: u32::try_from(ephemeral_ports()).unwrap_or(u32::MAX),
            rest_s: rest(tcp_setting("tcp_tw_reuse"), loopback).as_secs_f64(),
            destinations: u32::try_from(destinations.len()).unwrap_or(u32::MAX),
        }
    }

    /// The limit, in sessions per second.
    pub fn sessions_per_second(self) -> f64 {
        f64::from(self.ports) / 2.0 / self.rest_s * f64::from(self.destinations)
    }

    /// Whether a rate comes so near that the port table may have decided it.
    pub fn is_near(self, sessions_per_second: f64) -> bool {
        sessions_per_second > SAFE_SHARE * self.sessions_per_second()
    }
}

/// The ports that the kernel takes for clients; Linux's default where it cannot be read.
pub(super) fn ephemeral_range() -> RangeInclusive<u16> {
    range(setting(RANGE).as_ref())
}

const RANGE: &str = "net/ipv4/ip_local_port_range";

fn range(setting: Option<&String>) -> RangeInclusive<u16> {
    let parse = |text: &String| {
        let mut ends = text.split_whitespace().map(u16::from_str);
        Some(ends.next()?.ok()?..=ends.next()?.ok()?)
    };
    setting.and_then(parse).unwrap_or(32_768..=60_999)
}

/// How many ports the kernel takes for clients: not those that `ip_local_reserved_ports` keeps for others.
pub(super) fn ephemeral_ports() -> usize {
    ports_by(&settings())
}

/// The same, of the network that has these settings.
pub(super) fn ports_by(settings: &BTreeMap<String, String>) -> usize {
    let reserved = settings.get("net/ipv4/ip_local_reserved_ports").map_or("", String::as_str);
    without_reserved(&range(settings.get(RANGE)), reserved)
}

fn without_reserved(range: &RangeInclusive<u16>, reserved: &str) -> usize {
    let reserved: Vec<RangeInclusive<u16>> = reserved
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        })
        .collect();
    range.clone().filter(|port| !reserved.iter().any(|it| it.contains(port))).count()
}

/// How long a port in TIME_WAIT rests before it may be used again, as `tcp_tw_reuse` is set.
///
/// 1 allows it to all destinations and 2, the default, on loopback alone, after `tcp_tw_reuse_delay` milliseconds, which
/// was a constant 1 s before Linux 6.14 (`tcp_twsk_unique` in net/ipv4/tcp_ipv4.c).
fn rest(reuse: Option<u64>, loopback: bool) -> Duration {
    match reuse {
        Some(1) => Duration::from_millis(tcp_setting("tcp_tw_reuse_delay").unwrap_or(1000)),
        Some(2) if loopback => Duration::from_millis(tcp_setting("tcp_tw_reuse_delay").unwrap_or(1000)),
        _ => TIME_WAIT,
    }
}

fn tcp_setting(name: &str) -> Option<u64> {
    setting(&format!("net/ipv4/{name}"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_destination_at_linux_defaults_allows_fourteen_thousand_sessions_a_second() {
        let limit = PortLimit { ports: 28_232, rest_s: 1.0, destinations: 1 };
        assert_eq!(limit.sessions_per_second(), 14_116.0);
        assert!(limit.is_near(13_900.0));
        assert!(limit.is_near(11_400.0), "within 20 percent");
        assert!(!limit.is_near(11_200.0));
        assert!(!PortLimit { destinations: 64, ..limit }.is_near(25_000.0));
    }

    #[test]
    fn ports_that_are_reserved_are_no_clients() {
        let range = 32_768..=60_999;
        assert_eq!(without_reserved(&range, ""), 28_232);
        assert_eq!(without_reserved(&range, "80,33000-33999,60999"), 28_232 - 1001);
        assert_eq!(without_reserved(&range, "1-65535"), 0);
    }

    #[test]
    fn a_port_rests_for_a_minute_where_it_may_not_be_used_again() {
        assert_eq!(rest(Some(2), false), TIME_WAIT);
        assert_eq!(rest(Some(0), true), TIME_WAIT);
        assert_eq!(rest(None, true), TIME_WAIT);
        assert!(rest(Some(1), false) < TIME_WAIT && rest(Some(2), true) < TIME_WAIT);
    }
}
