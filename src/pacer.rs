//! The one client of loads at a rate: sends each message when its time has come, whatever comes back.
//!
//! It is no backend. It has one thread on epoll, opens its connections before the round and keeps them to its end, and sends
//! first in, first out on each: a message whose time has come waits for the reply to the one before it on its connection.
//! Response time counts from when a message was to be sent, service time from when it was; what lies between is the wait for
//! its connection, and the lateness of the pacer itself.
//!
//! With a processor of its own it spins, and looks at the clock around the calls of each connection: where these took longer than
//! they ever do, the machine had taken the processor, and the messages that came due meanwhile are counted apart. Without one it sleeps
//! until the next message is due, by a timer among its descriptors (timerfd_create(2)), and is as late as that wakes it.
//!
//! Within a round nothing is allocated, and the only system calls are those of its sockets, and of the timer where it sleeps.

mod link;

use std::{
    io,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

use crate::{
    load::{Arrival, LatencyHistogram, LoadRun, OpenPlan, OpenRun},
    net::PortLimit,
    protocol::ProtocolError,
};
use link::Link;

/// The name of the pacer where a backend's stands: as the client of an arm.
pub const NAME: &str = "pacer";

/// What passes between two looks at the clock, in which one connection is served, and takes longer than this was not all of it
/// that: the processor was somebody else's meanwhile. Ten times what sending over loopback takes at most.
const STOOD_STILL: Duration = Duration::from_micros(100);

/// By how much longer that is for each byte of a reply, in nanoseconds: to read and to compare it takes a fifth of this.
const OF_A_BYTE_NS: u64 = 2;

/// How long the first replies of all connections may take before the round begins.
const UNTIL_ALL_ANSWER: Duration = Duration::from_secs(10);

/// Events that are taken from the kernel at a time.
const EVENTS: usize = 64;

/// The token of the timer; a connection has that of its place.
const TIMER: u64 = u64::MAX;

/// Paces a load to its end.
///
/// # Errors
/// When a connection cannot be opened, or a reply was wrong by one byte; one that fails later only leaves its messages without
/// replies.
pub fn pace(plan: &OpenPlan) -> anyhow::Result<LoadRun> {
    plan.check()?;
    let mut pacer = Pacer::prepare(plan)?;
    pacer.warm_up()?;
    pacer.run()?;
    Ok(pacer.result())
}

struct Pacer<'p> {
    plan: &'p OpenPlan,
    arrivals: Vec<Arrival>,
    /// The next arrival that is not due yet.
    next: usize,
    links: Vec<Link>,
    epoll: Epoll,
    events: [EpollEvent; EVENTS],
    timer: Timer,
    clock: Clock,
    books: Books,
}

/// What the timer is set to, and the timer.
struct Timer {
    descriptor: TimerFd,
    then: Option<Instant>,
}

/// The time of the round, and when the pacer stood still.
#[derive(Clone, Copy)]
struct Clock {
    begun: Instant,
    now: Instant,
    /// The last stretch in which it stood still.
    still: (Instant, Instant),
    /// What must have passed for that.
    stood_still: Duration,
    spins: bool,
}

/// What is counted.
struct Books {
    opens: Instant,
    closes: Instant,
    open: OpenRun,
    service: LatencyHistogram,
    /// Replies that came within the window.
    in_window: u64,
    in_all: u64,
    /// Replies to messages that came due while the pacer stood still, and count apart.
    apart: u64,
    /// Messages that are due and not answered, and will be.
    owed: u64,
    last_reply: Instant,
    failures: u64,
    first_failure: Option<String>,
}

impl Clock {
    /// Looks at the time, and takes note if that was long since.
    fn look(&mut self) -> Instant {
        let now = Instant::now();
        if self.spins && now - self.now > self.stood_still {
            self.still = (self.now, now);
        }
        self.now = now;
        now
    }

    /// Whether an instant lies in the last stretch in which the pacer stood still.
    fn stood_still_at(&self, instant: Instant) -> bool {
        (self.still.0..self.still.1).contains(&instant)
    }
}

impl<'p> Pacer<'p> {
    /// Draws the plan, and opens all connections, one after the other.
    fn prepare(plan: &'p OpenPlan) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(io::Error::from)?;
        let arrivals = plan.arrivals();
        let mut links = Vec::with_capacity(plan.connections);
        let edges = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        for index in 0..plan.connections {
            let link = Link::open(plan, index)?;
            epoll.add(link.stream(), EpollEvent::new(edges, index as u64)).map_err(io::Error::from)?;
            links.push(link);
        }
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let descriptor = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(io::Error::from)?;
        if !plan.spins {
            let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
            epoll.add(&descriptor, EpollEvent::new(edge, TIMER)).map_err(io::Error::from)?;
        }
        let begun = Instant::now();
        let opens = begun + Duration::from_millis(plan.ramp_ms);
        let closes = opens + Duration::from_millis(plan.window_ms);
        let window = (plan.ramp_ms * 1_000_000)..(plan.ramp_ms + plan.window_ms) * 1_000_000;
        let planned = arrivals.iter().filter(|it| window.contains(&it.at_ns)).count() as u64;
        Ok(Self {
            plan,
            arrivals,
            next: 0,
            links,
            epoll,
            events: [EpollEvent::empty(); EVENTS],
            timer: Timer { descriptor, then: None },
            clock: Clock {
                begun,
                now: begun,
                still: (begun, begun),
                stood_still: STOOD_STILL
                    + Duration::from_nanos(OF_A_BYTE_NS * plan.shape.reply_bytes() as u64),
                spins: plan.spins,
            },
            books: Books {
                opens,
                closes,
                open: OpenRun { planned, ..OpenRun::default() },
                service: LatencyHistogram::new(),
                in_window: 0,
                in_all: 0,
                apart: 0,
                owed: 0,
                last_reply: begun,
                failures: 0,
                first_failure: None,
            },
        })
    }

    /// Exchanges one message on every connection, all at once, so that the server has accepted them before the round begins; then
    /// begins it.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + UNTIL_ALL_ANSWER;
        let mut waiting = self.links.len();
        for connection in 0..self.links.len() {
            self.links[connection].takes(Arrival::NONE);
            self.links[connection].send(Instant::now())?;
        }
        while waiting > 0 {
            anyhow::ensure!(
                Instant::now() < deadline,
                "{waiting} connections have no reply before the round begins"
            );
            let count = match self.epoll.wait(&mut self.events, EpollTimeout::from(100_u8)) {
                Err(Errno::EINTR) => 0,
                outcome => outcome.map_err(io::Error::from)?,
            };
            for event in 0..count {
                let token = self.events[event].data();
                if token == TIMER {
                    continue;
                }
                match self.links[token as usize].receive() {
                    Ok(None) => {}
                    Ok(Some(_)) => {
                        self.links[token as usize].goes_on(Arrival::NONE, false, Instant::now());
                        waiting -= 1;
                    }
                    Err(link::Fault::Wrong(wrong)) => return Err(wrong.into()),
                    Err(link::Fault::Broken(error)) => {
                        self.fail(token as usize, &error);
                        waiting -= 1;
                    }
                }
            }
        }
        self.begin(Instant::now());
        Ok(())
    }

    /// Sets the time of the round.
    fn begin(&mut self, now: Instant) {
        self.clock = Clock { begun: now, now, still: (now, now), ..self.clock };
        self.books.opens = now + Duration::from_millis(self.plan.ramp_ms);
        self.books.closes = self.books.opens + Duration::from_millis(self.plan.window_ms);
        self.books.last_reply = now;
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let deadline = self.books.closes + Duration::from_millis(self.plan.drain_ms);
        loop {
            let now = self.look();
            self.send_what_is_due()?;
            let all_sent = self.next == self.arrivals.len();
            if now >= deadline || (all_sent && self.books.owed == 0 && now >= self.books.closes) {
                return Ok(());
            }
            self.wait(deadline)?;
        }
    }

    /// Looks at the clock, and adds up for how long the pacer stood still within the window.
    fn look(&mut self) -> Instant {
        let before = self.clock.still;
        let now = self.clock.look();
        if self.clock.still != before {
            let (from, to) = self.clock.still;
            let within = to.min(self.books.closes).saturating_duration_since(from.max(self.books.opens));
            self.books.open.stood_still_ns += u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
        }
        now
    }

    fn due(&self, arrival: usize) -> Instant {
        self.clock.begun + Duration::from_nanos(self.arrivals[arrival].at_ns)
    }

    fn send_what_is_due(&mut self) -> Result<(), ProtocolError> {
        while self.next < self.arrivals.len() && self.due(self.next) <= self.clock.now {
            let index = self.next;
            self.next += 1;
            let link = &mut self.links[self.arrivals[index].connection as usize];
            if !link.is_broken() {
                self.books.owed += 1;
            }
            if link.takes(index as u32) {
                self.send(index)?;
                self.look();
            }
        }
        Ok(())
    }

    /// Sends the arrival that is the first on its connection.
    fn send(&mut self, index: usize) -> Result<(), ProtocolError> {
        let due = self.due(index);
        let connection = self.arrivals[index].connection as usize;
        let now = self.clock.now;
        let link = &mut self.links[connection];
        let could_be_sent = due.max(link.free_since());
        let late = now.saturating_duration_since(could_be_sent);
        if self.books.counts(due) {
            if self.clock.stood_still_at(could_be_sent) {
                self.books.open.stalled.record(late);
                link.counts_apart();
            } else {
                self.books.open.lateness.record(late);
            }
        }
        if let Err(error) = link.send(now) {
            self.fail(connection, &error);
        }
        Ok(())
    }

    /// Waits for events: not at all where it spins, else until the next message is due, and works them off.
    fn wait(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let timeout = if self.plan.spins {
            EpollTimeout::ZERO
        } else {
            let next = match self.arrivals.get(self.next) {
                Some(_) => self.due(self.next),
                None if self.books.owed == 0 => self.books.closes,
                None => deadline,
            };
            self.timer.set(next.min(deadline))?;
            EpollTimeout::NONE
        };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => 0,
            outcome => outcome.map_err(io::Error::from)?,
        };
        self.look();
        for event in 0..count {
            let token = self.events[event].data();
            if token != TIMER {
                self.advance(token as usize)?;
                self.look();
            }
        }
        Ok(())
    }

    /// Takes what a connection has for us, and sends its next message if that was due.
    fn advance(&mut self, connection: usize) -> anyhow::Result<()> {
        match self.links[connection].receive() {
            Ok(None) => {}
            Ok(Some(sent)) => {
                let now = self.look();
                self.replied(connection, sent, now)?;
            }
            Err(link::Fault::Wrong(wrong)) => return Err(wrong.into()),
            Err(link::Fault::Broken(error)) => self.fail(connection, &error),
        }
        Ok(())
    }

    fn replied(&mut self, connection: usize, sent: Instant, now: Instant) -> Result<(), ProtocolError> {
        let Some(index) = self.links[connection].current() else { return Ok(()) };
        let due = self.due(index as usize);
        self.books.owed -= 1;
        self.books.in_all += 1;
        self.books.last_reply = now;
        if (self.books.opens..self.books.closes).contains(&now) {
            self.books.in_window += 1;
        }
        if self.links[connection].counted_apart() {
            self.books.apart += u64::from(self.books.counts(due));
        } else if self.books.counts(due) {
            self.books.open.response.record(now.saturating_duration_since(due));
            self.books.service.record(now.saturating_duration_since(sent));
        }
        let next = self.arrivals[index as usize].next;
        let is_due = (next as usize) < self.next;
        if self.links[connection].goes_on(next, is_due, now) {
            self.send(next as usize)?;
            self.look();
        }
        Ok(())
    }

    /// Takes note of a connection that failed: its messages stay without replies.
    fn fail(&mut self, connection: usize, error: &io::Error) {
        let Some(mut current) = self.links[connection].break_off() else { return };
        // Those that were due are not waited for.
        while (current as usize) < self.next {
            self.books.owed -= 1;
            current = self.arrivals[current as usize].next;
        }
        self.books.failures += 1;
        self.books.first_failure.get_or_insert_with(|| format!("connection {connection}: {error}"));
    }

    fn result(mut self) -> LoadRun {
        let Books { open, service, in_window, in_all, apart, last_reply, failures, first_failure, .. } =
            self.books;
        self.links.clear();
        let answered = open.response.count() + apart;
        LoadRun {
            sessions: 0,
            messages: in_window,
            messages_in_all: in_all,
            window_s: self.plan.window_ms as f64 / 1e3,
            elapsed_s: (last_reply - self.clock.begun).as_secs_f64(),
            connect: LatencyHistogram::new(),
            round_trip: service,
            session: LatencyHistogram::new(),
            close: LatencyHistogram::new(),
            unfinished: LatencyHistogram::new(),
            failures,
            first_failure,
            port_limit: PortLimit::towards(&self.plan.destinations),
            open: Some(Box::new(OpenRun { unfinished: open.planned - answered, ..open })),
        }
    }
}

impl Timer {
    fn set(&mut self, then: Instant) -> io::Result<()> {
        if self.then != Some(then) {
            // One of no time is none at all.
            let from_now = then.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let once = Expiration::OneShot(TimeSpec::from(from_now));
            self.descriptor.set(once, TimerSetTimeFlags::empty())?;
            self.then = Some(then);
        }
        Ok(())
    }
}

impl Books {
    /// Whether a message that was to be sent then counts.
    fn counts(&self, due: Instant) -> bool {
        (self.opens..self.closes).contains(&due)
    }
}

#[cfg(test)]
mod tests;
