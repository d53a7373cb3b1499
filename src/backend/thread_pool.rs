//! `thread-pool`: blocking threads that each take one connection at a time, and then the next.
//!
//! Every idle thread of the server waits in accept(2) itself; the kernel wakes one for each connection, so nothing
//! is handed from thread to thread. The last idle one that takes a connection first puts another in its place: the
//! pool grows to the most connections that were open at a time, and no thread is ever made twice for one of them.

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, Scope},
};

use super::{
    About, Backend, Maintenance, Model, Threading,
    open::OpenConnections,
    threads::{accept, converse_until_closed, drive_on_threads, shut_down, small_thread},
};
use crate::{load::Load, service::Service};

pub(super) struct ThreadPool;

static ABOUT: About = About {
    name: "thread-pool",
    crate_name: None,
    model: Model::Blocking,
    threading: Threading::Pool,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: true,
    summary: "blocking threads, each used again",
};

impl Backend for ThreadPool {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        ABOUT.worker_threads(service.config().workers)?;
        let open = OpenConnections::new();
        let pool = Pool { listener, service: Arc::clone(service), open, idle: AtomicUsize::new(0) };
        thread::scope(|scope| {
            pool.grow(scope)?;
            service.wait_until_stopping();
            shut_down(&pool.open);
            Ok(())
        })
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        ABOUT.worker_threads(load.plan().workers)?;
        drive_on_threads(load)
    }
}

/// The threads of a server.
struct Pool {
    listener: TcpListener,
    service: Arc<Service>,
    open: Arc<OpenConnections<Arc<TcpStream>>>,
    /// Threads that wait for a connection.
    idle: AtomicUsize,
}

impl Pool {
    /// Adds an idle thread.
    fn grow<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> io::Result<()> {
        self.idle.fetch_add(1, Relaxed);
        small_thread(scope, move || self.work(scope)).inspect_err(|_| {
            self.idle.fetch_sub(1, Relaxed);
        })
    }

    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        while let Some(stream) = accept(&self.listener, &self.service) {
            let was_last = self.idle.fetch_sub(1, Relaxed) == 1;
            if was_last {
                // Without another thread the next connection waits in the backlog until this one is done.
                let _ = self.grow(scope);
            }
            converse_until_closed(stream, &self.service, &self.open);
            self.idle.fetch_add(1, Relaxed);
        }
    }
}
