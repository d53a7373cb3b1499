//! `smol-local`: smol's single-threaded executor; tasks as in [`super::smol`].

use std::{io, net::TcpListener, sync::Arc};

use smol::LocalExecutor;

use super::{About, Backend, Maintenance, Model, Threading, smol as tasks};
use crate::{load::Load, service::Service};

pub(super) struct SmolLocal;

static ABOUT: About = About {
    name: "smol-local",
    crate_name: Some("smol"),
    model: Model::Readiness,
    threading: Threading::Single,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("unblock"),
    portable: true,
    summary: "smol's single-threaded executor",
};

impl Backend for SmolLocal {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        ABOUT.worker_threads(service.config().workers)?;
        let executor = LocalExecutor::new();
        smol::block_on(executor.run(tasks::accept_connections(listener, service, |stream, connection| {
            executor.spawn(tasks::serve_connection(stream, connection)).detach();
        })))
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        ABOUT.worker_threads(load.plan().workers)?;
        let executor = LocalExecutor::new();
        smol::block_on(executor.run(async {
            let tasks: Vec<_> = load.slots().map(|slot| executor.spawn(tasks::run_sessions(slot))).collect();
            for task in tasks {
                task.await;
            }
        }));
        Ok(())
    }
}
