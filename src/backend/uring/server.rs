//! The server on a ring, one worker of it.

use std::{io, net::TcpListener, os::fd::AsRawFd as _, sync::Arc};

use nix::sys::resource::{Resource, getrlimit};
use slab::Slab;

use super::{
    inbox::Inbox,
    link::Link,
    ring::{Completion, File, Request, Ring, SetUp},
};
use crate::{
    protocol::Framing,
    service::{AfterAcceptError, Connection, Service},
};

/// The most connections of a worker: what its table has room for.
const MOST_CONNECTIONS: u64 = 1 << 16;

/// Descriptors that the process has besides its connections. The ring's table is no larger than what the limit on
/// descriptors leaves, so that this limit means the same as elsewhere.
const OTHER_DESCRIPTORS: u64 = 16;

/// One worker. The ring is dropped first, and with that the kernel is done with the others.
struct Server<'a> {
    ring: Ring,
    inbox: Inbox,
    open: Slab<Link<Connection>>,
    listener: &'a TcpListener,
    service: &'a Arc<Service>,
}

/// Serves until the service stops.
pub(super) fn serve(set_up: SetUp, listener: &TcpListener, service: &Arc<Service>) -> io::Result<()> {
    let ring = Ring::new(set_up)?;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ring.make_table(limit.saturating_sub(OTHER_DESCRIPTORS).clamp(1, MOST_CONNECTIONS) as u32)?;
    let inbox = Inbox::new(&ring, longest_message(service.config().framing))?;
    Server { ring, inbox, open: Slab::new(), listener, service }.run()
}

fn longest_message(framing: Framing) -> usize {
    match framing {
        Framing::Fixed { message_bytes } => message_bytes,
        Framing::Chunk => crate::protocol::CHUNK_BYTES,
    }
}

impl Server<'_> {
    fn run(mut self) -> io::Result<()> {
        self.ring.accept(self.listener.as_raw_fd());
        let mut completions = Vec::new();
        while !self.service.is_stopping() {
            self.ring.turn(&mut completions)?;
            for it in &completions {
                match it.request {
                    Request::Accept => self.accepted(*it),
                    Request::Wait => self.ring.accept(self.listener.as_raw_fd()),
                    _ => self.completed(*it),
                }
            }
        }
        Ok(())
    }

    fn accepted(&mut self, it: Completion) {
        let next = match it.result() {
            Ok(slot) => {
                let place = self.open.vacant_entry();
                let mut link = Link::new(Box::new(self.service.accepted()), place.key());
                link.open(File::Slot(slot));
                place.insert(link).advance(&mut self.ring);
                AfterAcceptError::Again
            }
            Err(error) => self.service.accept_failed(&error),
        };
        match next {
            AfterAcceptError::Again if it.is_last() => self.ring.accept(self.listener.as_raw_fd()),
            AfterAcceptError::Again | AfterAcceptError::Stop => {}
            AfterAcceptError::Pause(pause) => self.ring.wait(pause),
        }
    }

    fn completed(&mut self, it: Completion) {
        let Some(link) = self.open.get_mut(it.owner) else { return };
        link.completed(it, &mut self.ring, &mut self.inbox);
        if let Some(outcome) = link.take_outcome() {
            self.open.remove(it.owner).end.ended(outcome);
        }
    }
}
