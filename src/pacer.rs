//! The one client of loads at a rate: sends each message when its time has come, whatever comes back.
//!
//! It is no backend. It has one thread on epoll, opens its connections before the round and keeps them beyond it, and sends
//! first in, first out on each: a message whose time has come waits for the reply to the one before it on its connection.
//! Response time counts from when a message was to be sent, service time from when it was; what lies between is the wait for
//! its connection, and the lateness of the pacer itself.
//!
//! With a processor of its own it spins, and looks at the clock around the calls of each connection: where these took longer than
//! they ever do, the machine had taken the processor, and the messages that came due meanwhile are counted apart. Without one it sleeps
//! until the next message is due, by a timer among its descriptors, and is as late as that wakes it.
//!
//! Within a round nothing is allocated, and the only system calls are those of its sockets, and of the timer where it sleeps.

mod clock;
mod counts;
mod link;
mod round;

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::ensure;
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use crate::{
    load::{Arrival, LoadRun, OpenPlan},
    net::Timer,
    net::connect_all,
};
use link::{Fault, Link};

/// The name of the pacer where a backend's stands: as the client of an arm.
pub const NAME: &str = "pacer";

/// How long the first replies of all connections may take.
const UNTIL_ALL_ANSWER: Duration = Duration::from_secs(10);

/// Events that are taken from the kernel at a time.
const EVENTS: usize = 64;

/// The token of the timer; a connection has that of its place.
const TIMER: u64 = u64::MAX;

/// A pacer whose connections are open, and that has its plan drawn: what a round needs, and nothing of it.
pub struct Pacer {
    plan: OpenPlan,
    arrivals: Vec<Arrival>,
    links: Vec<Link>,
    poller: Poller,
}

impl Pacer {
    /// Draws the plan, opens all connections, and exchanges one message on each, so that the server has accepted them.
    ///
    /// # Errors
    /// When a connection cannot be opened, or has no right reply.
    pub fn connect(plan: OpenPlan) -> anyhow::Result<Self> {
        plan.check()?;
        let poller = Poller::new(plan.spins)?;
        let to = &plan.destinations;
        let each: Vec<_> = (0..plan.own_connections()).map(|index| to[index % to.len()]).collect();
        let mut links = Vec::with_capacity(each.len());
        for (index, stream) in connect_all(&each)?.into_iter().enumerate() {
            let link = Link::new(&plan, index, stream)?;
            poller.add(&link, index)?;
            links.push(link);
        }
        let arrivals = plan.arrivals();
        let mut pacer = Self { plan, arrivals, links, poller };
        pacer.exchange_one()?;
        Ok(pacer)
    }

    /// Exchanges one message on every connection, all at once.
    fn exchange_one(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + UNTIL_ALL_ANSWER;
        for link in &mut self.links {
            link.takes(Arrival::NONE);
            link.send(Instant::now())?;
        }
        let mut waiting = self.links.len();
        while waiting > 0 {
            ensure!(Instant::now() < deadline, "{waiting} connections have no reply before the round begins");
            for event in 0..self.poller.wait(EpollTimeout::from(100_u8))? {
                let Some(connection) = self.poller.connection(event) else { continue };
                let link = &mut self.links[connection];
                match link.receive() {
                    Ok(None) => {}
                    Ok(Some(_)) => {
                        link.goes_on(Arrival::NONE, false, Instant::now());
                        waiting -= 1;
                    }
                    Err(Fault::Wrong(wrong)) => return Err(wrong.into()),
                    Err(Fault::Broken(error)) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Paces the load to its end; once.
    ///
    /// # Errors
    /// When a reply was wrong by one byte; a connection that fails only leaves its messages without replies.
    pub fn pace(&mut self) -> anyhow::Result<LoadRun> {
        round::pace(self)
    }
}

/// How the kernel is asked for what connections have.
struct Poller {
    epoll: Epoll,
    events: [EpollEvent; EVENTS],
    timer: Timer,
}

impl Poller {
    fn new(spins: bool) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = Timer::new()?;
        if !spins {
            epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TIMER))?;
        }
        Ok(Self { epoll, events: [EpollEvent::empty(); EVENTS], timer })
    }

    fn add(&self, link: &Link, index: usize) -> io::Result<()> {
        let edges = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.epoll.add(link.stream(), EpollEvent::new(edges, index as u64))?)
    }

    /// Waits for events; returns how many there are.
    fn wait(&mut self, timeout: EpollTimeout) -> io::Result<usize> {
        match self.epoll.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => Ok(0),
            outcome => Ok(outcome?),
        }
    }

    /// Waits for events until an instant.
    fn wait_until(&mut self, then: Instant) -> io::Result<usize> {
        self.timer.set(then)?;
        self.wait(EpollTimeout::NONE)
    }

    /// The connection that an event is of; `None` for the timer's.
    fn connection(&self, event: usize) -> Option<usize> {
        let token = self.events[event].data();
        (token != TIMER).then_some(token as usize)
    }
}

#[cfg(test)]
mod tests;
