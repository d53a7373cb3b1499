//! `monoio-tuned`: monoio with a ring set up for one thread that talks to the network; tasks and loop as in
//! [`super::monoio`].

use std::{io, net::TcpListener, sync::Arc};

use monoio::{IoUringDriver, RuntimeBuilder};
use monoio_io_uring::IoUring;

use super::{About, Backend, Maintenance, Model, Threading, Unavailable, monoio as tasks, uring};
use crate::{load::Load, net::share, service::Service};

pub(super) struct MonoioTuned;

static ABOUT: About = About {
    name: "monoio-tuned",
    crate_name: Some("monoio"),
    model: Model::Completion,
    threading: Threading::Loops,
    maintenance: Maintenance::Dormant { last_release: 2024 },
    advisories: tasks::ADVISORIES,
    offload: None,
    portable: false,
    summary: "monoio with deferred task work",
};

impl Backend for MonoioTuned {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        tasks::serve_on(&ABOUT, builder, share, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        tasks::drive_on(&ABOUT, builder, load)
    }
}

/// A ring that its own thread alone submits to, and whose completions are made when that thread comes to wait: else
/// each interrupts the thread in whatever it does, from the other processor when that is where the packet came in.
fn builder() -> RuntimeBuilder<IoUringDriver> {
    let mut ring = IoUring::builder();
    ring.setup_single_issuer().setup_defer_taskrun();
    RuntimeBuilder::new().uring_builder(ring)
}
