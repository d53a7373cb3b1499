//! The one way in which a listening socket is made.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::Context as _;
use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::InterfaceFlags,
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{ports, setting};

/// The backlog of every listener.
///
/// std, mio, tokio, smol and async-std ask for 128 when they bind by themselves; 500 connects at once then stall
/// for seconds on retransmitted SYNs. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How many loopback addresses the destinations rotate over.
///
/// A client port can be used again for another destination while it is in TIME_WAIT for the first, so each address
/// adds a whole port range. 8 already lift the limit above what the kernel can do; 64 leave no doubt.
const DESTINATIONS: u8 = 64;

/// The device that a loopback listener is bound to.
const LOOPBACK_DEVICE: &str = "lo";

/// Where ports are looked for: below the ephemeral range of Linux, above what services are registered at.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ListenAt {
    /// A free port on every loopback address, unreachable from outside.
    Loopback,
    /// This address, and no other; port 0 means a free port, outside the ephemeral range if there is one.
    Address(SocketAddr),
}

/// A listening socket and how to reach it.
#[derive(Debug)]
pub struct Listening {
    /// Bound and listening, blocking, with TCP_NODELAY set, which accepted connections inherit on Linux.
    pub listener: TcpListener,
    /// The addresses that it accepts at; never empty.
    pub destinations: Vec<SocketAddr>,
    /// What this platform lacks, and what was done instead; one sentence each.
    pub fallbacks: Vec<String>,
}

/// Opens a listener.
///
/// # Errors
/// When the address cannot be bound; the error says what to do.
pub fn listen(at: ListenAt) -> anyhow::Result<Listening> {
    let mut listening = match at {
        ListenAt::Loopback => listen_on_loopback(LOOPBACK_DEVICE)?,
        ListenAt::Address(address) => listen_at(address)?,
    };
    listening.fallbacks.extend(backlog_fallback());
    listening.fallbacks.extend(ephemeral_fallback(&listening)?);
    Ok(listening)
}

/// Listens on every loopback address at once: a wildcard listener that only `device` can reach.
///
/// Linux allows SO_BINDTODEVICE without privilege on a socket that is not bound to a device yet (since 5.7). Where
/// it does not, one address has to do.
fn listen_on_loopback(device: &str) -> anyhow::Result<Listening> {
    anyhow::ensure!(
        loopback_is_up().unwrap_or(true),
        "the loopback interface is down, as in a new network namespace; `ip link set lo up`"
    );
    let socket = tcp_socket(Domain::IPV4)?;
    let (ip, fallback) = match socket.bind_device(Some(device.as_bytes())) {
        Ok(()) => (Ipv4Addr::UNSPECIFIED, None),
        Err(error) => (
            Ipv4Addr::LOCALHOST,
            Some(format!("listening on 127.0.0.1 alone: cannot bind to device {device}: {error}")),
        ),
    };
    let port = bind_to_free_port(&socket, ip.into())?;
    socket.listen(BACKLOG).context("cannot listen")?;
    let mut fallbacks: Vec<String> = fallback.into_iter().collect();
    let destinations = if ip.is_unspecified() { loopback_addresses() } else { vec![Ipv4Addr::LOCALHOST] };
    if destinations.len() == 1 && fallbacks.is_empty() {
        fallbacks.push("one destination: this machine has no loopback address but 127.0.0.1".to_owned());
    }
    let destinations = destinations.into_iter().map(|ip| SocketAddr::from((ip, port))).collect();
    Ok(Listening { listener: socket.into(), destinations, fallbacks })
}

/// Whether an interface of loopback is up and has an IPv4 address; `None` where the kernel does not tell.
pub fn loopback_is_up() -> Option<bool> {
    let is_up = |it: InterfaceAddress| {
        it.flags.contains(InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_UP)
            && it.address.is_some_and(|address| address.as_sockaddr_in().is_some())
    };
    Some(getifaddrs().ok()?.any(is_up))
}

/// Listens at one address.
fn listen_at(address: SocketAddr) -> anyhow::Result<Listening> {
    let socket = tcp_socket(Domain::for_address(address))?;
    if address.port() == 0 {
        bind_to_free_port(&socket, address.ip())?;
    } else {
        bind(&socket, address).with_context(|| bind_advice(address))?;
    }
    socket.listen(BACKLOG).with_context(|| bind_advice(address))?;
    let listener = TcpListener::from(socket);
    let local = listener.local_addr().context("a bound listener has an address")?;
    Ok(Listening { listener, destinations: vec![local], fallbacks: Vec::new() })
}

fn bind_advice(address: SocketAddr) -> String {
    format!("cannot listen on {address} (choose another with --listen)")
}

/// Makes a TCP socket with the options that all listeners have.
fn tcp_socket(domain: Domain) -> anyhow::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).context("cannot make a socket")?;
    // Connections of an earlier run in TIME_WAIT must not keep the port from us.
    socket.set_reuse_address(true).context("cannot set SO_REUSEADDR")?;
    socket.set_tcp_nodelay(true).context("cannot set TCP_NODELAY")?;
    Ok(socket)
}

/// Handles on one listener for so many workers: all wait in one queue.
///
/// # Errors
/// When descriptors run out.
pub fn share(listener: &TcpListener, workers: usize) -> io::Result<Vec<TcpListener>> {
    (0..workers).map(|_| listener.try_clone()).collect()
}

/// A listener for each of so many workers at the same address, with a queue each: the kernel chooses by a hash of both addresses
/// and ports (SO_REUSEPORT, socket(7)).
///
/// The first is the one that is given. That it gets the option behind its listen(2) is enough: `inet_csk_bind_conflict` looks at
/// it when another binds, and `reuseport_add_sock` then makes the group (net/ipv4/inet_connection_sock.c,
/// net/core/sock_reuseport.c).
///
/// # Errors
/// When descriptors run out, or the system has no such option.
pub fn spread(listener: &TcpListener, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = SockRef::from(listener);
    first.set_reuse_port(true)?;
    let (address, device) = (first.local_addr()?, first.device()?);
    let another = || {
        let socket = tcp_socket(Domain::for_address(listener.local_addr()?)).map_err(io::Error::other)?;
        socket.set_reuse_port(true)?;
        if let Some(device) = &device {
            socket.bind_device(Some(device))?;
        }
        socket.bind(&address)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    let others = (1..workers).map(|_| another());
    std::iter::once(listener.try_clone()).chain(others).collect()
}

fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.bind(&address.into())
}

/// Binds to a free port: outside the ephemeral range, where no client can already sit on it, if that leaves any.
fn bind_to_free_port(socket: &Socket, ip: IpAddr) -> anyhow::Result<u16> {
    let ephemeral = ports::ephemeral_range();
    let mut allowed: Vec<u16> = PORTS.filter(|port| !ephemeral.contains(port)).collect();
    if allowed.is_empty() {
        // Where all ports are clients' a free one has to do; the result says so.
        allowed = PORTS.collect();
    }
    // Runs that start together begin their search at different ports.
    let first = usize::try_from(RandomState::new().hash_one(std::process::id()) % 10_000)?;
    for turn in 0..allowed.len() {
        let port = allowed[(first + turn) % allowed.len()];
        match bind(socket, SocketAddr::new(ip, port)) {
            Ok(()) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(|| format!("cannot bind to {ip}:{port}")),
        }
    }
    anyhow::bail!("no free port on {ip} in {}–{}", PORTS.start, PORTS.end - 1)
}

/// The loopback addresses that answer here: 127.0.0.1 to 127.0.0.64 on Linux, one alone elsewhere.
pub(super) fn loopback_addresses() -> Vec<Ipv4Addr> {
    let all = (1..=DESTINATIONS).map(|last| Ipv4Addr::new(127, 0, 0, last));
    all.take_while(|ip| TcpListener::bind((*ip, 0)).is_ok()).collect()
}

/// Says so when the kernel cuts the backlog short.
fn backlog_fallback() -> Option<String> {
    let cap: i32 = setting("net/core/somaxconn")?.parse().ok()?;
    (cap < BACKLOG).then(|| format!("backlog {cap} instead of {BACKLOG}: raise net.core.somaxconn"))
}

/// Says so when the port was asked for and lies where clients' ports are taken from.
fn ephemeral_fallback(listening: &Listening) -> anyhow::Result<Option<String>> {
    let port = listening.listener.local_addr().context("a bound listener has an address")?.port();
    let ephemeral = ports::ephemeral_range();
    Ok(ephemeral.contains(&port).then(|| {
        format!(
            "port {port} lies in the ephemeral range {}–{}: a client may sit on it already",
            ephemeral.start(),
            ephemeral.end()
        )
    }))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_loopback_listener_answers_at_every_destination_with_nodelay() {
        let listening = listen(ListenAt::Loopback).unwrap();
        for destination in &listening.destinations {
            let _client = TcpStream::connect(destination).unwrap();
            let (accepted, _) = listening.listener.accept().unwrap();
            assert!(accepted.nodelay().unwrap(), "TCP_NODELAY is inherited from the listener");
        }
        assert!(!ports::ephemeral_range().contains(&listening.destinations[0].port()));
    }

    #[test]
    fn connections_spread_over_listeners_of_one_address_and_not_over_handles_of_one() {
        for (listeners, several) in [(spread as fn(&_, _) -> _, true), (share, false)] {
            let listening = listen(ListenAt::Loopback).unwrap();
            let listeners: Vec<TcpListener> = listeners(&listening.listener, 4).unwrap();
            let destinations = listening.destinations.iter().cycle().take(200);
            let clients: Vec<_> = destinations.map(|to| TcpStream::connect(to).unwrap()).collect();
            let counts = listeners.iter().map(|listener| {
                listener.set_nonblocking(true).unwrap();
                std::iter::from_fn(|| listener.accept().ok()).count()
            });
            let counts: Vec<usize> = counts.collect();
            assert_eq!(counts.iter().sum::<usize>(), clients.len());
            assert_eq!(counts.iter().filter(|count| **count > 0).count() > 1, several, "{counts:?}");
        }
    }

    #[test]
    fn without_the_device_one_address_has_to_do_and_the_result_says_so() {
        let listening = listen_on_loopback("no-such-device").unwrap();
        assert_eq!(listening.destinations.len(), 1);
        assert!(listening.destinations[0].ip().is_loopback());
        assert!(listening.fallbacks[0].contains("no-such-device"), "{:?}", listening.fallbacks);
        TcpStream::connect(listening.destinations[0]).unwrap();
    }

    #[test]
    fn a_port_in_use_is_an_error_that_says_what_to_do() {
        let first = listen(ListenAt::Loopback).unwrap();
        let error = listen(ListenAt::Address(first.destinations[0])).unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("(choose another with --listen): Address already in use"), "{message}");
    }

    #[test]
    fn an_ephemeral_port_is_told() {
        let ephemeral = SocketAddr::from((Ipv4Addr::LOCALHOST, *ports::ephemeral_range().end()));
        if let Ok(listening) = listen(ListenAt::Address(ephemeral)) {
            assert!(listening.fallbacks.iter().any(|fallback| fallback.contains("ephemeral range")));
        }
    }
}
