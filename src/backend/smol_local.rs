//! `smol-local`: smol's single-threaded executor; tasks as in [`super::smol`].

use std::{io, net::TcpListener, sync::Arc};

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
        tasks::serve_on_one(listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        ABOUT.worker_threads(load.plan().workers)?;
        tasks::drive_on_one(load.slots());
        Ok(())
    }
}
