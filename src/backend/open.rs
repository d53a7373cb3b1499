//! The open connections of a server whose threads or tasks cannot be dropped: shut down from outside when it stops.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use slab::Slab;

/// The streams that are open, each a handle `S` on the one that its thread or task reads from.
pub(super) struct OpenConnections<S>(Mutex<Connections<S>>);

struct Connections<S> {
    streams: Slab<S>,
    /// Whom to wake when the last of them has ended.
    waiter: Option<Waker>,
}

impl<S> OpenConnections<S> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Connections { streams: Slab::new(), waiter: None })))
    }

    /// Takes a stream in; it is there until the guard is dropped.
    pub(super) fn insert(self: &Arc<Self>, stream: S) -> Open<S> {
        let key = self.lock().streams.insert(stream);
        Open { connections: Arc::clone(self), key }
    }

    /// Calls `shut_down` with each.
    pub(super) fn for_each(&self, shut_down: impl Fn(&S)) {
        self.lock().streams.iter().for_each(|(_, stream)| shut_down(stream));
    }

    /// Waits until all have ended; for one waiter at a time.
    pub(super) async fn until_all_ended(&self) {
        poll_fn(|context| {
            let mut connections = self.lock();
            if connections.streams.is_empty() {
                return Poll::Ready(());
            }
            connections.waiter = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Connections<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one open stream.
pub(super) struct Open<S> {
    connections: Arc<OpenConnections<S>>,
    key: usize,
}

impl<S> Drop for Open<S> {
    fn drop(&mut self) {
        let mut connections = self.connections.lock();
        connections.streams.remove(self.key);
        let waiter = if connections.streams.is_empty() { connections.waiter.take() } else { None };
        drop(connections);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
