//! `tokio-current`: tokio's current-thread scheduler; tasks and loop as in [`super::tokio`].

use std::{io, net::TcpListener, sync::Arc};

use tokio::runtime::{Builder, Runtime};

use super::{About, Backend, Maintenance, Model, Threading, tokio as tasks};
use crate::{load::Load, service::Service};

pub(super) struct TokioCurrent;

static ABOUT: About = About {
    name: "tokio-current",
    crate_name: Some("tokio"),
    model: Model::Readiness,
    threading: Threading::Single,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("spawn_blocking"),
    portable: true,
    summary: "tokio's current-thread scheduler",
};

impl Backend for TokioCurrent {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        current_thread(service.config().workers)?.block_on(tasks::serve(listener, Arc::clone(service)))
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        current_thread(load.plan().workers)?.block_on(tasks::drive(load.slots()));
        Ok(())
    }
}

fn current_thread(workers: Option<usize>) -> io::Result<Runtime> {
    ABOUT.worker_threads(workers)?;
    Builder::new_current_thread().enable_all().build()
}
