//! The end of a link in the namespace of this process: one of a pair of virtual interfaces, shaped by netem.

use std::net::Ipv4Addr;

use anyhow::Context as _;

use super::{
    LinkShape,
    netem::{apply_settings, hand_on_rights, run, shape},
};

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
pub fn make_end(role: Role, peer: Option<u32>, link: &LinkShape) -> anyhow::Result<()> {
    hand_on_rights()?;
    if let Some(peer) = peer {
        let [own, other] = [role, role.other()].map(Role::hardware_address);
        // By its number: a command without all of its rights may not open the namespace in /proc.
        let pair = format!(
            "link add {INTERFACE} address {own} type veth peer name {INTERFACE} address {other} netns {peer}"
        );
        run("ip", &pair).context("cannot join two network namespaces")?;
    }
    run("ip", &format!("address add {}/30 dev {INTERFACE}", role.address()))?;
    run("ip", &format!("link set {INTERFACE} up"))?;
    let other = role.other();
    let neighbour =
        format!("{} lladdr {} dev {INTERFACE} nud permanent", other.address(), other.hardware_address());
    run("ip", &format!("neighbour add {neighbour}"))?;
    shape(INTERFACE, link)?;
    apply_settings();
    Ok(())
}
