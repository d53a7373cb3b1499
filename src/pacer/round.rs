//! One round of a pacer: its loop.

use std::{
    io,
    time::{Duration, Instant},
};

use nix::sys::epoll::EpollTimeout;

use super::{Pacer, clock::Clock, counts::RoundCounts, link::Fault};
use crate::load::LoadRun;

/// Paces the load of a pacer to its end.
///
/// # Errors
/// When a reply was wrong by one byte, or epoll fails.
pub(super) fn pace(pacer: &mut Pacer) -> anyhow::Result<LoadRun> {
    let clock = Clock::begin(pacer.plan.spins, pacer.plan.shape.reply_bytes());
    let counts = RoundCounts::new(&pacer.plan, &pacer.arrivals, clock.begun());
    let mut round = Round { pacer, clock, counts, next: 0, owed: 0 };
    round.run()?;
    let Round { pacer, clock, counts, .. } = round;
    Ok(counts.close(&pacer.plan, clock.begun()))
}

struct Round<'p> {
    pacer: &'p mut Pacer,
    clock: Clock,
    counts: RoundCounts,
    /// The next arrival that is not due yet.
    next: usize,
    /// Messages that are due and not answered, and may still be.
    owed: u64,
}

impl Round<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        let deadline = self.counts.closes() + Duration::from_millis(self.pacer.plan.drain_ms);
        loop {
            let now = self.look();
            self.send_what_is_due();
            let is_done =
                self.next == self.pacer.arrivals.len() && self.owed == 0 && now >= self.counts.closes();
            if now >= deadline || is_done {
                return Ok(());
            }
            self.wait(deadline)?;
        }
    }

    /// Looks at the clock, and takes note if the pacer stood still since.
    fn look(&mut self) -> Instant {
        if let Some(still) = self.clock.look() {
            self.counts.stood_still(still);
        }
        self.clock.now()
    }

    fn due(&self, arrival: usize) -> Instant {
        self.clock.begun() + Duration::from_nanos(self.pacer.arrivals[arrival].at_ns)
    }

    fn send_what_is_due(&mut self) {
        while self.next < self.pacer.arrivals.len() && self.due(self.next) <= self.clock.now() {
            let index = self.next;
            self.next += 1;
            let link = &mut self.pacer.links[self.pacer.arrivals[index].connection as usize];
            self.owed += u64::from(!link.is_broken());
            if link.takes(index as u32) {
                self.send(index);
                self.look();
            }
        }
    }

    /// Sends the arrival that is the first on its connection.
    fn send(&mut self, index: usize) {
        let (due, now) = (self.due(index), self.clock.now());
        let connection = self.pacer.arrivals[index].connection as usize;
        let link = &mut self.pacer.links[connection];
        let could_be_sent = due.max(link.free_since());
        let apart = self.clock.stood_still_at(could_be_sent);
        self.counts.sent(due, now.saturating_duration_since(could_be_sent), apart);
        if let Err(error) = link.send_counted(now, apart) {
            self.fail(connection, &error);
        }
    }

    /// Waits for events: not at all where it spins, else until the next message is due, and works them off.
    fn wait(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let count = if self.pacer.plan.spins {
            self.pacer.poller.wait(EpollTimeout::ZERO)?
        } else {
            let next = match self.pacer.arrivals.get(self.next) {
                Some(_) => self.due(self.next),
                None if self.owed == 0 => self.counts.closes(),
                None => deadline,
            };
            self.pacer.poller.wait_until(next.min(deadline))?
        };
        self.look();
        for event in 0..count {
            if let Some(connection) = self.pacer.poller.connection(event) {
                self.advance(connection)?;
                self.look();
            }
        }
        Ok(())
    }

    /// Takes what a connection has for us, and sends its next message if that was due.
    fn advance(&mut self, connection: usize) -> anyhow::Result<()> {
        match self.pacer.links[connection].receive() {
            Ok(None) => {}
            Ok(Some(sent)) => self.replied(connection, sent),
            Err(Fault::Wrong(wrong)) => return Err(wrong.into()),
            Err(Fault::Broken(error)) => self.fail(connection, &error),
        }
        Ok(())
    }

    fn replied(&mut self, connection: usize, sent: Instant) {
        let now = self.look();
        let link = &self.pacer.links[connection];
        let Some(index) = link.current() else { return };
        self.owed -= 1;
        self.counts.replied(self.due(index as usize), sent, now, link.is_apart());
        let next = self.pacer.arrivals[index as usize].next;
        let is_due = (next as usize) < self.next;
        if self.pacer.links[connection].goes_on(next, is_due, now) {
            self.send(next as usize);
        }
    }

    /// Takes note of a connection that failed: its messages stay without replies.
    fn fail(&mut self, connection: usize, error: &io::Error) {
        let Some(mut current) = self.pacer.links[connection].break_off() else { return };
        // Those that were due are not waited for.
        while (current as usize) < self.next {
            self.owed -= 1;
            current = self.pacer.arrivals[current as usize].next;
        }
        self.counts.failed(|| format!("connection {connection}: {error}"));
    }
}
