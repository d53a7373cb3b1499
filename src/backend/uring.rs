//! `uring`: io_uring by hand, with the flags that help; what it shares with [`super::uring_plain`] lies below.
//!
//! One ring for each worker. One request accepts all connections, each connection has one request at a time that receives or
//! sends where its end has the bytes, and all requests of a turn are handed over by the one system call that waits for the next
//! answers. Several workers share the listener, and then each accepts one connection at a time ([`Accepting`]).
//!
//! No request receives for as long as a connection lives (`IORING_RECV_MULTISHOT`): if data and the end are both there when the
//! kernel arms its poll, such a request answers with the data and never with the end, and the connection stays for ever (seen
//! on Linux 6.18.44; `io_poll_check_events` in io_uring/poll.c). So there is no pool of buffers either. METHODOLOGY.md has what
//! both are worth.
//!
//! Sockets have descriptors of the process. With a ring's own table of files a connection that is accepted into a full one is
//! closed, where it should wait in the backlog (`io_accept` in io_uring/net.c).

mod client;
mod link;
mod probe;
mod ring;
mod server;

use std::{io, net::TcpListener, sync::Arc};

use super::{
    About, Backend, Listeners, Maintenance, Model, Threading, Unavailable, listeners_of, on_threads,
    serve_on_threads,
};
use crate::{load::Load, net::share, service::Service};

pub(super) use probe::available;
pub(super) use ring::{Accepting, SetUp};
use server::Server;

pub(super) struct Uring;

static ABOUT: About = About {
    name: "uring",
    crate_name: Some("io-uring"),
    model: Model::Completion,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: false,
    summary: "io_uring by hand, with the flags that help",
};

impl Backend for Uring {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        serve(SetUp::Tuned, &ABOUT, share, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        drive(SetUp::Tuned, &ABOUT, load)
    }
}

/// Serves on a ring for each worker.
pub(super) fn serve(
    set_up: SetUp,
    about: &About,
    listeners: Listeners,
    listener: &TcpListener,
    service: &Arc<Service>,
) -> io::Result<()> {
    let workers = about.worker_threads(service.config().workers)?;
    let accepting = Accepting::by(workers);
    let set_up = |listener| Server::new(set_up, accepting, listener, service);
    serve_on_threads(service, listeners_of(about, listeners, listener, service)?, set_up, Server::run)
}

/// Drives on a ring for each worker.
pub(super) fn drive(set_up: SetUp, about: &About, load: &Arc<Load>) -> io::Result<()> {
    let workers = about.worker_threads(load.plan().workers)?;
    on_threads(load.slots_for(workers), |slots| client::drive(set_up, slots))
}

#[cfg(test)]
mod tests;
