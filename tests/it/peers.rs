//! Servers and clients for the tests: the backends' own, in this process, and those of the conformance kit.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ioduel::{
    backend::Backend,
    conform::peers::RawClient,
    load::{Extent, Load, LoadPlan, LoadRun},
    net::{ListenAt, listen},
    protocol::{Framing, ProtocolError, Shape},
    service::{Served, ServerConfig, Service},
};

/// How long a test waits for what takes no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A backend's server, in this process.
pub(crate) struct Server {
    pub(crate) destinations: Vec<SocketAddr>,
    service: Arc<Service>,
    thread: JoinHandle<io::Result<()>>,
}

impl Server {
    pub(crate) fn start(backend: &'static dyn Backend, framing: Framing) -> Self {
        let listening = listen(ListenAt::Loopback).unwrap();
        let service = Service::new(ServerConfig::echoing(framing), &listening.listener).unwrap();
        let theirs = Arc::clone(&service);
        let thread = thread::spawn(move || backend.serve(listening.listener, &theirs));
        Self { destinations: listening.destinations, service, thread }
    }

    pub(crate) fn stop(self) -> Served {
        self.service.stop();
        self.thread.join().unwrap().unwrap();
        self.service.served()
    }
}

pub(crate) const FIXED: Framing = Framing::fixed(16);

/// Drives so many sessions with a backend's client, in this process.
pub(crate) fn drive(
    backend: &dyn Backend,
    destinations: &[SocketAddr],
    connections: usize,
    sessions: u64,
    shape: Shape,
) -> Result<LoadRun, ProtocolError> {
    let load = Load::new(LoadPlan {
        destinations: destinations.to_vec(),
        connections,
        shape,
        extent: Extent::Sessions(sessions),
        workers: None,
        seed: 0,
    })
    .unwrap();
    backend.drive(&load).unwrap();
    load.result()
}

/// Connects a client by hand, which fails rather than wait for ever.
pub(crate) fn connect(to: SocketAddr) -> RawClient {
    RawClient::connect(to, PATIENCE).unwrap()
}

/// Waits until something is so, and fails if it takes too long.
pub(crate) fn wait_until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
