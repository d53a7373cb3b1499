//! `tokio-per-core`: a current-thread scheduler of tokio for each worker, as pingora and actix run it; tasks and loop as in
//! [`super::tokio`].
//!
//! A connection stays with the worker that accepted it, and nothing is stolen. All workers wait at one listener: mio registers
//! it without EPOLLEXCLUSIVE, so a connection wakes every worker that waits, and the others find nothing.

use std::{io, net::TcpListener, sync::Arc};

use tokio::runtime::{Builder, Runtime};

use super::{
    About, Backend, Listeners, Maintenance, Model, Threading, listeners_of, on_threads, serve_on_threads,
    tokio as tasks,
};
use crate::{load::Load, net::share, service::Service};

pub(super) struct TokioPerCore;

static ABOUT: About = About {
    name: "tokio-per-core",
    crate_name: Some("tokio"),
    model: Model::Readiness,
    threading: Threading::PerCore,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("spawn_blocking"),
    portable: true,
    summary: "a current-thread scheduler of tokio per core",
};

impl Backend for TokioPerCore {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        serve_at(&ABOUT, share, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        drive_as(&ABOUT, load)
    }
}

/// Serves on a scheduler for each worker.
pub(super) fn serve_at(
    about: &About,
    listeners: Listeners,
    listener: &TcpListener,
    service: &Arc<Service>,
) -> io::Result<()> {
    let listeners = listeners_of(about, listeners, listener, service)?;
    let set_up = |listener| Ok((current_thread()?, listener));
    serve_on_threads(service, listeners, set_up, |(runtime, listener)| {
        runtime.block_on(tasks::serve(listener, Arc::clone(service)))
    })
}

/// Drives on a scheduler for each worker.
pub(super) fn drive_as(about: &About, load: &Arc<Load>) -> io::Result<()> {
    let workers = about.worker_threads(load.plan().workers)?;
    on_threads(load.slots_for(workers), |slots| {
        current_thread()?.block_on(tasks::drive(slots));
        Ok(())
    })
}

fn current_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
