//! A network namespace of a run's own: nobody else's packets, ports, filters and settings are in it.
//!
//! Who may not make one as root makes it within a user namespace, where that is allowed (user_namespaces(7)).

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl::set_dumpable,
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
        },
    },
    unistd::{getgid, getuid},
};
use std::os::fd::AsRawFd as _;

/// Which network namespace a process moves to; written `own`, `beside:` and the number of a process, or as that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// A new one.
    New,
    /// A new one that belongs to the same user namespace as that of this process, so that a link can join both.
    Beside(u32),
    /// That of this process.
    Of(u32),
}

impl FromStr for Namespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("own", _) => Ok(Self::New),
            (_, Ok(process)) => Ok(Self::Of(process)),
            (text, _) if text.starts_with("beside:") => {
                let process = text["beside:".len()..].parse();
                process.map(Self::Beside).map_err(|_| format!("{text:?} names no process"))
            }
            _ => Err(format!("{text:?} is neither `own` nor the number of a process")),
        }
    }
}

impl Namespace {
    /// Moves this process there, which must have no other threads yet.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn enter(self) -> anyhow::Result<()> {
        match self {
            Self::New => enter_new(),
            Self::Beside(process) => join_user(process).and_then(|()| enter_new()).with_context(|| {
                format!("cannot make a second network namespace beside that of process {process}")
            }),
            Self::Of(process) => join(process).with_context(|| format!("cannot join process {process}")),
        }
    }
}

fn enter_new() -> anyhow::Result<()> {
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {}
        Err(Errno::EPERM) => {
            let (user, group) = (getuid(), getgid());
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
                .context("cannot make a network namespace, nor a user namespace for it")?;
            // The same number on both sides. Groups must be given up before theirs may be written (user_namespaces(7)).
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
            fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
            stay_visible()?;
        }
        Err(error) => return Err(error).context("cannot make a network namespace"),
    }
    let restricted = super::setting("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1");
    let advice = if restricted {
        "; AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root"
    } else {
        ""
    };
    loopback_up().with_context(|| format!("cannot bring its loopback interface up{advice}"))
}

fn join(process: u32) -> anyhow::Result<()> {
    join_user(process)?;
    setns(File::open(folder_of(process).join("net"))?, CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

/// Moves to the user namespace of a process, where that is another.
fn join_user(process: u32) -> anyhow::Result<()> {
    let user = folder_of(process).join("user");
    if fs::read_link(&user)? != fs::read_link("/proc/self/ns/user")? {
        setns(File::open(&user)?, CloneFlags::CLONE_NEWUSER)?;
        stay_visible()?;
    }
    Ok(())
}

fn folder_of(process: u32) -> PathBuf {
    Path::new("/proc").join(process.to_string()).join("ns")
}

/// Whoever changes its rights is hidden from others of its user (PR_SET_DUMPABLE, prctl(2)), and so could not be joined.
fn stay_visible() -> nix::Result<()> {
    set_dumpable(true)
}

/// Brings loopback up, which is the first interface of every network namespace: one request of rtnetlink(7).
fn loopback_up() -> anyhow::Result<()> {
    const IFF_UP: u32 = 1;
    const FIRST: i32 = 1;
    let kernel =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    // struct ifinfomsg: family, type, index, flags, and which flags are to change.
    let link = [&[0; 4][..], &FIRST.to_ne_bytes(), &IFF_UP.to_ne_bytes(), &IFF_UP.to_ne_bytes()].concat();
    sendto(kernel.as_raw_fd(), &request(RTM_NEWLINK, &link), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 256];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // struct nlmsgerr after the header: zero, or an error with its sign changed.
    let code = answer[..length].get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(Errno::from_raw(-error).into()),
        None => anyhow::bail!("the kernel answered {length} bytes"),
    }
}

/// The kind of request that changes an interface (linux/rtnetlink.h).
const RTM_NEWLINK: u16 = 16;

/// The length of a header in netlink(7), in bytes.
const HEADER: usize = 16;

/// A request that asks for an answer: struct nlmsghdr, and what is asked.
fn request(kind: u16, asked: &[u8]) -> Vec<u8> {
    const REQUEST_WITH_ANSWER: u16 = 0x1 | 0x4;
    let length = u32::try_from(HEADER + asked.len()).expect("a request of some bytes");
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &REQUEST_WITH_ANSWER.to_ne_bytes(), &[0; 8], asked]
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_written_as_own_or_as_a_process() {
        assert_eq!("own".parse(), Ok(Namespace::New));
        assert_eq!("17".parse(), Ok(Namespace::Of(17)));
        assert_eq!("beside:17".parse(), Ok(Namespace::Beside(17)));
        assert!("beside:me".parse::<Namespace>().is_err());
        assert!("lo".parse::<Namespace>().is_err());
    }

    #[test]
    fn a_request_has_the_length_that_it_says() {
        let request = request(RTM_NEWLINK, &[0; 16]);
        assert_eq!(request.len(), 32);
        assert_eq!(request[..4], 32_u32.to_ne_bytes());
    }
}
