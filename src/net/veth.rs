//! The end of a link in the namespace of this process: one of a pair of virtual interfaces, shaped by netem.

use std::{net::Ipv4Addr, process::Command};

use anyhow::{Context as _, bail, ensure};
use caps::{CapSet, Capability};

use super::LinkShape;

/// What an agent is in a measurement, and so at which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
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
    ("net/ipv4/tcp_tw_reuse_delay", "100"),
    ("net/ipv4/ip_local_port_range", "30000 65535"),
    ("net/core/somaxconn", "65535"),
    // What the connections of one arm learnt of the link is nothing to those of the next.
    ("net/ipv4/tcp_no_metrics_save", "1"),
];

impl Role {
    const fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    /// The hardware address of this end: known beforehand, so that nobody asks for it over a link that loses what is asked.
    const fn hardware_address(self) -> &'static str {
        match self {
            Self::Server => "02:00:00:00:00:01",
            Self::Client => "02:00:00:00:00:02",
        }
    }

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
pub fn make_end(role: Role, peer: Option<u32>, shape: &LinkShape) -> anyhow::Result<()> {
    hand_on_rights().context("cannot hand the right to shape a network on to a command")?;
    if let Some(peer) = peer {
        let [own, other] = [role, role.other()].map(Role::hardware_address);
        // By its number: a command without all of its rights may not open the namespace in /proc.
        let pair = format!(
            "link add {INTERFACE} address {own} type veth peer name {INTERFACE} address {other} netns {peer}"
        );
        run("ip", &pair).context("cannot join two network namespaces")?;
    }
    run("ip", &format!("address add {}/30 dev {INTERFACE}", role.address()))?;
    if !shape.is_plain() {
        // netem counts, delays and loses what it is handed: segments, and no bursts that are cut up behind it.
        run("ip", &format!("link set {INTERFACE} gso_max_segs 1"))?;
    }
    run("ip", &format!("link set {INTERFACE} up"))?;
    let other = role.other();
    let neighbour =
        format!("{} lladdr {} dev {INTERFACE} nud permanent", other.address(), other.hardware_address());
    run("ip", &format!("neighbour add {neighbour}"))?;
    if !shape.is_plain() {
        let netem = format!("qdisc add dev {INTERFACE} root netem {}", shape.netem_words().join(" "));
        run("tc", &netem).context("the link cannot be shaped")?;
    }
    for (setting, value) in SETTINGS {
        // Where one can't be set, what it is stands in the record.
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
