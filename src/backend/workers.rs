//! The workers of a backend that has a loop for each: threads that are set up together, end together, and have a listener each.

use std::{
    io,
    net::TcpListener,
    panic::resume_unwind,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::Builder,
};

use super::About;
#[cfg(doc)]
use crate::net::{share, spread};
use crate::service::Service;

/// Runs `work` on so many threads, the first of them this one, and returns the first error: also when one of them can't be
/// started, and its part is dropped.
pub(super) fn on_threads<T: Send>(
    parts: Vec<T>,
    work: impl Fn(T) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let mut parts = parts.into_iter();
        let own = parts.next();
        let start = |part| Builder::new().spawn_scoped(scope, move || work(part));
        let mut others = Vec::new();
        let mut started = Ok(());
        for part in parts {
            match start(part) {
                Ok(other) => others.push(other),
                Err(error) => {
                    let told =
                        format!("cannot start a worker: {error}; allow more tasks (pids.max, ulimit -u)");
                    started = Err(io::Error::new(error.kind(), told));
                }
            }
        }
        let mut outcome = started.and(own.map_or(Ok(()), work));
        for other in others {
            let joined = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            outcome = outcome.and(joined);
        }
        outcome
    })
}

/// How workers come to a listener each: all wait at one ([`share`]), or each has its own at the same address ([`spread`]).
pub(super) type Listeners = fn(&TcpListener, usize) -> io::Result<Vec<TcpListener>>;

/// A listener for each worker; all end with the service.
pub(super) fn listeners_of(
    about: &About,
    listeners: Listeners,
    listener: &TcpListener,
    service: &Service,
) -> io::Result<Vec<TcpListener>> {
    let listeners = listeners(listener, about.worker_threads(service.config().workers)?)?;
    service.listens_at_too(&listeners)?;
    Ok(listeners)
}

/// Serves by `work` on so many threads, each with what it has set up. Where one of them fails or panics the service stops, and
/// whoever asks hears of it: the others would be taken for all.
///
/// Nobody accepts before all are set up: connections of one worker would take the descriptors that another still needs.
pub(super) fn serve_on_threads<T: Send, S>(
    service: &Service,
    parts: Vec<T>,
    set_up: impl Fn(T) -> io::Result<S> + Sync,
    work: impl Fn(S) -> io::Result<()> + Sync,
) -> io::Result<()> {
    serve_when_ready(service, parts, |part, ready| {
        let own = set_up(part);
        ready.wait_for_all();
        work(own?)
    })
}

/// Serves as [`serve_on_threads`] does, where setting up ends only within `work`: it says when it is ready.
pub(super) fn serve_when_ready<T: Send>(
    service: &Service,
    parts: Vec<T>,
    work: impl Fn(T, AtGate) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let gate = Arc::new(Gate { missing: Mutex::new(parts.len()), open: Condvar::new() });
    // A worker that never begins is ready, and stops the service, as one that can't go on.
    let parts = parts.into_iter().map(|part| (part, AtGate(Arc::clone(&gate)), Stops(service))).collect();
    on_threads(parts, |(part, ready, _stops)| work(part, ready))
}

/// Where workers wait for each other.
struct Gate {
    missing: Mutex<usize>,
    open: Condvar,
}

/// A worker's word that it is set up; given when it is dropped, also while its thread panics.
pub(super) struct AtGate(Arc<Gate>);

impl AtGate {
    /// Says that this worker is set up, and waits until all are.
    pub(super) fn wait_for_all(self) {
        let gate = Arc::clone(&self.0);
        drop(self);
        let missing = gate.missing.lock().unwrap_or_else(PoisonError::into_inner);
        drop(gate.open.wait_while(missing, |missing| *missing > 0));
    }
}

impl Drop for AtGate {
    fn drop(&mut self) {
        *self.0.missing.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.open.notify_all();
    }
}

/// Stops the service when it is dropped.
struct Stops<'a>(&'a Service);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::{protocol::Framing, service::ServerConfig};

    #[test]
    fn a_worker_that_panics_ends_the_others() {
        let config = ServerConfig::echoing(Framing::Chunk);
        let set_up_that_panics = |worker| -> io::Result<usize> {
            assert_ne!(worker, 0, "a fault");
            Ok(worker)
        };
        let service = Service::new(config, &TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            serve_on_threads(&service, vec![0, 1], set_up_that_panics, |_| {
                service.wait_until_stopping();
                Ok(())
            })
        }));
        assert!(outcome.is_err());
        for panics in 0..2 {
            let service = Service::new(config, &TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
            let work = |worker| {
                assert_ne!(worker, panics, "a fault");
                service.wait_until_stopping();
                Ok(())
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| serve_on_threads(&service, vec![0, 1], Ok, work)));
            assert!(outcome.is_err());
        }
    }
}
