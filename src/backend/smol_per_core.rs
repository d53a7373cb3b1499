//! `smol-per-core`: a single-threaded executor of smol for each worker; tasks as in [`super::smol`].
//!
//! A connection stays with the worker that accepted it. All workers share smol's one reactor of a process: whoever waits there
//! wakes the others' tasks too (async-io, `Reactor`).

use std::{io, net::TcpListener, sync::Arc};

use super::{About, Backend, Maintenance, Model, Threading, on_threads, serve_on_threads, smol as tasks};
use crate::{load::Load, service::Service};

pub(super) struct SmolPerCore;

static ABOUT: About = About {
    name: "smol-per-core",
    crate_name: Some("smol"),
    model: Model::Readiness,
    threading: Threading::PerCore,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("unblock"),
    portable: true,
    summary: "a single-threaded executor of smol per core",
};

impl Backend for SmolPerCore {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        let workers = ABOUT.worker_threads(service.config().workers)?;
        let listeners = (0..workers).map(|_| listener.try_clone()).collect::<io::Result<_>>()?;
        serve_on_threads(service, listeners, Ok, |listener| tasks::serve_on_one(listener, service))
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let workers = ABOUT.worker_threads(load.plan().workers)?;
        on_threads(load.slots_for(workers), |slots| {
            tasks::drive_on_one(slots);
            Ok(())
        })
    }
}
