//! One connection slot of a load: runs sessions back to back and measures them.

use std::{
    net::SocketAddr,
    sync::{Arc, MutexGuard},
    time::Instant,
};

use super::{Load, State, Step, Tally};
use crate::protocol::{ClientEnd, End, ProtocolError, RoundTrip, SessionError, Want};

/// One connection slot. Its buffers serve all its sessions.
///
/// It is an [`End`]: between [`connected`](Self::connected) and [`ended`](Self::ended), drive it like one.
///
/// All its times are the load's: in slices, active time. They leave no gap: a session begins when the one before is
/// closed, and is connecting, then waiting for one reply after the other, then closing.
pub struct Slot {
    load: Arc<Load>,
    client: ClientEnd,
    /// The message at which the next session begins, from 1.
    first_message: u32,
    /// From when to when the results of a timed load count.
    window: Option<(Instant, Instant)>,
    /// When the current session began, or the last one was closed: a slot is never idle between two.
    began: Option<Instant>,
    /// When the last reply of the current session came.
    replied: Option<Instant>,
    destination: Option<SocketAddr>,
}

impl Slot {
    pub(super) fn new(load: Arc<Load>, index: usize) -> Self {
        let client = ClientEnd::new(load.plan.shape);
        let first_message = load.plan.first_message(index);
        Self { load, client, first_message, window: None, began: None, replied: None, destination: None }
    }

    /// Begins the next session: says where to connect, or `None` when the load is over.
    pub fn next_session(&mut self) -> Option<SocketAddr> {
        let now = *self.began.get_or_insert_with(|| self.load.active(Instant::now()));
        let session = self.load.take_session(now)?;
        self.window = self.load.window();
        self.replied = None;
        self.client.begin(session, std::mem::replace(&mut self.first_message, 1));
        self.destination = Some(self.load.destination(session));
        self.destination
    }

    /// Takes note that the connection stands since `now`.
    pub fn connected(&mut self, now: Instant) {
        let now = self.load.active(now);
        self.client.connected(now);
        if let Some(began) = self.began {
            let counts = self.counts(now);
            let unfinished = self.unfinished(began, now);
            if counts || unfinished.is_some() {
                let mut tally = self.tally();
                if counts {
                    tally.connect.record(now.saturating_duration_since(began));
                }
                unfinished.into_iter().for_each(|age| tally.unfinished.record(age));
            }
        }
        if let Some(destination) = self.destination {
            self.watch(|_| Step::Connected(destination));
        }
    }

    /// Takes note that the session is over and its connection closed.
    pub fn ended(&mut self, outcome: Result<(), SessionError>) {
        let now = self.load.active(Instant::now());
        let began = self.began.replace(now).unwrap_or(now);
        if let Err(error) = outcome {
            if let Some(age) = self.unfinished(self.client.since().unwrap_or(began), now) {
                self.tally().unfinished.record(age);
            }
            return self.load.failed(error);
        }
        let closing = self.replied.filter(|_| self.counts(now));
        let mut tally = self.tally();
        if let Some(replied) = closing {
            tally.close.record(now.saturating_duration_since(replied));
        } else if cfg!(feature = "blind") && self.client.completed() && self.counts(now) {
            // Without replies that are timed, the session's end is that of its close.
            tally.session.record(now.saturating_duration_since(began));
        }
        tally.last_end = Some(now);
        drop(tally);
        self.watch(|_| Step::Closed);
    }

    /// Takes note of a reply, and of the end of its session if it was the last, or if the load is over.
    fn replied(&mut self, round_trip: RoundTrip) {
        let RoundTrip { took, ended } = round_trip;
        let counts = self.counts(ended);
        let unfinished = self.unfinished(ended - took, ended);
        if self.is_over(ended) {
            self.client.cut();
        }
        let completed = self.client.completed();
        let session = self.began.filter(|_| completed && counts);
        if self.client.is_over() {
            self.replied = Some(ended);
        }
        let (shard, mut tally) = self.load.tallies.mine();
        tally.messages_in_all += 1;
        if counts {
            tally.round_trip.record(took);
        }
        if let Some(began) = session {
            tally.session.record(ended.saturating_duration_since(began));
        }
        unfinished.into_iter().for_each(|age| tally.unfinished.record(age));
        if let Some(board) = &self.load.board {
            board.count_message(shard);
            if completed {
                board.count_session(shard);
            }
        }
    }

    /// Whether what ended now falls into the window.
    fn counts(&self, now: Instant) -> bool {
        match &self.load.board {
            Some(board) => board.state() == State::Open,
            None => self.window.is_none_or(|(opens, closes)| (opens..closes).contains(&now)),
        }
    }

    /// Whether the window has closed by now, and no further message is to be sent.
    fn is_over(&self, now: Instant) -> bool {
        match &self.load.board {
            Some(board) => board.state() == State::Over,
            None => self.window.is_some_and(|(_, closes)| now >= closes),
        }
    }

    /// How long what began at `since` and ends now had been under way when the window closed, if that was in between.
    fn unfinished(&self, since: Instant, now: Instant) -> Option<std::time::Duration> {
        let closes = match &self.load.board {
            Some(board) => board.closed()?,
            None => self.window?.1,
        };
        (since < closes && closes <= now).then(|| closes.saturating_duration_since(since))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.load.tallies.mine().1
    }

    fn watch<'a>(&'a self, step: impl FnOnce(&'a ClientEnd) -> Step<'a>) {
        if let Some(watcher) = &self.load.watcher {
            watcher(step(&self.client));
        }
    }
}

impl End for Slot {
    fn want(&mut self) -> Want<'_> {
        self.client.want()
    }

    fn wrote(&mut self, n: usize) {
        self.client.wrote(n);
        if self.load.watcher.is_some() && matches!(self.client.want(), Want::Read(_)) {
            self.watch(|client| Step::Sent(client.message()));
        }
    }

    fn read(&mut self, n: usize, now: impl FnOnce() -> Instant) -> Result<(), ProtocolError> {
        if cfg!(feature = "blind") {
            return self.client.read(n, || self.began.unwrap_or_else(now));
        }
        let load = &self.load;
        self.client.read(n, || load.active(now()))?;
        if let Some(round_trip) = self.client.poll_round_trip() {
            self.replied(round_trip);
            self.watch(|client| Step::Received(client.reply()));
        }
        Ok(())
    }

    fn eof(&mut self) -> Result<(), ProtocolError> {
        self.client.eof()
    }
}
