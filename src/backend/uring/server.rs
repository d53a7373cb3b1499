//! The server on a ring, one worker of it.

use std::{io, net::TcpListener, os::fd::AsFd as _, sync::Arc};

use slab::Slab;

use super::{
    link::Link,
    ring::{Accepting, Completion, Request, Ring, SetUp},
};
use crate::service::{AfterAcceptError, Connection, Service};

/// One worker. The ring is dropped first, and with that the kernel is done with the ends.
pub(super) struct Server<'a> {
    ring: Ring,
    open: Slab<Link<Connection>>,
    listener: TcpListener,
    accepting: Accepting,
    service: &'a Arc<Service>,
}

impl<'a> Server<'a> {
    pub(super) fn new(
        set_up: SetUp,
        accepting: Accepting,
        listener: TcpListener,
        service: &'a Arc<Service>,
    ) -> io::Result<Self> {
        Ok(Self { ring: Ring::new(set_up)?, open: Slab::new(), listener, accepting, service })
    }

    /// Serves until the service stops.
    pub(super) fn run(mut self) -> io::Result<()> {
        self.accept();
        let mut completions = Vec::new();
        while !self.service.is_stopping() {
            self.ring.turn(&mut completions)?;
            for it in completions.drain(..) {
                match it.request {
                    Request::Accept => self.accepted(it),
                    Request::Pause => self.accept(),
                    _ => self.completed(&it),
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        self.ring.accept(self.listener.as_fd(), self.accepting);
    }

    fn accepted(&mut self, it: Completion) {
        let is_last = it.is_last();
        let next = match it.accepted() {
            Ok(socket) => {
                let place = self.open.vacant_entry();
                let link = Link::new(Box::new(self.service.accepted()), place.key());
                place.insert(link).begin(socket, &mut self.ring);
                AfterAcceptError::Again
            }
            Err(error) => self.service.accept_failed(&error),
        };
        match next {
            AfterAcceptError::Again if is_last => self.accept(),
            AfterAcceptError::Again | AfterAcceptError::Stop => {}
            AfterAcceptError::Pause(pause) => self.ring.pause(pause),
        }
    }

    fn completed(&mut self, it: &Completion) {
        let Some(link) = self.open.get_mut(it.owner) else { return };
        if let Some(outcome) = link.completed(it, &mut self.ring) {
            self.open.remove(it.owner).end.ended(outcome);
        }
    }
}
