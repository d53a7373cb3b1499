//! The backends that are built only when asked for: what each is, and what stands in for one that is not built.
//!
//! Each has a cargo feature of its name. Without it the backend is still known by name, with why it can't run.

use std::{io, net::TcpListener, sync::Arc};

use super::{About, Backend, Maintenance, Model, Threading, Unavailable};
use crate::{load::Load, service::Service};

pub(super) static MAY: About = About {
    name: "may",
    crate_name: Some("may"),
    model: Model::Readiness,
    threading: Threading::Multi,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: true,
    summary: "may's coroutines, each with a stack of its own",
};

pub(super) static TOKIO_URING: About = About {
    name: "tokio-uring",
    crate_name: Some("tokio-uring"),
    model: Model::Completion,
    threading: Threading::Loops,
    maintenance: Maintenance::Dormant { last_release: 2024 },
    advisories: &[],
    offload: Some("spawn_blocking"),
    portable: false,
    summary: "io_uring on tokio's current-thread scheduler",
};

pub(super) static GLOMMIO: About = About {
    name: "glommio",
    crate_name: Some("glommio"),
    // It asks the ring whether a socket is ready, and then reads and writes by system calls.
    model: Model::Readiness,
    threading: Threading::Loops,
    maintenance: Maintenance::Dormant { last_release: 2024 },
    // Of owned-alloc, which its lockfree stands on.
    advisories: &["RUSTSEC-2026-0299"],
    offload: Some("spawn_blocking"),
    portable: false,
    summary: "glommio's executors, told of readiness by io_uring",
};

/// One for each backend of this file, whether it is built or not.
pub(super) static STAND_INS: [NotBuilt; 3] = [NotBuilt(&MAY), NotBuilt(&TOKIO_URING), NotBuilt(&GLOMMIO)];

/// Stands in for a backend whose code this program does not have.
pub(super) struct NotBuilt(pub(super) &'static About);

impl NotBuilt {
    fn why(&self) -> Unavailable {
        Unavailable(format!("not built: cargo build --features {}", self.0.name))
    }
}

impl Backend for NotBuilt {
    fn about(&self) -> &'static About {
        self.0
    }

    fn available(&self) -> Result<(), Unavailable> {
        Err(self.why())
    }

    fn serve(&self, _: TcpListener, _: &Arc<Service>) -> io::Result<()> {
        Err(io::Error::other(self.why()))
    }

    fn drive(&self, _: &Arc<Load>) -> io::Result<()> {
        Err(io::Error::other(self.why()))
    }
}
