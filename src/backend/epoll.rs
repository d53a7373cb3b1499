//! `epoll`: event loops by hand on the system calls, as lean as it gets: the floor that the others are held against.
//!
//! Edge-triggered, so that a connection costs one `epoll_ctl` in its life. Accepted sockets stay in blocking mode
//! and each call asks not to wait (`MSG_DONTWAIT`), which saves the call that would make them nonblocking. Several
//! workers share the listener, with EPOLLEXCLUSIVE: a connection wakes one of those that wait.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::Arc,
    time::Instant,
};

use nix::{
    errno::Errno,
    libc::EINPROGRESS,
    sys::{
        epoll::{Epoll as Poller, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::{MsgFlags, recv, send},
    },
};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    About, Backend, Maintenance, Model, Threading, on_threads,
    readiness::{Ready, Turn, advance},
};
use crate::{
    load::{Load, Slot},
    protocol::{End, SessionError, Want},
    service::{AfterAcceptError, Connection, Service},
};

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;

/// The token of the listener; connections have those of their place in the slab.
const LISTENER: u64 = u64::MAX;

/// What a connection is registered for, once and for all.
const CONNECTION_EVENTS: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

pub(super) struct Epoll;

static ABOUT: About = About {
    name: "epoll",
    crate_name: Some("nix"),
    model: Model::Readiness,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    summary: "by hand on the system calls: the floor",
};

impl Backend for Epoll {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let workers = ABOUT.workers(service.config().workers).map_err(io::Error::other)?;
        on_threads(vec![&listener; workers], |listener| ServerLoop::new(listener, service)?.run())
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let workers = ABOUT.workers(load.plan().workers).map_err(io::Error::other)?;
        on_threads(load.slots_for(workers), |slots| ClientLoop::new(slots)?.run())
    }
}

/// A connected socket that never waits, whatever mode it is in.
struct Stream(TcpStream);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One worker of the server.
struct ServerLoop<'a> {
    poller: Poller,
    listener: &'a TcpListener,
    service: &'a Arc<Service>,
    connections: Slab<(Stream, Connection)>,
    /// When to accept again, after descriptors ran out; no edge will say.
    accept_again: Option<Instant>,
}

impl<'a> ServerLoop<'a> {
    fn new(listener: &'a TcpListener, service: &'a Arc<Service>) -> io::Result<Self> {
        let poller = Poller::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET | EpollFlags::EPOLLEXCLUSIVE;
        poller.add(listener, EpollEvent::new(flags, LISTENER))?;
        Ok(Self { poller, listener, service, connections: Slab::new(), accept_again: None })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        while !self.service.is_stopping() {
            let count = wait(&self.poller, &mut events, self.accept_again)?;
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept()?,
                    token => self.advance(token as usize, ready(event)),
                }
            }
            if self.accept_again.is_some_and(|then| Instant::now() >= then) {
                self.accept()?;
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        self.accept_again = None;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => match self.service.accept_failed(&error) {
                    AfterAcceptError::Again => {}
                    AfterAcceptError::Stop => return Ok(()),
                    AfterAcceptError::Pause(pause) => {
                        self.accept_again = Some(Instant::now() + pause);
                        return Ok(());
                    }
                },
            }
        }
    }

    fn admit(&mut self, stream: TcpStream) -> io::Result<()> {
        let place = self.connections.vacant_entry();
        self.poller.add(&stream, EpollEvent::new(CONNECTION_EVENTS, place.key() as u64))?;
        place.insert((Stream(stream), self.service.accepted()));
        Ok(())
    }

    fn advance(&mut self, token: usize, ready: Ready) {
        let Some((stream, connection)) = self.connections.get_mut(token) else { return };
        let outcome = advance(stream, connection, ready);
        if !matches!(outcome, Ok(Turn::Waits)) {
            // Dropping the stream closes it, which takes it off the poller.
            let (stream, connection) = self.connections.remove(token);
            drop(stream);
            connection.ended(outcome.map(drop));
        }
    }
}

/// One worker of the client.
struct ClientLoop {
    poller: Poller,
    links: Vec<Link>,
    /// How many of them still run sessions.
    running: usize,
}

/// A slot and the connection of its current session.
struct Link {
    slot: Slot,
    stream: Option<Stream>,
    connected: bool,
}

impl ClientLoop {
    fn new(slots: Vec<Slot>) -> io::Result<Self> {
        let links: Vec<Link> =
            slots.into_iter().map(|slot| Link { slot, stream: None, connected: false }).collect();
        let running = links.len();
        Ok(Self { poller: Poller::new(EpollCreateFlags::EPOLL_CLOEXEC)?, links, running })
    }

    fn run(mut self) -> io::Result<()> {
        (0..self.links.len()).for_each(|token| self.begin(token));
        let mut events = [EpollEvent::empty(); EVENTS];
        while self.running > 0 {
            let count = wait(&self.poller, &mut events, None)?;
            for event in &events[..count] {
                let token = event.data() as usize;
                match self.links[token].advance(ready(event)) {
                    Ok(Turn::Waits) => {}
                    outcome => {
                        self.links[token].end(outcome);
                        self.begin(token);
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins sessions in a slot until one stands, or there are no more.
    fn begin(&mut self, token: usize) {
        while let Some(destination) = self.links[token].slot.next_session() {
            match self.links[token].connect(destination, &self.poller, token as u64) {
                Ok(()) => return,
                Err(error) => self.links[token].end(Err(error)),
            }
        }
        self.running -= 1;
    }
}

impl Link {
    fn connect(&mut self, to: SocketAddr, poller: &Poller, token: u64) -> Result<(), SessionError> {
        let stream = self.stream.insert(Stream(connect(to)?));
        // On loopback the handshake is done when connect(2) returns, and the first message can go out at once;
        // elsewhere sending it would have to wait, and the first edge tells when the connection stands.
        let stands = Instant::now();
        self.connected = false;
        if let Want::Write(bytes) = self.slot.want() {
            match stream.write(bytes) {
                Ok(n) => {
                    self.slot.connected(stands);
                    self.slot.wrote(n);
                    self.connected = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        poller.add(&stream.0, EpollEvent::new(CONNECTION_EVENTS, token)).map_err(io::Error::from)?;
        Ok(())
    }

    fn advance(&mut self, ready: Ready) -> Result<Turn, SessionError> {
        let Some(stream) = &mut self.stream else { return Ok(Turn::Waits) };
        if !self.connected && !ready.closed {
            self.slot.connected(Instant::now());
            self.connected = true;
        }
        advance(stream, &mut self.slot, ready)
    }

    fn end(&mut self, outcome: Result<Turn, SessionError>) {
        self.stream = None;
        self.slot.ended(outcome.map(drop));
    }
}

/// Begins to connect; by far most often that is done when this returns.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

fn ready(event: &EpollEvent) -> Ready {
    let is = |flags| event.events().intersects(flags);
    let closed = is(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
    Ready { readable: closed || is(EpollFlags::EPOLLIN), closed }
}

/// Waits for events, at most until a point in time.
fn wait(poller: &Poller, events: &mut [EpollEvent], until: Option<Instant>) -> io::Result<usize> {
    let timeout = match until {
        None => EpollTimeout::NONE,
        // One millisecond more, so that the time has come when the wait is over.
        Some(then) => {
            let rest = then.saturating_duration_since(Instant::now()).as_millis() as u16 + 1;
            EpollTimeout::from(rest)
        }
    };
    match poller.wait(events, timeout) {
        Err(Errno::EINTR) => Ok(0),
        outcome => Ok(outcome?),
    }
}
