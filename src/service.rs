//! What to serve ([`ServerConfig`]) and what came of it ([`Served`]): the server's side of [`crate::load`].
//!
//! A backend's server takes a [`Service`]: for each connection that it accepts it asks [`Service::accepted`] for a
//! [`Connection`], drives it as an [`End`](crate::protocol::End), and reports [`Connection::ended`]; when accepting fails it asks
//! [`Service::accept_failed`] what to do. A fault of one connection stays with that connection.
//!
//! Absent from here: sockets but the listener's shutdown, and any loop of a backend.

mod burn;
mod connection;
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

use crate::{protocol::Framing, work::Work};

pub use burn::spend;
pub use connection::Connection;
use threads::ThreadTallies;
pub use threads::ThreadWork;

/// How long a server that is out of descriptors waits before it accepts again: long enough to cost next to nothing,
/// short enough not to be felt.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(20);

/// How long after the last connection ended the next is waited for, when a server settles.
const SETTLING: Duration = Duration::from_millis(200);

/// How much CPU time is burnt at a time, in nanoseconds.
///
/// Burnt message by message it changes the exchange itself: the client has its turn meanwhile, or keeps away from the cache
/// lines of the socket, and the kernel's part of each message gets cheaper by as much as half of what is burnt. Burnt a
/// millisecond at a time it would fall into one slice of many, which a trimmed mean leaves out.
const BURNT_AT_A_TIME_NS: u64 = 20_000;

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
    /// Accept again after this pause: descriptors or memory ran out, or it is not known what the fault was.
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
        Connection::new(self)
    }

    /// Says what to do after accepting failed.
    pub fn accept_failed(&self, error: &io::Error) -> AfterAcceptError {
        use nix::libc::{
            EAGAIN, EBADF, ECONNABORTED, ECONNRESET, EFAULT, EHOSTDOWN, EHOSTUNREACH, EINTR, EINVAL,
            ENETDOWN, ENETUNREACH, ENONET, ENOPROTOOPT, ENOTSOCK, EOPNOTSUPP, EPROTO,
        };
        if self.is_stopping() {
            return AfterAcceptError::Stop;
        }
        match error.raw_os_error() {
            // The listener was shut down or closed behind our back: it stays so.
            Some(EINVAL | EBADF | ENOTSOCK | EFAULT) => {
                self.stop();
                AfterAcceptError::Stop
            }
            // accept(2) reports faults of the connection that it would have returned.
            Some(
                ECONNABORTED | ECONNRESET | EINTR | EAGAIN | ENETDOWN | EPROTO | ENOPROTOOPT | EHOSTDOWN
                | ENONET | EHOSTUNREACH | EOPNOTSUPP | ENETUNREACH,
            ) => AfterAcceptError::Again,
            // Descriptors or memory ran out, a filter forbids it, or it is something else that may stay: trying at once would spin.
            _ => AfterAcceptError::Pause(OUT_OF_DESCRIPTORS_PAUSE),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Arc<Service> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Service::new(ServerConfig::echoing(Framing::Chunk), &listener).unwrap()
    }

    #[test]
    fn an_accept_that_fails_for_good_neither_spins_nor_goes_on() {
        use nix::libc::{EBADF, ECONNABORTED, EMFILE, EPERM};
        let service = service();
        let after = |code| service.accept_failed(&io::Error::from_raw_os_error(code));
        assert_eq!(after(ECONNABORTED), AfterAcceptError::Again);
        for may_stay in [EMFILE, EPERM, 9999] {
            assert_eq!(after(may_stay), AfterAcceptError::Pause(OUT_OF_DESCRIPTORS_PAUSE), "{may_stay}");
        }
        assert_eq!(after(EBADF), AfterAcceptError::Stop);
        assert!(service.is_stopping());
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
