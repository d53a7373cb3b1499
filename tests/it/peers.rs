//! Servers and clients for the tests: the backends' own, and raw ones that misbehave on purpose.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ioduel::{
    backend::Backend,
    load::{Extent, Load, LoadPlan, LoadRun},
    net::{ListenAt, listen},
    protocol::{Framing, ProtocolError, Shape, text},
    service::{Served, ServerConfig, Service},
};
use socket2::SockRef;

/// A backend's server, in this process.
pub(crate) struct Server {
    pub(crate) destinations: Vec<SocketAddr>,
    service: Arc<Service>,
    thread: JoinHandle<io::Result<()>>,
}

impl Server {
    pub(crate) fn start(backend: &'static dyn Backend, framing: Framing) -> Self {
        let listening = listen(ListenAt::Loopback).unwrap();
        let service =
            Service::new(ServerConfig { framing, workers: None, burn_ns: 0 }, &listening.listener).unwrap();
        let theirs = Arc::clone(&service);
        let thread = thread::spawn(move || backend.serve(listening.listener, &theirs));
        Self { destinations: listening.destinations, service, thread }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.destinations[0]
    }

    /// What it has done until now.
    pub(crate) fn served(&self) -> Served {
        self.service.served()
    }

    pub(crate) fn stop(self) -> Served {
        self.service.stop();
        self.thread.join().unwrap().unwrap();
        self.service.served()
    }
}

pub(crate) const FIXED: Framing = Framing::Fixed { message_bytes: 16 };

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
    });
    backend.drive(&load).unwrap();
    load.result()
}

/// A client by hand, which checks what it gets, and fails rather than wait for ever.
pub(crate) struct RawClient(pub(crate) TcpStream);

impl RawClient {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn expect(&mut self, expected: &str) {
        let mut got = vec![0; expected.len()];
        self.0.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), expected);
    }

    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.0.read(&mut [0; 16]).unwrap(), 0, "the server closes");
    }

    /// One message of the session, and its reply.
    pub(crate) fn exchange(&mut self, n: u32) {
        self.send(text(n).as_bytes());
        self.expect(&format!("Re:{}", text(n)));
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        reset(self.0);
    }
}

pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Waits until something is so, and fails if it takes too long.
pub(crate) fn wait_until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A server by hand for 16-byte messages, which does `serve` with each of `connections` connections, one thread each.
pub(crate) fn raw_server(
    connections: usize,
    serve: impl Fn(usize, TcpStream) + Send + Sync + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        thread::scope(|scope| {
            for index in 0..connections {
                let (stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                let serve = &serve;
                scope.spawn(move || serve(index, stream));
            }
        });
    });
    (address, thread)
}

/// Reads one 16-byte message; `None` at the end.
pub(crate) fn read_message(stream: &mut TcpStream) -> Option<[u8; 16]> {
    let mut message = [0; 16];
    stream.read_exact(&mut message).ok().map(|()| message)
}

/// The reply to a message.
pub(crate) fn reply_to(message: &[u8]) -> Vec<u8> {
    [b"Re:", message].concat()
}

/// Answers every message as it should be.
pub(crate) fn answer_all(stream: &mut TcpStream) {
    while let Some(message) = read_message(stream) {
        if stream.write_all(&reply_to(&message)).is_err() {
            return;
        }
    }
}
