//! Shapes an interface of the namespace of this process by netem (tc-netem(8)), through `ip` and `tc` of iproute2.

use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use caps::{CapSet, Capability};

use super::LinkShape;

/// The first interface of every network namespace.
const LOOPBACK: &str = "lo";

/// The largest packet on the wire of most networks, in bytes. Loopback's own is 64 KiB, of which a loss would take fifty at once.
const LARGEST_PACKET_BYTES: u32 = 1500;

/// The kernel's settings in a namespace that is nobody else's: a session over a link holds its port for a minute unless it may be
/// taken out of TIME_WAIT early, which Linux does on loopback alone; and thousands come at once.
const SETTINGS: [(&str, &str); 5] = [
    ("net/ipv4/tcp_tw_reuse", "1"),
    ("net/ipv4/tcp_tw_reuse_delay", "100"),
    ("net/ipv4/ip_local_port_range", "30000 65535"),
    ("net/core/somaxconn", "65535"),
    // What the connections of one arm learnt of the link is nothing to those of the next.
    ("net/ipv4/tcp_no_metrics_save", "1"),
];

/// Makes the loopback of this process's namespace a link: half of the delay and of its jitter, and the whole loss, for each packet that
/// passes. Packets of both directions share the rate, which a link of two ends has in each.
///
/// # Errors
/// When `ip` or `tc` (iproute2) are missing or refuse, or the kernel has no netem.
pub fn shape_loopback(link: &LinkShape) -> anyhow::Result<()> {
    hand_on_rights()?;
    run("ip", &format!("link set {LOOPBACK} mtu {LARGEST_PACKET_BYTES}"))?;
    shape(LOOPBACK, link)?;
    apply_settings();
    // Whoever is started from here on does without the right.
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        caps::drop(None, set, Capability::CAP_NET_ADMIN)?;
    }
    Ok(())
}

/// Shapes what leaves by an interface; leaves it as it is for a plain link.
pub(super) fn shape(interface: &str, link: &LinkShape) -> anyhow::Result<()> {
    if link.is_plain() {
        return Ok(());
    }
    // netem counts, delays and loses what it is handed: segments, and no bursts that are cut up behind it.
    run("ip", &format!("link set {interface} gso_max_segs 1"))?;
    let netem = format!("qdisc add dev {interface} root netem {}", link.netem_words().join(" "));
    run("tc", &netem).context("the link cannot be shaped")
}

/// Sets what a namespace over a link needs. What can't be set stands in the record as it is.
pub(super) fn apply_settings() {
    for (setting, value) in SETTINGS {
        let _ = std::fs::write(format!("/proc/sys/{setting}"), value);
    }
}

/// Lets the commands that this process runs keep its right to administer the network: who is not root within a user namespace loses
/// it otherwise as it starts another program (capabilities(7), "Ambient").
pub(super) fn hand_on_rights() -> anyhow::Result<()> {
    let raise = |set| caps::raise(None, set, Capability::CAP_NET_ADMIN);
    [CapSet::Inheritable, CapSet::Ambient]
        .into_iter()
        .try_for_each(raise)
        .context("cannot pass CAP_NET_ADMIN on to the command that shapes the network")
}

/// Runs a command of iproute2, which is not on the path of every user.
pub(super) fn run(program: &str, words: &str) -> anyhow::Result<()> {
    let path = std::env::var("PATH").ok().filter(|path| !path.is_empty());
    let path = path.into_iter().chain(["/usr/sbin:/sbin".to_owned()]).collect::<Vec<_>>().join(":");
    let output = Command::new(program).args(words.split_whitespace()).env("PATH", path).output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{program} is missing: install iproute2")
        }
        output => output.with_context(|| format!("cannot run {program}"))?,
    };
    let told = String::from_utf8_lossy(&output.stderr);
    let advice = if told.contains("qdisc kind is unknown") {
        "; the kernel has no netem: modprobe sch_netem"
    } else {
        ""
    };
    let told = told.lines().next().unwrap_or("it failed").trim();
    ensure!(output.status.success(), "{program} {words}: {told}{advice}");
    Ok(())
}
