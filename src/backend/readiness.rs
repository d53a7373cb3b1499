//! The event loops of the backends that poll for readiness themselves: all of them but the system calls.
//!
//! A backend says how it asks the kernel ([`Poller`]); the loops are the same. Each connection is registered once, for
//! all edges. A read that did not fill the buffer has emptied the socket, and what comes later makes an edge of its own
//! (epoll(7), question 9), so no second read is made to be told WouldBlock. Only the end of a stream makes no further
//! edge once it was reported: then reading goes on until it is reached.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use slab::Slab;

use crate::{
    load::Slot,
    protocol::{End, SessionError, Want},
    service::{AfterAcceptError, Connection, Service},
};

/// Events that are taken from the kernel at a time.
pub(super) const EVENTS: usize = 256;

/// The token of the listener; a connection has that of its place in the slab or among the slots.
pub(super) const LISTENER: usize = usize::MAX;

/// Reads that fill the buffer in one turn, before the others have theirs. Only a peer that sends without waiting for
/// replies ever makes that many.
pub(super) const FULL_READS_PER_TURN: u32 = 16;

/// How a backend asks the kernel; edge-triggered.
pub(super) trait Poller: Sized {
    /// A listening socket; accepting never waits.
    type Listener;
    /// A connected socket; reading and writing never wait.
    type Stream: Read + Write;

    /// Registers a stream for all its edges, under this token. Closing the stream takes it off again.
    fn add(&self, stream: &mut Self::Stream, token: usize) -> io::Result<()>;

    /// Waits for edges, at most until then, and puts each into `ready` with its token.
    fn wait(&mut self, until: Until, ready: &mut Vec<(usize, Ready)>) -> io::Result<()>;

    /// Accepts a connection.
    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;

    /// Begins to connect, with TCP_NODELAY; a failure may show only when something is sent.
    fn connect(to: SocketAddr) -> io::Result<Self::Stream>;
}

/// Until when to wait for edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Not at all: only what is there.
    Now,
    /// An instant.
    Then(Instant),
    /// An edge comes.
    Edge,
}

/// What an edge said of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// There may be something to read.
    pub readable: bool,
    /// The peer has closed its side, or the connection failed: what there is to read ends.
    pub closed: bool,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The next edge will tell when to go on.
    Waits,
    /// There may be more to do at once; others first.
    Again,
    /// Nothing is to be done before then, whatever edges say; and whether there may be something to read.
    Sleeps { until: Instant, readable: bool },
    /// The session is over; close the connection.
    Over,
}

/// Takes a session as far as the stream and fairness let it.
fn advance<S: Read + Write>(stream: &mut S, end: &mut impl End, ready: Ready) -> Result<Turn, SessionError> {
    let mut emptied = !ready.readable;
    let mut full_reads = 0;
    loop {
        match end.want() {
            Want::Write(bytes) => match stream.write(bytes) {
                Ok(n) => end.wrote(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Waits),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            },
            Want::Read(_) if emptied => return Ok(Turn::Waits),
            Want::Read(_) if full_reads == FULL_READS_PER_TURN => return Ok(Turn::Again),
            Want::Read(buffer) => {
                let room = buffer.len();
                match stream.read(buffer) {
                    Ok(0) => end.eof()?,
                    Ok(n) => {
                        emptied = n < room && !ready.closed;
                        full_reads += u32::from(n == room);
                        end.read(n, Instant::now)?;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Waits),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Want::Wait(until) => return Ok(Turn::Sleeps { until, readable: !emptied }),
            Want::Offload(_) => unreachable!("a loop by hand is not asked to offload"),
            Want::Close => return Ok(Turn::Over),
        }
    }
}

/// Waits for edges and hands each on; streams that were not done come again after the others.
struct Turns<P> {
    poller: P,
    ready: Vec<(usize, Ready)>,
    again: Vec<(usize, Ready)>,
}

impl<P: Poller> Turns<P> {
    fn new(poller: P) -> Self {
        Self { poller, ready: Vec::with_capacity(EVENTS), again: Vec::new() }
    }

    /// Waits, unless somebody is to come again; returns whose turn it is.
    fn next(&mut self, until: Option<Instant>) -> io::Result<Vec<(usize, Ready)>> {
        let until = if self.again.is_empty() { until.map_or(Until::Edge, Until::Then) } else { Until::Now };
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        self.poller.wait(until, &mut ready)?;
        ready.append(&mut self.again);
        Ok(ready)
    }

    /// Takes the list back, to be used again.
    fn done(&mut self, ready: Vec<(usize, Ready)>) {
        self.ready = ready;
    }
}

/// Serves at a listener that the poller knows, until the service stops.
pub(super) fn serve<P: Poller>(poller: P, listener: &P::Listener, service: &Arc<Service>) -> io::Result<()> {
    let turns = Turns::new(poller);
    Server { listener, service, turns, open: Slab::new(), timers: BinaryHeap::new(), accept_again: None }
        .run()
}

/// One worker of a server.
struct Server<'a, P: Poller> {
    listener: &'a P::Listener,
    service: &'a Arc<Service>,
    turns: Turns<P>,
    open: Slab<Open<P::Stream>>,
    /// When connections that sleep are to be woken, the first on top.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// When to accept again, after descriptors ran out; no edge will say.
    accept_again: Option<Instant>,
}

/// A connection that is open.
struct Open<S> {
    stream: S,
    connection: Connection,
    /// What there is to look at once it is woken; `None` while it does not sleep.
    asleep: Option<Ready>,
}

impl<P: Poller> Server<'_, P> {
    fn run(mut self) -> io::Result<()> {
        while !self.service.is_stopping() {
            let timer = self.timers.peek().map(|Reverse((then, _))| *then);
            let turns = self.turns.next(timer.into_iter().chain(self.accept_again).min())?;
            for &(token, ready) in &turns {
                match token {
                    LISTENER => self.accept(),
                    token => self.advance(token, ready),
                }
            }
            self.turns.done(turns);
            self.wake();
            if self.accept_again.is_some_and(|then| Instant::now() >= then) {
                self.accept();
            }
        }
        Ok(())
    }

    /// Accepts until nobody waits any more.
    fn accept(&mut self) {
        self.accept_again = None;
        loop {
            let error = match P::accept(self.listener) {
                Ok(stream) => match self.admit(stream) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => error,
            };
            match self.service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => return,
                AfterAcceptError::Pause(pause) => {
                    self.accept_again = Some(Instant::now() + pause);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, mut stream: P::Stream) -> io::Result<()> {
        let place = self.open.vacant_entry();
        self.turns.poller.add(&mut stream, place.key())?;
        place.insert(Open { stream, connection: self.service.accepted(), asleep: None });
        Ok(())
    }

    /// Wakes those whose time has come.
    fn wake(&mut self) {
        while let Some(Reverse((then, token))) = self.timers.peek().copied() {
            let now = Instant::now();
            if then > now {
                return;
            }
            self.timers.pop();
            let Some(open) = self.open.get_mut(token) else { continue };
            let Some(ready) = open.asleep.take() else { continue };
            open.connection.woke(now);
            self.advance(token, ready);
        }
    }

    fn advance(&mut self, token: usize, ready: Ready) {
        let Some(Open { stream, connection, asleep }) = self.open.get_mut(token) else { return };
        if let Some(meanwhile) = asleep {
            // Whoever sleeps is not woken by an edge; what it told is looked at afterwards.
            meanwhile.readable |= ready.readable;
            meanwhile.closed |= ready.closed;
            return;
        }
        let outcome = match advance(stream, connection, ready) {
            Ok(Turn::Waits) => return,
            Ok(Turn::Again) => return self.turns.again.push((token, ready)),
            Ok(Turn::Sleeps { until, readable }) => {
                *asleep = Some(Ready { readable, ..ready });
                return self.timers.push(Reverse((until, token)));
            }
            Ok(Turn::Over) => Ok(()),
            Err(error) => Err(error),
        };
        self.open.remove(token).connection.ended(outcome);
    }
}

/// Drives slots until each is done.
pub(super) fn drive<P: Poller>(poller: P, slots: Vec<Slot>) -> io::Result<()> {
    let links: Vec<Link<P>> =
        slots.into_iter().map(|slot| Link { slot, stream: None, connected: false }).collect();
    Client { running: links.len(), links, turns: Turns::new(poller) }.run()
}

/// One worker of a client.
struct Client<P: Poller> {
    turns: Turns<P>,
    links: Vec<Link<P>>,
    /// How many of them still run sessions.
    running: usize,
}

/// A slot and the connection of its current session.
struct Link<P: Poller> {
    slot: Slot,
    stream: Option<P::Stream>,
    connected: bool,
}

impl<P: Poller> Client<P> {
    fn run(mut self) -> io::Result<()> {
        (0..self.links.len()).for_each(|token| self.begin(token));
        while self.running > 0 {
            let turns = self.turns.next(None)?;
            turns.iter().for_each(|&(token, ready)| self.advance(token, ready));
            self.turns.done(turns);
        }
        Ok(())
    }

    /// Begins sessions in a slot until one is on its way, or there are no more.
    fn begin(&mut self, token: usize) {
        let link = &mut self.links[token];
        while let Some(destination) = link.slot.next_session() {
            match link.connect(destination, &self.turns.poller, token) {
                Ok(()) => return,
                Err(error) => link.end(Err(error)),
            }
        }
        self.running -= 1;
    }

    fn advance(&mut self, token: usize, ready: Ready) {
        let outcome = match self.links[token].advance(ready) {
            Ok(Turn::Waits) => return,
            Ok(Turn::Again) => return self.turns.again.push((token, ready)),
            Ok(Turn::Sleeps { .. }) => unreachable!("a client does not wait"),
            Ok(Turn::Over) => Ok(()),
            Err(error) => Err(error),
        };
        self.links[token].end(outcome);
        self.begin(token);
    }
}

impl<P: Poller> Link<P> {
    fn connect(&mut self, to: SocketAddr, poller: &P, token: usize) -> Result<(), SessionError> {
        let stream = self.stream.insert(P::connect(to)?);
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
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(poller.add(stream, token)?)
    }

    fn advance(&mut self, ready: Ready) -> Result<Turn, SessionError> {
        let Some(stream) = &mut self.stream else { return Ok(Turn::Waits) };
        if !self.connected && !ready.closed {
            self.slot.connected(Instant::now());
            self.connected = true;
        }
        advance(stream, &mut self.slot, ready)
    }

    fn end(&mut self, outcome: Result<(), SessionError>) {
        self.stream = None;
        self.slot.ended(outcome);
    }
}
