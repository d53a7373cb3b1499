//! The open connections of a server whose threads or tasks cannot be dropped: shut down from outside when it stops.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;

/// The streams that are open, each a handle `S` on the one that its thread or task reads from.
pub(super) struct OpenConnections<S>(Mutex<Slab<S>>);

impl<S> OpenConnections<S> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// Takes a stream in; it is there until the guard is dropped.
    pub(super) fn insert(self: &Arc<Self>, stream: S) -> Open<S> {
        let key = self.lock().insert(stream);
        Open { connections: Arc::clone(self), key }
    }

    /// Calls `shut_down` with each.
    pub(super) fn for_each(&self, shut_down: impl Fn(&S)) {
        self.lock().iter().for_each(|(_, stream)| shut_down(stream));
    }

    /// Whether all have ended.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Slab<S>> {
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
        self.connections.lock().remove(self.key);
    }
}
