//! `compio-tuned`: compio with what its builder offers for one thread that talks to the network; tasks and loop as in
//! [`super::compio`].

use std::{io, net::TcpListener, sync::Arc};

use compio::{driver::ProactorBuilder, runtime::Runtime};

use super::{About, Backend, Maintenance, Model, Threading, Unavailable, compio as tasks, uring};
use crate::{load::Load, service::Service};

pub(super) struct CompioTuned;

static ABOUT: About = About {
    name: "compio-tuned",
    crate_name: Some("compio"),
    model: Model::Completion,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("spawn_blocking"),
    portable: true,
    summary: "compio with deferred task work",
};

impl Backend for CompioTuned {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        tasks::serve_on(&ABOUT, runtime, listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        tasks::drive_on(&ABOUT, runtime, load)
    }
}

/// A ring that its own thread alone submits to, and whose completions are made when that thread comes to wait: else
/// each interrupts the thread in whatever it does, from the other processor when that is where the packet came in.
fn runtime() -> io::Result<Runtime> {
    let mut ring = ProactorBuilder::new();
    ring.single_issuer(true).defer_taskrun(true);
    Runtime::builder().with_proactor(ring).build()
}
