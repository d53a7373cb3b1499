//! `mio`: an event loop per worker on mio's poll, the layer that tokio stands on.
//!
//! As mio's own documentation has it: register once for reading and writing, wait for the first writable event to
//! know that a connection stands. Several workers each register the listener with their own poll; a connection goes
//! to whichever accepts it first.

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use mio::{
    Events, Interest, Poll, Token,
    event::Event,
    net::{TcpListener, TcpStream},
};
use slab::Slab;

use super::{
    About, Backend, Maintenance, Model, Threading, on_threads,
    readiness::{Ready, Turn, advance},
};
use crate::{
    load::{Load, Slot},
    protocol::SessionError,
    service::{AfterAcceptError, Connection, Service},
};

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;

/// The token of the listener; connections have those of their place in the slab.
const LISTENER: Token = Token(usize::MAX);

pub(super) struct Mio;

static ABOUT: About = About {
    name: "mio",
    crate_name: Some("mio"),
    model: Model::Readiness,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    summary: "an event loop per worker on mio's poll",
};

impl Backend for Mio {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: std::net::TcpListener, service: &Arc<Service>) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let workers = ABOUT.workers(service.config().workers).map_err(io::Error::other)?;
        let listeners: io::Result<Vec<_>> = (0..workers).map(|_| listener.try_clone()).collect();
        on_threads(listeners?, |listener| ServerLoop::new(listener, service)?.run())
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let workers = ABOUT.workers(load.plan().workers).map_err(io::Error::other)?;
        on_threads(load.slots_for(workers), |slots| ClientLoop::new(slots)?.run())
    }
}

/// One worker of the server.
struct ServerLoop<'a> {
    poll: Poll,
    listener: TcpListener,
    service: &'a Arc<Service>,
    connections: Slab<(TcpStream, Connection)>,
    /// When to accept again, after descriptors ran out; no event will say.
    accept_again: Option<Instant>,
}

impl<'a> ServerLoop<'a> {
    fn new(listener: std::net::TcpListener, service: &'a Arc<Service>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { poll, listener, service, connections: Slab::new(), accept_again: None })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.service.is_stopping() {
            let pause = self.accept_again.map(|then| then.saturating_duration_since(Instant::now()));
            poll(&mut self.poll, &mut events, pause)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    token => self.advance(token, event),
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

    fn admit(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let place = self.connections.vacant_entry();
        register(&self.poll, &mut stream, Token(place.key()))?;
        place.insert((stream, self.service.accepted()));
        Ok(())
    }

    fn advance(&mut self, token: Token, event: &Event) {
        let Some((stream, connection)) = self.connections.get_mut(token.0) else { return };
        let outcome = advance(stream, connection, ready(event));
        if !matches!(outcome, Ok(Turn::Waits)) {
            // Dropping the stream closes it, which takes it off the poll.
            let (stream, connection) = self.connections.remove(token.0);
            drop(stream);
            connection.ended(outcome.map(drop));
        }
    }
}

/// One worker of the client.
struct ClientLoop {
    poll: Poll,
    links: Vec<Link>,
    /// How many of them still run sessions.
    running: usize,
}

/// A slot and the connection of its current session.
struct Link {
    slot: Slot,
    stream: Option<TcpStream>,
    connected: bool,
}

impl ClientLoop {
    fn new(slots: Vec<Slot>) -> io::Result<Self> {
        let links: Vec<Link> =
            slots.into_iter().map(|slot| Link { slot, stream: None, connected: false }).collect();
        let running = links.len();
        Ok(Self { poll: Poll::new()?, links, running })
    }

    fn run(mut self) -> io::Result<()> {
        (0..self.links.len()).for_each(|index| self.begin(Token(index)));
        let mut events = Events::with_capacity(EVENTS);
        while self.running > 0 {
            poll(&mut self.poll, &mut events, None)?;
            for event in &events {
                let token = event.token();
                match self.links[token.0].advance(event) {
                    Ok(Turn::Waits) => {}
                    outcome => {
                        self.links[token.0].end(outcome);
                        self.begin(token);
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins sessions in a slot until one is on its way, or there are no more.
    fn begin(&mut self, token: Token) {
        let link = &mut self.links[token.0];
        while let Some(destination) = link.slot.next_session() {
            match link.connect(destination, &self.poll, token) {
                Ok(()) => return,
                Err(error) => link.end(Err(error)),
            }
        }
        self.running -= 1;
    }
}

impl Link {
    fn connect(&mut self, to: SocketAddr, poll: &Poll, token: Token) -> Result<(), SessionError> {
        let stream = self.stream.insert(TcpStream::connect(to)?);
        stream.set_nodelay(true)?;
        self.connected = false;
        Ok(register(poll, stream, token)?)
    }

    fn advance(&mut self, event: &Event) -> Result<Turn, SessionError> {
        let Some(stream) = &mut self.stream else { return Ok(Turn::Waits) };
        if !self.connected {
            if let Some(error) = stream.take_error()? {
                return Err(error.into());
            }
            if !event.is_writable() {
                return Ok(Turn::Waits);
            }
            self.slot.connected(Instant::now());
            self.connected = true;
        }
        advance(stream, &mut self.slot, ready(event))
    }

    fn end(&mut self, outcome: Result<Turn, SessionError>) {
        self.stream = None;
        self.slot.ended(outcome.map(drop));
    }
}

fn register(poll: &Poll, stream: &mut TcpStream, token: Token) -> io::Result<()> {
    poll.registry().register(stream, token, Interest::READABLE | Interest::WRITABLE)
}

fn ready(event: &Event) -> Ready {
    let closed = event.is_read_closed() || event.is_error();
    Ready { readable: closed || event.is_readable(), closed }
}

/// Polls; an interrupted wait brings no events.
fn poll(poll: &mut Poll, events: &mut Events, timeout: Option<std::time::Duration>) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        outcome => outcome,
    }
}
