//! A connection on a ring, of either side: what it asks of the ring, and what it makes of the answers.
//!
//! A receive is asked for once, and answered with whatever comes for as long as the connection lives. What comes before the
//! end wants it is held; when that gets too much, the receive is cancelled until it was taken. The end is not touched while
//! the kernel sends from it.

#![allow(unsafe_code)]

use std::{
    collections::VecDeque,
    io::{self, Read as _},
    os::fd::{AsFd as _, OwnedFd},
    time::Instant,
};

use nix::libc::{ECANCELED, ENOBUFS};

use super::ring::{Completion, Request, Ring};
use crate::protocol::{End, SessionError, Want};

/// How much is held before a peer that sends without waiting for replies is made to wait.
const HELD_BYTES: usize = 64 * 1024;

/// A connection on a ring.
pub(super) struct Link<E> {
    /// In a box, so that a link may move while the kernel sends from its end.
    pub(super) end: Box<E>,
    /// Whose the requests of this link are.
    owner: usize,
    state: State,
    /// How the session ended, once it has.
    outcome: Option<Result<(), SessionError>>,
    /// The kernel reads from the end.
    sending: bool,
    receiving: Receiving,
    /// What came and was not wanted yet.
    held: VecDeque<u8>,
    /// The peer has closed its side; told to the end after all that is held.
    peer_closed: bool,
}

/// How far a link is.
#[derive(Debug)]
enum State {
    Open(OwnedFd),
    Closing,
    /// Or not opened yet. Requests may still be under way.
    Closed,
}

/// Whether a receive is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    No,
    Yes,
    /// It is, and was told to end.
    Ending,
}

/// What came of a step.
enum Step {
    On,
    Waits,
    Over,
}

impl<E: End> Link<E> {
    /// Makes a link of no socket yet.
    pub(super) fn new(end: Box<E>, owner: usize) -> Self {
        Self {
            end,
            owner,
            state: State::Closed,
            outcome: None,
            sending: false,
            receiving: Receiving::No,
            held: VecDeque::new(),
            peer_closed: false,
        }
    }

    /// Begins a session on this socket; [`advance`](Self::advance) it once that is connected.
    pub(super) fn open(&mut self, socket: OwnedFd) {
        self.state = State::Open(socket);
        self.held.clear();
        self.peer_closed = false;
    }

    /// Takes an answer of the ring, and goes on as far as it can.
    pub(super) fn completed(&mut self, it: Completion, ring: &mut Ring) {
        let outcome = match it.request {
            Request::Receive => self.received(it, ring),
            Request::Send => self.sent(it),
            Request::Connect => it.result().map(drop).map_err(Into::into),
            Request::Close => {
                self.state = State::Closed;
                Ok(())
            }
            // What can't be cancelled any more ends by itself.
            Request::Accept | Request::Cancel | Request::Wait => return,
        };
        match outcome {
            Ok(()) => self.advance(ring),
            Err(error) => self.close(Err(error), ring),
        }
        if self.held.len() > HELD_BYTES {
            self.stop_receiving(ring);
        }
    }

    /// Takes how the session ended, once the socket is closed and the kernel is done with it.
    pub(super) fn take_outcome(&mut self) -> Option<Result<(), SessionError>> {
        let idle = !self.sending && self.receiving == Receiving::No;
        if idle && matches!(self.state, State::Closed) { self.outcome.take() } else { None }
    }

    /// Goes on until an answer is needed.
    pub(super) fn advance(&mut self, ring: &mut Ring) {
        while matches!(self.state, State::Open(_)) && !self.sending {
            match self.step(ring) {
                Ok(Step::On) => {}
                Ok(Step::Waits) => return,
                Ok(Step::Over) => self.close(Ok(()), ring),
                Err(error) => self.close(Err(error), ring),
            }
        }
    }

    fn step(&mut self, ring: &mut Ring) -> Result<Step, SessionError> {
        let State::Open(socket) = &self.state else { return Ok(Step::Waits) };
        match self.end.want() {
            Want::Write(bytes) => {
                // SAFETY: the bytes lie in the end, which is neither touched nor dropped while `sending` is set: `advance` and
                // `take` leave it alone, and links are dropped after their outcome was taken, or after their ring.
                unsafe { ring.send(socket.as_fd(), bytes, self.owner) };
                self.sending = true;
                return Ok(Step::Waits);
            }
            Want::Read(buffer) if !self.held.is_empty() => {
                let n = self.held.read(buffer)?;
                self.end.read(n, Instant::now)?;
            }
            Want::Read(_) if self.peer_closed => self.end.eof()?,
            Want::Read(_) => {
                if self.receiving == Receiving::No {
                    ring.receive(socket.as_fd(), self.owner);
                    self.receiving = Receiving::Yes;
                }
                return Ok(Step::Waits);
            }
            Want::Close => return Ok(Step::Over),
        }
        Ok(Step::On)
    }

    fn sent(&mut self, it: Completion) -> Result<(), SessionError> {
        self.sending = false;
        self.end.wrote(it.result()? as usize);
        Ok(())
    }

    fn received(&mut self, it: Completion, ring: &mut Ring) -> Result<(), SessionError> {
        if it.is_last() {
            self.receiving = Receiving::No;
        }
        let buffer = it.buffer();
        let outcome = match (it.result(), buffer) {
            (Ok(0), _) => {
                self.peer_closed = true;
                Ok(())
            }
            (Ok(n), Some(buffer)) => self.take(ring.inbox.bytes(buffer, n as usize)),
            (Ok(_), None) => Err(io::Error::other("the kernel received into no buffer").into()),
            // The receive is asked for again when something is wanted; by then there are buffers again.
            (Err(error), _) if [ECANCELED, ENOBUFS].map(Some).contains(&error.raw_os_error()) => Ok(()),
            (Err(error), _) => Err(error.into()),
        };
        // A buffer may come with an end or an error too.
        if let Some(buffer) = buffer {
            ring.inbox.give_back(buffer);
        }
        outcome
    }

    /// Gives the end what came, if it wants that now, and holds the rest.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), SessionError> {
        let free = self.held.is_empty() && !self.sending && matches!(self.state, State::Open(_));
        if free && let Want::Read(buffer) = self.end.want() {
            let n = bytes.read(buffer)?;
            self.end.read(n, Instant::now)?;
        }
        self.held.extend(bytes);
        Ok(())
    }

    /// Ends the session: closes the socket, and ends the requests that are under way.
    fn close(&mut self, outcome: Result<(), SessionError>, ring: &mut Ring) {
        let socket = match std::mem::replace(&mut self.state, State::Closing) {
            State::Open(socket) => socket,
            // It is over already.
            before => {
                self.state = before;
                return;
            }
        };
        self.outcome = Some(outcome);
        if self.sending {
            ring.cancel(Request::Send, self.owner);
        }
        self.stop_receiving(ring);
        ring.close(socket, self.owner);
    }

    fn stop_receiving(&mut self, ring: &mut Ring) {
        if self.receiving == Receiving::Yes {
            self.receiving = Receiving::Ending;
            ring.cancel(Request::Receive, self.owner);
        }
    }
}
