//! The server's end of a connection: the session, the work of each message, and the counts of the service.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{Service, burn::burn, spend};
use crate::{
    protocol::{End, ProtocolError, ServerEnd, SessionError, Want},
    work::WorkKind,
};

/// The server's end of one accepted connection; drive it as an [`End`].
///
/// Dropping it ends it, so a runtime that drops its tasks loses no count.
#[derive(Debug)]
pub struct Connection {
    end: ServerEnd,
    service: Arc<Service>,
    /// Messages whose work was begun.
    worked_on: u64,
    /// What the reply to the current message waits for.
    pause: Option<Pause>,
}

/// What a reply waits for.
#[derive(Clone, Copy, Debug)]
enum Pause {
    Until(Instant),
    Offloaded(Duration),
}

impl Connection {
    pub(super) fn new(service: &Arc<Service>) -> Self {
        let end = ServerEnd::new(service.config.framing);
        Self { end, service: Arc::clone(service), worked_on: 0, pause: None }
    }

    /// Takes note of how the connection ended.
    pub fn ended(self, outcome: Result<(), SessionError>) {
        // What breaks because the server itself closes is no failure of the connection.
        if outcome.is_err() && !self.service.is_stopping() {
            self.service.failures.fetch_add(1, Relaxed);
        }
    }

    /// Does the work of the message that is answered next, or begins it, if that was not done.
    fn work(&mut self) {
        let message = self.end.message();
        if message.is_empty() || self.worked_on > self.end.messages() {
            return;
        }
        self.worked_on += 1;
        self.service.threads.answers();
        let Some(work) = self.service.config.work else { return };
        let time = work.of(message);
        match work.kind {
            WorkKind::Spin => spend(time),
            WorkKind::Block => thread::sleep(time),
            WorkKind::Wait => self.pause = Some(Pause::Until(Instant::now() + time)),
            WorkKind::Offload => self.pause = Some(Pause::Offloaded(time)),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.service.messages.fetch_add(self.end.messages(), Relaxed);
        self.service.open.fetch_sub(1, Relaxed);
    }
}

impl End for Connection {
    fn want(&mut self) -> Want<'_> {
        self.work();
        match self.pause {
            Some(Pause::Until(until)) => Want::Wait(until),
            Some(Pause::Offloaded(time)) => Want::Offload(time),
            None => self.end.want(),
        }
    }

    fn wrote(&mut self, n: usize) {
        self.end.wrote(n);
    }

    fn read(&mut self, n: usize, now: impl FnOnce() -> Instant) -> Result<(), ProtocolError> {
        self.end.read(n, now)?;
        if self.service.config.burn_ns > 0 && matches!(self.end.want(), Want::Write(_)) {
            burn(self.service.due(self.service.config.burn_ns));
        }
        Ok(())
    }

    fn woke(&mut self, now: Instant) {
        if let Some(Pause::Until(until)) = self.pause.take() {
            self.service.threads.woke(now.saturating_duration_since(until));
        }
    }

    fn eof(&mut self) -> Result<(), ProtocolError> {
        self.end.eof()
    }
}
