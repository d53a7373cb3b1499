//! What to serve ([`ServerConfig`]) and what came of it ([`Served`]): the server's side of [`crate::load`].
//!
//! A backend's server takes a [`Service`]: for each connection that it accepts it asks [`Service::accepted`] for a
//! [`Connection`], drives it as an [`End`], and reports [`Connection::ended`]; when accepting fails it asks
//! [`Service::accept_failed`] what to do. A fault of one connection stays with that connection.
//!
//! Absent from here: sockets but the listener's shutdown, and any loop of a backend.

mod burn;
mod threads;

use std::{
    io,
    net::{Shutdown, TcpListener},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use socket2::SockRef;

use crate::{
    protocol::{End, Framing, ProtocolError, ServerEnd, SessionError, Want},
    work::{Work, WorkKind},
};

use burn::burn;
pub use burn::spend;
use threads::ThreadTallies;
pub use threads::ThreadWork;

/// How long a server that is out of descriptors waits before it accepts again: long enough to cost next to nothing,
/// short enough not to be felt.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(20);

/// How long after the last connection ended the next is waited for, when a server settles.
const SETTLING: Duration = Duration::from_millis(200);

/// How to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// How messages are told apart.
    pub framing: Framing,
    /// Worker threads, where the backend has such; its default when absent.
    pub workers: Option<usize>,
    /// CPU time that is burnt for each message, in nanoseconds: a known handicap, to see whether the duel finds it.
    #[serde(default)]
    pub burn_ns: u64,
    /// What is done for each message beside echoing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

impl ServerConfig {
    /// Serves messages of this framing on the backend's own number of workers, and does nothing else.
    pub const fn echoing(framing: Framing) -> Self {
        Self { framing, workers: None, burn_ns: 0, work: None }
    }
}

/// What a server did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Connections accepted.
    pub connections: u64,
    /// Messages answered; without a last one whose reply had left, but was not told of, when the server stopped.
    pub messages: u64,
    /// Connections that ended before their time: reset, or closed inside a message.
    pub failures: u64,
    /// The most connections that were open at a time.
    pub most_open: u64,
}

/// What to do when accepting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAcceptError {
    /// Stop serving: that was asked for, or the listener is broken.
    Stop,
    /// Accept again at once: the fault was that connection's.
    Again,
    /// Accept again after this pause: descriptors or memory ran out.
    Pause(Duration),
}

/// A server being run: counts what it does, and tells it when to stop.
#[derive(Debug)]
pub struct Service {
    config: ServerConfig,
    /// Other handles on the listening sockets, to end a backend's accept from outside.
    listeners: Mutex<Vec<TcpListener>>,
    stopping: AtomicBool,
    /// Locked and told when `stopping` has been set, for those who sleep until then.
    told: (Mutex<()>, Condvar),
    accepted: AtomicU64,
    open: AtomicU64,
    most_open: AtomicU64,
    messages: AtomicU64,
    failures: AtomicU64,
    /// CPU time that is to be burnt and was not yet, in nanoseconds.
    owed_ns: AtomicU64,
    /// What each thread did.
    threads: ThreadTallies,
}

impl Service {
    /// Prepares to serve at a listener.
    ///
    /// # Errors
    /// When the listener's descriptor cannot be duplicated.
    pub fn new(config: ServerConfig, listener: &TcpListener) -> io::Result<Arc<Self>> {
        if config.work.is_some() || config.burn_ns > 0 {
            burn::prepare();
        }
        Ok(Arc::new(Self {
            config,
            listeners: Mutex::new(vec![listener.try_clone()?]),
            stopping: AtomicBool::new(false),
            told: Default::default(),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            most_open: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            owed_ns: AtomicU64::new(0),
            threads: ThreadTallies::new(),
        }))
    }

    /// Takes note of further listeners of the same address, which are shut down with the first.
    ///
    /// # Errors
    /// When their descriptors cannot be duplicated.
    pub fn listens_at_too(&self, listeners: &[TcpListener]) -> io::Result<()> {
        let others = listeners.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).extend(others);
        if self.is_stopping() {
            self.shut_down();
        }
        Ok(())
    }

    /// Shuts all listeners down; it fails only on sockets that are shut down already.
    fn shut_down(&self) {
        for listener in &*self.listeners.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        }
    }

    /// How to serve.
    pub fn config(&self) -> ServerConfig {
        self.config
    }

    /// Begins the server's end of a connection that was accepted.
    pub fn accepted(self: &Arc<Self>) -> Connection {
        self.accepted.fetch_add(1, Relaxed);
        let open = self.open.fetch_add(1, Relaxed) + 1;
        self.most_open.fetch_max(open, Relaxed);
        Connection {
            end: ServerEnd::new(self.config.framing),
            service: Arc::clone(self),
            worked_on: 0,
            pause: None,
        }
    }

    /// Says what to do after accepting failed.
    pub fn accept_failed(&self, error: &io::Error) -> AfterAcceptError {
        use nix::libc::{EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
        if self.is_stopping() {
            return AfterAcceptError::Stop;
        }
        match error.raw_os_error() {
            Some(EMFILE | ENFILE | ENOBUFS | ENOMEM) => AfterAcceptError::Pause(OUT_OF_DESCRIPTORS_PAUSE),
            // The listener was shut down behind our back.
            Some(EINVAL) => {
                self.stop();
                AfterAcceptError::Stop
            }
            // accept(2) reports faults of the connection that it would have returned, such as ECONNABORTED.
            _ => AfterAcceptError::Again,
        }
    }

    /// Whether the server is to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Sleeps until the server is to stop.
    pub fn wait_until_stopping(&self) {
        let (mutex, told) = &self.told;
        let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = told.wait_while(guard, |()| !self.is_stopping());
        drop(woken);
    }

    /// Waits for connections whose peers have closed to end here too, so that a server that is stopped now has counted them:
    /// until none is open, or there have not been fewer for a while. The peers of the rest are still there.
    pub fn settle(&self) {
        self.settle_within(SETTLING);
    }

    /// Settles, and waits so long for each fall.
    pub fn settle_within(&self, patience: Duration) {
        let (mut fewest, mut since) = (u64::MAX, Instant::now());
        while fewest > 0 && since.elapsed() < patience {
            let open = self.open.load(Relaxed);
            if open < fewest {
                (fewest, since) = (open, Instant::now());
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Tells the server to stop accepting, to close every connection, and to return.
    ///
    /// Shutting a listening socket down makes every pending and later accept fail with EINVAL, in whatever way a
    /// backend waits for it: `inet_shutdown` in net/ipv4/af_inet.c disconnects the socket and wakes all waiters.
    pub fn stop(&self) {
        if self.stopping.swap(true, Relaxed) {
            return;
        }
        drop(self.told.0.lock());
        self.told.1.notify_all();
        self.shut_down();
    }

    /// Owes so much more CPU time, and says how much of all that is owed is to be burnt now, in nanoseconds.
    fn due(&self, nanoseconds: u64) -> u64 {
        let owed = self.owed_ns.fetch_add(nanoseconds, Relaxed) + nanoseconds;
        // Another worker may take it first; whoever does takes all.
        if owed >= BURNT_AT_A_TIME_NS { self.owed_ns.swap(0, Relaxed) } else { 0 }
    }

    /// What was done until now; messages of a connection count once it has ended.
    pub fn served(&self) -> Served {
        Served {
            connections: self.accepted.load(Relaxed),
            messages: self.messages.load(Relaxed),
            failures: self.failures.load(Relaxed),
            most_open: self.most_open.load(Relaxed),
        }
    }

    /// What each thread did until now.
    pub fn thread_work(&self) -> ThreadWork {
        self.threads.read()
    }
}

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

/// How much CPU time is burnt at a time, in nanoseconds.
///
/// Burnt message by message it changes the exchange itself: the client has its turn meanwhile, or keeps away from the cache
/// lines of the socket, and the kernel's part of each message gets cheaper by as much as half of what is burnt. Burnt a
/// millisecond at a time it would fall into one slice of many, which a trimmed mean leaves out.
const BURNT_AT_A_TIME_NS: u64 = 20_000;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Arc<Service> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Service::new(ServerConfig::echoing(Framing::Chunk), &listener).unwrap()
    }

    #[test]
    fn what_is_owed_is_burnt_once_whoever_owes_it() {
        let service = service();
        const EACH: u64 = 50_000;
        let worker = || (0..EACH).map(|_| service.due(77)).sum::<u64>();
        let burnt: u64 = thread::scope(|scope| {
            let workers = [(); 4].map(|()| scope.spawn(worker));
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(burnt + service.owed_ns.load(Relaxed), 4 * EACH * 77);
        assert!(service.owed_ns.load(Relaxed) < BURNT_AT_A_TIME_NS);
    }

    #[test]
    fn what_ends_late_is_waited_for() {
        let service = service();
        let late = service.accepted();
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(20));
                late.ended(Ok(()));
            });
            service.settle_within(Duration::from_secs(60));
            assert_eq!(service.open.load(Relaxed), 0);
        });
    }

    #[test]
    fn each_that_ends_is_a_reason_to_wait_on() {
        const EACH: Duration = Duration::from_millis(40);
        let service = service();
        let mut open: Vec<_> = (0..50).map(|_| service.accepted()).collect();
        thread::scope(|scope| {
            scope.spawn(move || {
                while open.pop().is_some() {
                    thread::sleep(EACH);
                }
            });
            // Longer than between any two, and shorter than all of them take.
            service.settle_within(EACH * 25);
            assert_eq!(service.open.load(Relaxed), 0);
        });
    }

    #[test]
    fn settle_ignores_idle_and_new_peers() {
        const MOST: usize = 1000;
        let service = service();
        let (settled, first) = (AtomicBool::new(false), service.accepted());
        let come = thread::scope(|scope| {
            let (service, settled) = (&service, &settled);
            let come = scope.spawn(move || {
                let mut open = vec![first];
                while open.len() < MOST && !settled.load(Relaxed) {
                    open.push(service.accepted());
                    thread::sleep(Duration::from_millis(10));
                }
                open
            });
            service.settle_within(Duration::from_millis(50));
            settled.store(true, Relaxed);
            come.join().unwrap()
        });
        assert!(come.len() < MOST, "they were waited for");
        assert_eq!(service.open.load(Relaxed), come.len() as u64);
    }
}
