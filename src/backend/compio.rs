//! `compio`: compio on io_uring, as it is shipped.
//!
//! Without the feature `polling` the crate has no other driver, so where io_uring is forbidden building the runtime
//! fails with the error of `io_uring_setup`; with it, compio would fall back to epoll and say nothing.
//!
//! - Every operation is waited for in the ring, also one that is done at once, so each is a turn of the others.
//! - A runtime that is dropped cancels what is in flight, closes the ring and then frees the buffers. Closing a ring
//!   only queues its end (`io_ring_ctx_wait_and_kill` in io_uring/io_uring.c), so the kernel might still write to them.
//!   Therefore nothing is dropped here: connections that are left are shut down, and each task ends by itself.
//! - compio's own token of cancellation is for short lives: it keeps an entry for every operation until it is dropped.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use compio::{
    BufResult,
    buf::{IntoInner as _, IoBuf as _},
    io::{AsyncRead as _, AsyncWrite as _},
    net::TcpStream,
    runtime::{self, ResumeUnwind as _, Runtime},
    time::{sleep, sleep_until},
};
use futures_lite::StreamExt as _;
use socket2::SockRef;

use super::{
    About, Backend, Maintenance, Model, Threading, Unavailable,
    lent::with_room,
    on_threads,
    open::OpenConnections,
    serve_on_threads,
    session::{Stream, run_sessions, serve_connection},
    uring::{self, Accepting},
};
use crate::{
    load::{Load, Slot},
    service::{AfterAcceptError, Service, spend},
};

pub(super) struct Compio;

static ABOUT: About = About {
    name: "compio",
    crate_name: Some("compio"),
    model: Model::Completion,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("spawn_blocking"),
    portable: true,
    summary: "compio on io_uring, as shipped",
};

impl Backend for Compio {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        serve_on(&ABOUT, Runtime::new, listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        drive_on(&ABOUT, Runtime::new, load)
    }
}

/// Serves on a runtime for each worker. They share the listener: of those that wait in `accept`, a connection wakes one,
/// for io_uring waits for a listener with EPOLLEXCLUSIVE (`poll_exclusive` in io_uring/opdef.c).
pub(super) fn serve_on(
    about: &About,
    runtime: fn() -> io::Result<Runtime>,
    listener: TcpListener,
    service: &Arc<Service>,
) -> io::Result<()> {
    let workers = about.worker_threads(service.config().workers)?;
    let listeners = (0..workers).map(|_| listener.try_clone()).collect::<io::Result<_>>()?;
    let accepting = Accepting::by(workers);
    let set_up = |listener| Ok((runtime()?, listener));
    serve_on_threads(service, listeners, set_up, |(runtime, listener)| {
        runtime.block_on(serve(listener, accepting, service))
    })
}

/// Drives the slots on a runtime for each worker.
pub(super) fn drive_on(
    about: &About,
    runtime: fn() -> io::Result<Runtime>,
    load: &Arc<Load>,
) -> io::Result<()> {
    let workers = about.worker_threads(load.plan().workers)?;
    on_threads(load.slots_for(workers), |slots| {
        runtime()?.block_on(drive(slots));
        Ok(())
    })
}

/// Accepts until the service stops, then ends the connections that are left.
///
/// One operation accepts whoever comes, a crowd in one turn; `accept` takes one connection a turn, and turns are long
/// when many are busy. But of several workers the same would always have the one operation that is woken, so there each takes
/// one connection at a time. The listener stays in blocking mode: io_uring takes O_NONBLOCK for the wish to be told EAGAIN, and
/// waits no more.
async fn serve(listener: TcpListener, accepting: Accepting, service: &Arc<Service>) -> io::Result<()> {
    let listener = compio::net::TcpListener::from_std(listener)?;
    let mut incoming = (accepting == Accepting::All).then(|| listener.incoming());
    let open = OpenConnections::new();
    loop {
        let accepted = match &mut incoming {
            Some(incoming) => incoming.next().await,
            None => Some(listener.accept().await.map(|(stream, _)| stream)),
        };
        let Some(accepted) = accepted else { break };
        match accepted {
            Ok(stream) => {
                let place = open.insert(stream.clone());
                runtime::spawn(serve_connection(stream, service.accepted(), place)).detach();
            }
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => break,
                AfterAcceptError::Pause(pause) => sleep(pause).await,
            },
        }
    }
    open.for_each(|stream| {
        // The peer may have ended it already; then there is nothing to do.
        let _ = SockRef::from(stream).shutdown(Shutdown::Both);
    });
    open.until_all_ended().await;
    Ok(())
}

/// Runs each slot as a task.
async fn drive(slots: Vec<Slot>) {
    let tasks: Vec<_> =
        slots.into_iter().map(|slot| runtime::spawn(run_sessions::<TcpStream>(slot))).collect();
    for task in tasks {
        task.await.resume_unwind();
    }
}

impl Stream for TcpStream {
    type Lent = Vec<u8>;

    async fn connect(destination: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect(destination).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn send(&mut self, bytes: &[u8], lent: &mut Vec<u8>) -> io::Result<usize> {
        let mut buffer = with_room(lent, bytes.len());
        buffer.extend_from_slice(bytes);
        let mut sent = 0;
        // A piece that went out is not copied again to send the rest.
        while sent < buffer.len() {
            let BufResult(outcome, rest) = self.write(buffer.slice(sent..)).await;
            buffer = rest.into_inner();
            sent += outcome?;
        }
        *lent = buffer;
        Ok(sent)
    }

    async fn receive(&mut self, room: &mut [u8], lent: &mut Vec<u8>) -> io::Result<usize> {
        let buffer = with_room(lent, room.len());
        let BufResult(outcome, filled) = self.read(buffer.slice(..room.len())).await;
        let n = outcome?;
        room[..n].copy_from_slice(&filled);
        *lent = filled.into_inner();
        Ok(n)
    }

    async fn sleep_until(until: Instant) -> io::Result<()> {
        sleep_until(until).await;
        Ok(())
    }

    async fn offload(time: Duration) -> io::Result<()> {
        runtime::spawn_blocking(move || spend(time)).await.resume_unwind();
        Ok(())
    }
}
