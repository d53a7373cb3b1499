//! `monoio`: monoio on io_uring, as it is shipped.
//!
//! Its io_uring driver is asked for by name; the one that its attribute macros make falls back to epoll where io_uring
//! is forbidden. The listener is ours: one that monoio binds has SO_REUSEPORT, and a second server at the same port takes
//! half of the connections.
//!
//! - Every operation is waited for in the ring, also one that is done at once, so each is a turn of the others.
//! - A task that waits when the runtime is dropped is never dropped: the driver holds its waker, the waker the task, the
//!   task its operation, and that the driver. Ring, sockets and buffers leak. So connections that are left are shut
//!   down, and each task ends by itself before the runtime does.
//! - Dropping a stream puts its close into the ring, and behind it an order to cancel that close, which always comes
//!   too late (`drop_op` in driver/uring/mod.rs, with the feature `async-cancel`, which is on by default).

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsRawFd as _, RawFd},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use monoio::{
    IoUringDriver, RuntimeBuilder,
    buf::{IoBuf as _, IoBufMut as _},
    io::{AsyncReadRent as _, AsyncWriteRent as _},
    net::TcpStream,
    time::{sleep, sleep_until},
};
use nix::sys::socket::{Shutdown, shutdown};

use super::{
    About, Backend, Listeners, Maintenance, Model, Threading, Unavailable,
    lent::with_room,
    listeners_of, on_threads,
    open::OpenConnections,
    serve_on_threads,
    session::{Stream, run_sessions, serve_connection},
    uring,
};
use crate::{
    load::{Load, Slot},
    net::share,
    service::{AfterAcceptError, Service},
};

pub(super) struct Monoio;

/// Of fxhash, which it hashes with.
pub(super) const ADVISORIES: &[&str] = &["RUSTSEC-2025-0057"];

static ABOUT: About = About {
    name: "monoio",
    crate_name: Some("monoio"),
    model: Model::Completion,
    threading: Threading::Loops,
    maintenance: Maintenance::Dormant { last_release: 2024 },
    advisories: ADVISORIES,
    offload: None,
    portable: true,
    summary: "monoio on io_uring, as shipped",
};

impl Backend for Monoio {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        serve_on(&ABOUT, BUILDER, share, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        drive_on(&ABOUT, BUILDER, load)
    }
}

/// How many connections a single worker accepts in one turn. A turn is long when many are busy, and with one accept in each a
/// crowd of two thousand had not come in after a second.
const ACCEPTS: usize = 64;

/// A runtime as it is shipped.
pub(super) const BUILDER: fn() -> RuntimeBuilder<IoUringDriver> = RuntimeBuilder::new;

/// Serves on a runtime for each worker. They share the listener: of those that wait in `accept`, a connection wakes one,
/// for io_uring waits for a listener with EPOLLEXCLUSIVE (`poll_exclusive` in io_uring/opdef.c).
pub(super) fn serve_on(
    about: &About,
    builder: fn() -> RuntimeBuilder<IoUringDriver>,
    listeners: Listeners,
    listener: &TcpListener,
    service: &Arc<Service>,
) -> io::Result<()> {
    let workers = about.worker_threads(service.config().workers)?;
    // Accepts are woken in the order in which they wait: of several workers the first would have the first so many connections.
    let accepts = if workers == 1 { ACCEPTS } else { 1 };
    let listeners = listeners_of(about, listeners, listener, service)?;
    let set_up = |listener| Ok((builder().enable_timer().build()?, listener));
    serve_on_threads(service, listeners, set_up, |(mut runtime, listener)| {
        runtime.block_on(serve(listener, accepts, service))
    })
}

/// Drives the slots on a runtime for each worker.
pub(super) fn drive_on(
    about: &About,
    builder: fn() -> RuntimeBuilder<IoUringDriver>,
    load: &Arc<Load>,
) -> io::Result<()> {
    let workers = about.worker_threads(load.plan().workers)?;
    on_threads(load.slots_for(workers), |slots| {
        builder().build()?.block_on(drive(slots));
        Ok(())
    })
}

/// Accepts, so many at a time, until the service stops, then ends the connections that are left.
async fn serve(listener: TcpListener, accepts: usize, service: &Arc<Service>) -> io::Result<()> {
    let listener = Rc::new(monoio::net::TcpListener::from_std(listener)?);
    let open = OpenConnections::new();
    let accept = || accept_connections(Rc::clone(&listener), Arc::clone(service), Arc::clone(&open));
    let accepting: Vec<_> = (0..accepts).map(|_| monoio::spawn(accept())).collect();
    for task in accepting {
        task.await;
    }
    open.for_each(|stream| {
        // The peer may have ended it already; then there is nothing to do.
        let _ = shutdown(*stream, Shutdown::Both);
    });
    open.until_all_ended().await;
    Ok(())
}

/// Accepts one connection after the other until the service stops.
///
/// The listener stays in blocking mode: io_uring takes O_NONBLOCK for the wish to be told EAGAIN, and waits no more.
async fn accept_connections(
    listener: Rc<monoio::net::TcpListener>,
    service: Arc<Service>,
    open: Arc<OpenConnections<RawFd>>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let place = open.insert(stream.as_raw_fd());
                monoio::spawn(serve_connection(stream, service.accepted(), place));
            }
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => return,
                AfterAcceptError::Pause(pause) => sleep(pause).await,
            },
        }
    }
}

/// Runs each slot as a task.
async fn drive(slots: Vec<Slot>) {
    let tasks: Vec<_> =
        slots.into_iter().map(|slot| monoio::spawn(run_sessions::<TcpStream>(slot))).collect();
    for task in tasks {
        task.await;
    }
}

impl Stream for TcpStream {
    type Lent = Vec<u8>;

    async fn connect(destination: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect_addr(destination).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn send(&mut self, bytes: &[u8], lent: &mut Vec<u8>) -> io::Result<usize> {
        let mut buffer = with_room(lent, bytes.len());
        buffer.extend_from_slice(bytes);
        let mut sent = 0;
        // A piece that went out is not copied again to send the rest.
        while sent < buffer.len() {
            let (outcome, rest) = self.write(buffer.slice(sent..)).await;
            buffer = rest.into_inner();
            sent += outcome?;
        }
        *lent = buffer;
        Ok(sent)
    }

    async fn receive(&mut self, room: &mut [u8], lent: &mut Vec<u8>) -> io::Result<usize> {
        let buffer = with_room(lent, room.len());
        let (outcome, filled) = self.read(buffer.slice_mut(..room.len())).await;
        let n = outcome?;
        room[..n].copy_from_slice(&filled);
        *lent = filled.into_inner();
        Ok(n)
    }

    async fn sleep_until(until: Instant) -> io::Result<()> {
        sleep_until(until.into()).await;
        Ok(())
    }
}
