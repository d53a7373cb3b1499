//! The end of a link in the namespace of this process: one of a pair of virtual interfaces, shaped by netem.

use std::{net::Ipv4Addr, process::Command};

use anyhow::{Context as _, bail, ensure};
use caps::{CapSet, Capability};

use super::LinkShape;

/// Which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Where servers listen.
    Server,
    /// Where clients are.
    Client,
}

/// What the interface is called at both ends.
const INTERFACE: &str = "ioduel";

/// The kernel's settings in both namespaces, which are nobody else's: a session over a pair of interfaces holds its port for a minute
/// unless it may be taken out of TIME_WAIT early, which Linux does on loopback alone; and thousands come at once.
const SETTINGS: [(&str, &str); 5] = [
    ("net/ipv4/tcp_tw_reuse", "1"),
    ("net/ipv4/ip_local_port_range", "32768 65535"),
    ("net/ipv4/tcp_max_syn_backlog", "65535"),
    ("net/core/somaxconn", "65535"),
    ("net/ipv4/tcp_no_metrics_save", "1"),
];

impl Side {
    /// The address of this end.
    pub const fn address(self) -> Ipv4Addr {
        match self {
            Self::Server => Ipv4Addr::new(10, 83, 0, 1),
            Self::Client => Ipv4Addr::new(10, 83, 0, 2),
        }
    }
}

/// Makes this end of a link, in the network namespace of this process; with `peer`, the process in whose namespace the other end is
/// to be, also the pair.
///
/// # Errors
/// When `ip` or `tc` (iproute2) are missing or refuse, or the kernel has no netem.
pub fn make_end(side: Side, peer: Option<u32>, shape: &LinkShape) -> anyhow::Result<()> {
    hand_on_rights().context("cannot hand the right to shape a network on to a command")?;
    if let Some(peer) = peer {
        let pair = format!("link add {INTERFACE} type veth peer name {INTERFACE} netns {peer}");
        run("ip", &pair).context("cannot join two network namespaces")?;
    }
    run("ip", &format!("address add {}/30 dev {INTERFACE}", side.address()))?;
    if shape.loses() {
        // A burst that is cut into segments behind netem would be lost as a whole.
        run("ip", &format!("link set {INTERFACE} gso_max_segs 1"))?;
    }
    run("ip", &format!("link set {INTERFACE} up"))?;
    if !shape.is_plain() {
        let netem = format!("qdisc add dev {INTERFACE} root netem {}", shape.netem_words().join(" "));
        run("tc", &netem)
            .context("the link cannot be shaped; the kernel needs sch_netem: modprobe sch_netem")?;
    }
    for (setting, value) in SETTINGS {
        // Older kernels have some of them for the whole machine alone.
        let _ = std::fs::write(format!("/proc/sys/{setting}"), value);
    }
    Ok(())
}

/// Lets the commands that this process runs keep its right to administer the network: who is not root within a user namespace loses
/// it otherwise as it starts another program (capabilities(7), "Ambient").
fn hand_on_rights() -> anyhow::Result<()> {
    for set in [CapSet::Inheritable, CapSet::Ambient] {
        caps::raise(None, set, Capability::CAP_NET_ADMIN)?;
    }
    Ok(())
}

/// Runs a command of iproute2, which is not on the path of every user.
fn run(program: &str, words: &str) -> anyhow::Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(words.split_whitespace())
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{program} is missing: install iproute2")
        }
        output => output.with_context(|| format!("cannot run {program}"))?,
    };
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {words}: {}",
        told.lines().next().unwrap_or("it failed").trim()
    );
    Ok(())
}
