//! The client on a ring, one worker of it.

use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    link::Link,
    ring::{Completion, Request, Ring, SetUp},
};
use crate::load::Slot;

/// One worker. The ring is dropped first, and with that the kernel is done with the ends.
struct Client {
    ring: Ring,
    links: Vec<Link<Slot>>,
    /// How many of them still run sessions.
    running: usize,
}

/// Drives slots until each is done.
pub(super) fn drive(set_up: SetUp, slots: Vec<Slot>) -> io::Result<()> {
    let ring = Ring::new(set_up)?;
    let slots = slots.into_iter().enumerate();
    let links: Vec<Link<Slot>> = slots.map(|(owner, slot)| Link::new(Box::new(slot), owner)).collect();
    Client { ring, running: links.len(), links }.run()
}

impl Client {
    fn run(mut self) -> io::Result<()> {
        (0..self.links.len()).for_each(|owner| self.begin(owner));
        let mut completions = Vec::new();
        while self.running > 0 {
            self.ring.turn(&mut completions)?;
            completions.iter().for_each(|it| self.completed(it));
        }
        Ok(())
    }

    /// Begins sessions in a slot until one is on its way, or there are no more.
    fn begin(&mut self, owner: usize) {
        let link = &mut self.links[owner];
        while let Some(destination) = link.end.next_session() {
            match socket_for(destination) {
                Ok(socket) => {
                    return link.connect(socket, destination, &mut self.ring);
                }
                Err(error) => link.end.ended(Err(error.into())),
            }
        }
        self.running -= 1;
    }

    fn completed(&mut self, it: &Completion) {
        let link = &mut self.links[it.owner];
        if it.request == Request::Connect && it.result().is_ok() {
            link.end.connected(Instant::now());
        }
        if let Some(outcome) = link.completed(it, &mut self.ring) {
            link.end.ended(outcome);
            self.begin(it.owner);
        }
    }
}

fn socket_for(destination: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(destination), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}
