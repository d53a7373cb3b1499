//! One connection of the pacer: one message at a time, the others in their order behind it.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use crate::{
    load::{Arrival, OpenPlan},
    protocol::{ClientEnd, End as _, ProtocolError, Want},
};

/// A connection, and the arrivals that are due on it.
pub(super) struct Link {
    stream: TcpStream,
    end: ClientEnd,
    /// The number in its texts, and by how much it grows when they begin anew.
    session: u64,
    step: u64,
    /// The arrival that is under way or waits for a reply to come; those behind it follow each other in the plan.
    current: Option<u32>,
    /// When its message was sent.
    sent: Instant,
    /// Since when nothing was under way.
    free_since: Instant,
    /// The message that is under way came due while the pacer stood still.
    apart: bool,
    /// The socket takes nothing more for now.
    is_full: bool,
    broken: bool,
}

/// Why a connection does not go on.
pub(super) enum Fault {
    /// A reply was wrong: the whole run is void.
    Wrong(ProtocolError),
    /// The connection failed.
    Broken(io::Error),
}

impl Link {
    /// Takes a connection that is open.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub(super) fn new(plan: &OpenPlan, index: usize, stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let now = Instant::now();
        let session = plan.session(index);
        let mut end = ClientEnd::new(plan.shape);
        end.begin(session, 1);
        end.connected(now);
        Ok(Self {
            stream,
            end,
            session,
            step: plan.connections as u64,
            current: None,
            sent: now,
            free_since: now,
            apart: false,
            is_full: false,
            broken: false,
        })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn free_since(&self) -> Instant {
        self.free_since
    }

    pub(super) fn current(&self) -> Option<u32> {
        self.current
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes an arrival that is due; whether it can be sent at once. It waits its turn behind another.
    pub(super) fn takes(&mut self, arrival: u32) -> bool {
        let is_free = self.current.is_none() && !self.broken;
        if is_free {
            self.current = Some(arrival);
        }
        is_free
    }

    /// Whether the message that is under way came due while the pacer stood still.
    pub(super) fn is_apart(&self) -> bool {
        self.apart
    }

    /// Sends the message that is next, which counts, or counts apart.
    pub(super) fn send_counted(&mut self, now: Instant, apart: bool) -> io::Result<()> {
        self.apart = apart;
        self.send(now)
    }

    /// Sends the message that is next.
    pub(super) fn send(&mut self, now: Instant) -> io::Result<()> {
        if self.end.is_over() {
            self.session += self.step;
            self.end.begin(self.session, 1);
        }
        self.end.connected(now);
        self.sent = now;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.is_full = false;
        while let Want::Write(bytes) = self.end.want() {
            match (&self.stream).write(bytes) {
                Ok(n) => self.end.wrote(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on after an edge; returns when the message was sent whose reply is whole now.
    pub(super) fn receive(&mut self) -> Result<Option<Instant>, Fault> {
        if self.broken {
            return Ok(None);
        }
        if self.is_full {
            self.write().map_err(Fault::Broken)?;
        }
        if self.current.is_none() {
            return self.listen();
        }
        while let Want::Read(buffer) = self.end.want() {
            let room = buffer.len();
            match (&self.stream).read(buffer) {
                Ok(0) => return Err(Fault::Broken(ErrorKind::UnexpectedEof.into())),
                Ok(n) => {
                    let sent = self.sent;
                    self.end.read(n, || sent).map_err(Fault::Wrong)?;
                    if self.end.poll_round_trip().is_some() {
                        return Ok(Some(sent));
                    }
                    if n < room {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(Fault::Broken(error)),
            }
        }
        Ok(None)
    }

    /// Looks what an edge is of while nothing is under way: the end, or bytes that nobody asked for.
    fn listen(&self) -> Result<Option<Instant>, Fault> {
        match self.stream.peek(&mut [0]) {
            Ok(0) => Err(Fault::Broken(ErrorKind::UnexpectedEof.into())),
            Ok(_) => Err(Fault::Broken(io::Error::other("a reply that nobody asked for"))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(Fault::Broken(error)),
        }
    }

    /// Goes on behind a reply; whether the next arrival is due, and to be sent now.
    pub(super) fn goes_on(&mut self, next: u32, is_due: bool, now: Instant) -> bool {
        self.free_since = now;
        let goes_on = next != Arrival::NONE && is_due;
        self.current = goes_on.then_some(next);
        goes_on
    }

    /// Gives it up; returns the arrival that was under way.
    pub(super) fn break_off(&mut self) -> Option<u32> {
        let first = !std::mem::replace(&mut self.broken, true);
        first.then(|| self.current.take().unwrap_or(Arrival::NONE))
    }
}
