//! A connection on a ring, of either side: one request at a time, and what its answer makes the end want next.
//!
//! The kernel reads and writes where the end has its bytes, and nothing is copied. While a request is under way the end is not
//! touched; so none is under way when a session is over, and none has to be cancelled.

#![allow(unsafe_code)]

use std::{
    mem,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
    time::Instant,
};

use super::ring::{Completion, Request, Ring};
use crate::protocol::{End, SessionError, Want};

/// A connection on a ring.
pub(super) struct Link<E> {
    /// In a box, so that a link may move while the kernel has part of its end.
    pub(super) end: Box<E>,
    /// Whose the requests of this link are.
    owner: usize,
    /// Until it is closed.
    socket: Option<OwnedFd>,
    /// A request was made and not answered yet.
    under_way: bool,
    /// How the session ended, told once its socket is closed.
    outcome: Result<(), SessionError>,
}

impl<E: End> Link<E> {
    /// Makes a link of no socket yet.
    pub(super) fn new(end: Box<E>, owner: usize) -> Self {
        Self { end, owner, socket: None, under_way: false, outcome: Ok(()) }
    }

    /// Begins a session on a socket that is connected.
    pub(super) fn begin(&mut self, socket: OwnedFd, ring: &mut Ring) {
        self.socket = Some(socket);
        self.go_on(ring);
    }

    /// Begins a session on a socket that is yet to be connected.
    pub(super) fn connect(&mut self, socket: OwnedFd, to: SocketAddr, ring: &mut Ring) {
        ring.connect(socket.as_fd(), to, self.owner);
        self.socket = Some(socket);
        self.under_way = true;
    }

    /// Takes the answer to the request that was under way, and makes the next; returns how the session ended, once the socket
    /// is closed.
    pub(super) fn completed(&mut self, it: &Completion, ring: &mut Ring) -> Option<Result<(), SessionError>> {
        assert!(mem::take(&mut self.under_way), "{it:?} answers what was asked");
        if it.request == Request::Close {
            return Some(mem::replace(&mut self.outcome, Ok(())));
        }
        match self.take(it) {
            Ok(()) => self.go_on(ring),
            Err(error) => self.close(Err(error), ring),
        }
        None
    }

    fn take(&mut self, it: &Completion) -> Result<(), SessionError> {
        if it.request == Request::Sleep {
            // However it ended: a time that is over is told as an error, and one that was cancelled ends with its ring.
            self.end.woke(Instant::now());
            return Ok(());
        }
        let n = it.result()? as usize;
        match it.request {
            Request::Connect => {}
            Request::Send => self.end.wrote(n),
            Request::Receive if n == 0 => self.end.eof()?,
            Request::Receive => self.end.read(n, Instant::now)?,
            Request::Accept | Request::Cancel | Request::Close | Request::Pause | Request::Sleep => {
                unreachable!("{it:?} is no link's")
            }
        }
        Ok(())
    }

    /// Asks for what the end wants next.
    fn go_on(&mut self, ring: &mut Ring) {
        assert!(!self.under_way, "one request at a time");
        let Some(socket) = &self.socket else { return };
        match self.end.want() {
            // SAFETY: the bytes lie in the end, which stays where it is in its box. It is neither touched nor dropped before the
            // answer: nothing goes on while a request is under way, and links are dropped after their session, or after their
            // ring.
            Want::Write(bytes) => unsafe { ring.send(socket.as_fd(), bytes, self.owner) },
            // SAFETY: as above.
            Want::Read(buffer) => unsafe { ring.receive(socket.as_fd(), buffer, self.owner) },
            Want::Wait(until) => {
                ring.sleep(until.saturating_duration_since(Instant::now()), self.owner);
            }
            Want::Offload(_) => unreachable!("a loop by hand is not asked to offload"),
            Want::Close => return self.close(Ok(()), ring),
        }
        self.under_way = true;
    }

    fn close(&mut self, outcome: Result<(), SessionError>, ring: &mut Ring) {
        if let Some(socket) = self.socket.take() {
            self.outcome = outcome;
            ring.close(socket, self.owner);
            self.under_way = true;
        }
    }
}
