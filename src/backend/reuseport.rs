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

#[cfg(feature = "monoio-reuseport")]
use super::Maintenance;
#[cfg(any(feature = "uring-reuseport", feature = "monoio-reuseport"))]
use super::uring;
use super::{About, Backend, Listeners, Model, Threading, Unavailable};
use crate::{load::Load, net::spread, service::Service};

/// A backend of loops, with a listener for each of them.
pub(super) struct Reuseport {
    about: &'static About,
    available: fn() -> Result<(), Unavailable>,
    serve: fn(&About, Listeners, &TcpListener, &Arc<Service>) -> io::Result<()>,
    drive: fn(&About, &Arc<Load>) -> io::Result<()>,
}

impl Backend for Reuseport {
    fn about(&self) -> &'static About {
        self.about
    }

    fn available(&self) -> Result<(), Unavailable> {
        (self.available)()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        (self.serve)(self.about, spread, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        (self.drive)(self.about, load)
    }
}

#[cfg(feature = "epoll-reuseport")]
pub(super) static EPOLL: Reuseport = Reuseport {
    about: &About {
        threading: Threading::PerCore,
        ..About::new("epoll-reuseport", Some("nix"), Model::Readiness, "epoll with a listener per worker")
    },
    available: || Ok(()),
    serve: super::epoll::serve_at,
    drive: super::epoll::drive_as,
};

#[cfg(feature = "mio-reuseport")]
pub(super) static MIO: Reuseport = Reuseport {
    about: &About {
        threading: Threading::PerCore,
        ..About::new("mio-reuseport", Some("mio"), Model::Readiness, "mio with a listener per worker")
    },
    available: || Ok(()),
    serve: super::mio::serve_at,
    drive: super::mio::drive_as,
};

#[cfg(feature = "uring-reuseport")]
pub(super) static URING: Reuseport = Reuseport {
    about: &About {
        threading: Threading::PerCore,
        ..About::new(
            "uring-reuseport",
            Some("io-uring"),
            Model::Completion,
            "io_uring by hand with a listener per worker",
        )
    },
    available: uring::available,
    serve: |about, listeners, listener, service| {
        uring::serve(uring::SetUp::Tuned, about, listeners, listener, service)
    },
    drive: |about, load| uring::drive(uring::SetUp::Tuned, about, load),
};

#[cfg(feature = "tokio-reuseport")]
pub(super) static TOKIO: Reuseport = Reuseport {
    about: &About {
        threading: Threading::PerCore,
        offload: Some("spawn_blocking"),
        ..About::new(
            "tokio-reuseport",
            Some("tokio"),
            Model::Readiness,
            "tokio per core with a listener per worker",
        )
    },
    available: || Ok(()),
    serve: super::tokio_per_core::serve_at,
    drive: super::tokio_per_core::drive_as,
};

#[cfg(feature = "monoio-reuseport")]
pub(super) static MONOIO: Reuseport = Reuseport {
    about: &About {
        threading: Threading::PerCore,
        advisories: super::monoio::ADVISORIES,
        maintenance: Maintenance::Dormant { last_release: 2024 },
        ..About::new(
            "monoio-reuseport",
            Some("monoio"),
            Model::Completion,
            "monoio with a listener per worker",
        )
    },
    available: uring::available,
    serve: |about, listeners, listener, service| {
        super::monoio::serve_on(about, super::monoio::BUILDER, listeners, listener, service)
    },
    drive: |about, load| super::monoio::drive_on(about, super::monoio::BUILDER, load),
};
