//! One connection slot of a load: runs sessions back to back and measures them.

use std::{
    net::SocketAddr,
    sync::{Arc, MutexGuard},
    time::Instant,
};

use super::{Load, Step, Tally, lock};
use crate::protocol::{ClientEnd, End, ProtocolError, SessionError, Want};

/// One connection slot. Its buffers serve all its sessions.
///
/// It is an [`End`]: between [`connected`](Self::connected) and [`ended`](Self::ended), drive it like one.
pub struct Slot {
    load: Arc<Load>,
    shard: usize,
    client: ClientEnd,
    /// From when to when this slot's results count; `None` when everything does.
    window: Option<(Instant, Instant)>,
    /// When the current session began, or the last one ended: a slot is never idle between two.
    began: Option<Instant>,
    destination: Option<SocketAddr>,
}

impl Slot {
    pub(super) fn new(load: Arc<Load>, index: usize) -> Self {
        let shard = index % load.shards.len();
        let client = ClientEnd::new(load.plan.shape);
        Self { load, shard, client, window: None, began: None, destination: None }
    }

    /// Begins the next session: says where to connect, or `None` when the load is over.
    pub fn next_session(&mut self) -> Option<SocketAddr> {
        let now = *self.began.get_or_insert_with(Instant::now);
        let session = self.load.take_session(now)?;
        self.window = self.load.window();
        self.client.begin(session, self.window.map(|(_, closes)| closes));
        self.destination = Some(self.load.destination(session));
        self.destination
    }

    /// Takes note that the connection stands since `now`.
    pub fn connected(&mut self, now: Instant) {
        self.client.connected(now);
        if self.counts(now)
            && let Some(began) = self.began
        {
            self.tally().connect.record(now.saturating_duration_since(began));
        }
        if let Some(destination) = self.destination {
            self.watch(|_| Step::Connected(destination));
        }
    }

    /// Takes note that the session is over and its connection closed.
    pub fn ended(&mut self, outcome: Result<(), SessionError>) {
        let now = Instant::now();
        let began = self.began.replace(now).unwrap_or(now);
        if let Err(error) = outcome {
            return self.load.failed(error);
        }
        let counts = self.counts(now) && self.client.completed();
        let mut tally = self.tally();
        if counts {
            tally.session.record(now.saturating_duration_since(began));
        }
        tally.last_end = Some(now);
        drop(tally);
        self.watch(|_| Step::Closed);
    }

    /// Whether what ended now falls into the window.
    fn counts(&self, now: Instant) -> bool {
        self.window.is_none_or(|(opens, closes)| (opens..closes).contains(&now))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.load.shards[self.shard])
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
        self.client.read(n, now)?;
        let Some(round_trip) = self.client.poll_round_trip() else { return Ok(()) };
        let counts = self.counts(round_trip.ended);
        let mut tally = self.tally();
        tally.messages_in_all += 1;
        if counts {
            tally.round_trip.record(round_trip.took);
        }
        drop(tally);
        self.watch(|client| Step::Received(client.reply()));
        Ok(())
    }

    fn eof(&mut self) -> Result<(), ProtocolError> {
        self.client.eof()
    }
}
