//! `tokio-uring`: tokio's current-thread scheduler with an io_uring beside it; one of both per worker.
//!
//! The kernel reads into and writes from a buffer that it is lent, so each connection has one, and its bytes are copied
//! to and from the end's. The ring is as the crate makes it: with deferred task work it hangs, for it waits on epoll for
//! completions that only a call to the ring would bring about.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_uring::{Runtime, buf::BoundedBuf as _, net::TcpStream};

use super::{
    About, Backend, Maintenance, Model, Threading, Unavailable,
    lent::with_room,
    on_threads, serve_on_threads,
    session::{Stream, run_sessions, serve_connection},
    uring,
};
use crate::{
    load::{Load, Slot},
    service::{AfterAcceptError, Service, spend},
};

pub(super) struct TokioUring;

static ABOUT: About = About {
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

impl Backend for TokioUring {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        // An accept in the ring would be told at once that a non-blocking listener has nobody.
        listener.set_nonblocking(false)?;
        let workers = ABOUT.worker_threads(service.config().workers)?;
        // Accepts are woken in the order in which they wait: of several workers the first would have the first so many
        // connections.
        let accepts = if workers == 1 { ACCEPTS_IN_FLIGHT } else { 1 };
        let listeners: io::Result<Vec<_>> = (0..workers).map(|_| listener.try_clone()).collect();
        let set_up = |listener| Ok((new_runtime()?, listener));
        serve_on_threads(service, listeners?, set_up, |(runtime, listener)| {
            runtime.block_on(serve(listener, accepts, service));
            Ok(())
        })
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let workers = ABOUT.worker_threads(load.plan().workers)?;
        on_threads(load.slots_for(workers), |slots| {
            new_runtime()?.block_on(drive(slots));
            Ok(())
        })
    }
}

fn new_runtime() -> io::Result<Runtime> {
    Runtime::new(&tokio_uring::builder())
}

/// Accepts of a single worker that are in flight at a time. One alone would bring a connection per turn of the loop, and a turn
/// takes long while thousands of connections have something to say.
const ACCEPTS_IN_FLIGHT: usize = 32;

/// Serves until the service stops, with so many accepts in flight. Dropping the runtime then drops the tasks that are left, and
/// waits until the kernel has given every buffer back.
async fn serve(listener: TcpListener, accepts: usize, service: &Arc<Service>) {
    let listener = Rc::new(tokio_uring::net::TcpListener::from_std(listener));
    let accept = |_| tokio_uring::spawn(accept_connections(Rc::clone(&listener), Arc::clone(service)));
    let accepting: Vec<_> = (0..accepts).map(accept).collect();
    for task in accepting {
        task.await.expect("an accepting task neither panics nor is cancelled");
    }
}

/// Accepts until the service stops, one connection after the other.
async fn accept_connections(listener: Rc<tokio_uring::net::TcpListener>, service: Arc<Service>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                drop(tokio_uring::spawn(serve_connection(stream, service.accepted(), ())));
            }
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => return,
                AfterAcceptError::Pause(pause) => tokio::time::sleep(pause).await,
            },
        }
    }
}

async fn drive(slots: Vec<Slot>) {
    let tasks: Vec<_> =
        slots.into_iter().map(|slot| tokio_uring::spawn(run_sessions::<TcpStream>(slot))).collect();
    for task in tasks {
        task.await.expect("a slot's task neither panics nor is cancelled");
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
            let (outcome, rest) = self.write(buffer.slice(sent..)).submit().await;
            buffer = rest.into_inner();
            sent += outcome?;
        }
        *lent = buffer;
        Ok(sent)
    }

    async fn receive(&mut self, room: &mut [u8], lent: &mut Vec<u8>) -> io::Result<usize> {
        let buffer = with_room(lent, room.len());
        let (outcome, filled) = self.read(buffer.slice(..room.len())).await;
        let n = outcome?;
        *lent = filled.into_inner();
        room[..n].copy_from_slice(&lent[..n]);
        Ok(n)
    }

    async fn sleep_until(until: Instant) -> io::Result<()> {
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }

    async fn offload(time: Duration) -> io::Result<()> {
        Ok(tokio::task::spawn_blocking(move || spend(time)).await?)
    }
}
