//! `epoll-reuseport`, `mio-reuseport`, `uring-reuseport`, `tokio-reuseport` and `monoio-reuseport`: the loops per worker with a
//! listener each at the same address, as nginx's `reuseport` has it.
//!
//! The kernel deals connections out by a hash, whoever is busy. All else is as in the backend of the name's first part; of
//! `tokio-reuseport`, as in `tokio-per-core`.

#![cfg(any(
    feature = "epoll-reuseport",
    feature = "mio-reuseport",
    feature = "uring-reuseport",
    feature = "tokio-reuseport",
    feature = "monoio-reuseport"
))]

use std::{io, net::TcpListener, sync::Arc};

use super::{About, Backend, Maintenance, Model, Threading};
#[cfg(any(feature = "uring-reuseport", feature = "monoio-reuseport"))]
use super::{Unavailable, uring};
use crate::{load::Load, net::spread, service::Service};

#[cfg(feature = "epoll-reuseport")]
pub(super) struct EpollReuseport;

#[cfg(feature = "epoll-reuseport")]
static EPOLL: About = About {
    name: "epoll-reuseport",
    crate_name: Some("nix"),
    model: Model::Readiness,
    threading: Threading::PerCore,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: false,
    summary: "epoll with a listener per worker",
};

#[cfg(feature = "epoll-reuseport")]
impl Backend for EpollReuseport {
    fn about(&self) -> &'static About {
        &EPOLL
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        super::epoll::serve_at(&EPOLL, spread, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        super::epoll::drive_as(&EPOLL, load)
    }
}

#[cfg(feature = "mio-reuseport")]
pub(super) struct MioReuseport;

#[cfg(feature = "mio-reuseport")]
static MIO: About = About {
    name: "mio-reuseport",
    crate_name: Some("mio"),
    model: Model::Readiness,
    threading: Threading::PerCore,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: false,
    summary: "mio with a listener per worker",
};

#[cfg(feature = "mio-reuseport")]
impl Backend for MioReuseport {
    fn about(&self) -> &'static About {
        &MIO
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        super::mio::serve_at(&MIO, spread, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        super::mio::drive_as(&MIO, load)
    }
}

#[cfg(feature = "uring-reuseport")]
pub(super) struct UringReuseport;

#[cfg(feature = "uring-reuseport")]
static URING: About = About {
    name: "uring-reuseport",
    crate_name: Some("io-uring"),
    model: Model::Completion,
    threading: Threading::PerCore,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: false,
    summary: "io_uring by hand with a listener per worker",
};

#[cfg(feature = "uring-reuseport")]
impl Backend for UringReuseport {
    fn about(&self) -> &'static About {
        &URING
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        uring::serve(uring::SetUp::Tuned, &URING, spread, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        uring::drive(uring::SetUp::Tuned, &URING, load)
    }
}

#[cfg(feature = "tokio-reuseport")]
pub(super) struct TokioReuseport;

#[cfg(feature = "tokio-reuseport")]
static TOKIO: About = About {
    name: "tokio-reuseport",
    crate_name: Some("tokio"),
    model: Model::Readiness,
    threading: Threading::PerCore,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("spawn_blocking"),
    portable: false,
    summary: "tokio per core with a listener per worker",
};

#[cfg(feature = "tokio-reuseport")]
impl Backend for TokioReuseport {
    fn about(&self) -> &'static About {
        &TOKIO
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        super::tokio_per_core::serve_at(&TOKIO, spread, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        super::tokio_per_core::drive_as(&TOKIO, load)
    }
}

#[cfg(feature = "monoio-reuseport")]
pub(super) struct MonoioReuseport;

#[cfg(feature = "monoio-reuseport")]
static MONOIO: About = About {
    name: "monoio-reuseport",
    crate_name: Some("monoio"),
    model: Model::Completion,
    threading: Threading::PerCore,
    maintenance: Maintenance::Dormant { last_release: 2024 },
    advisories: &[],
    offload: None,
    portable: false,
    summary: "monoio with a listener per worker",
};

#[cfg(feature = "monoio-reuseport")]
impl Backend for MonoioReuseport {
    fn about(&self) -> &'static About {
        &MONOIO
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        super::monoio::serve_on(&MONOIO, super::monoio::BUILDER, spread, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        super::monoio::drive_on(&MONOIO, super::monoio::BUILDER, load)
    }
}
