//! The kernel's counters of what must not happen while something is measured.

use std::{
    fs, io,
    ops::{Add, Sub},
};

use serde::{Deserialize, Serialize};

/// Counts since the network namespace began, or between two readings.
///
/// Any of them above zero within a measurement means that connections waited for a timer, not for a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelCounters {
    /// Connections dropped because an accept queue was full (`TcpExt: ListenOverflows`).
    pub listen_overflows: u64,
    /// Connections dropped at a listener for any reason (`TcpExt: ListenDrops`).
    pub listen_drops: u64,
    /// Retransmission timers that fired (`TcpExt: TCPTimeouts`).
    pub tcp_timeouts: u64,
    /// Segments sent again (`Tcp: RetransSegs`).
    pub retransmitted_segments: u64,
    /// Of these, probes for the loss of a tail (`TcpExt: TCPLossProbes`; RFC 8985, section 7).
    #[serde(default)]
    pub loss_probes: u64,
}

impl KernelCounters {
    /// Reads the counters of this process's network namespace.
    ///
    /// # Errors
    /// Where there is no `/proc`, or a counter is missing from it.
    pub fn read() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Reads the counters of the network namespace that a process is in.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the process is gone.
    pub fn of(process: u32) -> io::Result<Self> {
        let netstat = fs::read_to_string(format!("/proc/{process}/net/netstat"))?;
        let snmp = fs::read_to_string(format!("/proc/{process}/net/snmp"))?;
        Self::parse(&netstat, &snmp)
            .ok_or_else(|| io::Error::other("/proc/PID/net/netstat or snmp lacks a TCP counter"))
    }

    fn parse(netstat: &str, snmp: &str) -> Option<Self> {
        Some(Self {
            listen_overflows: counter(netstat, "TcpExt:", "ListenOverflows")?,
            listen_drops: counter(netstat, "TcpExt:", "ListenDrops")?,
            tcp_timeouts: counter(netstat, "TcpExt:", "TCPTimeouts")?,
            retransmitted_segments: counter(snmp, "Tcp:", "RetransSegs")?,
            loss_probes: counter(netstat, "TcpExt:", "TCPLossProbes").unwrap_or(0),
        })
    }

    /// Whether nothing happened.
    pub fn is_quiet(self) -> bool {
        self == Self::default()
    }

    /// The same without what a link that loses packets makes both ends do.
    pub fn without_losses(self) -> Self {
        Self { tcp_timeouts: 0, retransmitted_segments: 0, loss_probes: 0, ..self }
    }

    /// Whether nothing happened but probes. Who is stopped in the middle of a big message does not acknowledge what it has
    /// not read, so its peer's kernel probes a few milliseconds later, in a slice of another arm.
    pub fn is_quiet_but_for_probes(self) -> bool {
        let retransmitted_segments = self.retransmitted_segments.saturating_sub(self.loss_probes);
        Self { retransmitted_segments, loss_probes: 0, ..self }.is_quiet()
    }
}

impl Sub for KernelCounters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            listen_overflows: self.listen_overflows.saturating_sub(before.listen_overflows),
            listen_drops: self.listen_drops.saturating_sub(before.listen_drops),
            tcp_timeouts: self.tcp_timeouts.saturating_sub(before.tcp_timeouts),
            retransmitted_segments: self.retransmitted_segments.saturating_sub(before.retransmitted_segments),
            loss_probes: self.loss_probes.saturating_sub(before.loss_probes),
        }
    }
}

impl Add for KernelCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            listen_overflows: self.listen_overflows + other.listen_overflows,
            listen_drops: self.listen_drops + other.listen_drops,
            tcp_timeouts: self.tcp_timeouts + other.tcp_timeouts,
            retransmitted_segments: self.retransmitted_segments + other.retransmitted_segments,
            loss_probes: self.loss_probes + other.loss_probes,
        }
    }
}

/// How many TCP segments the network namespace of a process has sent until now (`Tcp: OutSegs`); `None` where it is not told.
pub fn segments_sent(process: u32) -> Option<u64> {
    counter(&fs::read_to_string(format!("/proc/{process}/net/snmp")).ok()?, "Tcp:", "OutSegs")
}

/// Finds one counter in a pair of lines, the first with the names and the second with the values.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let names = lines.next()?;
    let values = lines.next()?;
    let (_, value) = names.split_whitespace().zip(values.split_whitespace()).find(|(is, _)| *is == name)?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let netstat = "TcpExt: ListenOverflows TCPTimeouts ListenDrops\nTcpExt: 1 2 3\nIpExt: A\nIpExt: 9\n";
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: MaxConn RetransSegs\nTcp: -1 4\n";
        let counters = KernelCounters::parse(netstat, snmp).unwrap();
        let expected = KernelCounters {
            listen_overflows: 1,
            tcp_timeouts: 2,
            listen_drops: 3,
            retransmitted_segments: 4,
            loss_probes: 0,
        };
        assert_eq!(counters, expected);
        let probed =
            KernelCounters { retransmitted_segments: 4, loss_probes: 4, ..KernelCounters::default() };
        assert!(probed.is_quiet_but_for_probes() && !probed.is_quiet());
        assert!(!KernelCounters { loss_probes: 3, ..probed }.is_quiet_but_for_probes());
        assert!(!KernelCounters { tcp_timeouts: 1, ..probed }.is_quiet_but_for_probes());
        assert!((counters - counters).is_quiet());
        assert_eq!(KernelCounters::parse("TcpExt: ListenOverflows\n", snmp), None);
    }

    #[test]
    fn this_kernel_has_them_all() {
        KernelCounters::read().unwrap();
        segments_sent(std::process::id()).unwrap();
    }
}
