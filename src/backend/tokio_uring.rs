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
    time::Instant,
};

use tokio_uring::{Runtime, buf::BoundedBuf as _, net::TcpStream};

use super::{
    About, Backend, Maintenance, Model, Threading, Unavailable, lent::with_room, on_threads,
    serve_on_threads, uring,
};
use crate::{
    load::{Load, Slot},
    protocol::{End, SessionError, Want},
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
                let mut connection = service.accepted();
                tokio_uring::spawn(async move {
                    let outcome = converse(&stream, &mut connection, &mut Vec::new()).await;
                    connection.ended(outcome);
                });
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
    let tasks: Vec<_> = slots.into_iter().map(|slot| tokio_uring::spawn(run_sessions(slot))).collect();
    for task in tasks {
        task.await.expect("a slot's task neither panics nor is cancelled");
    }
}

async fn run_sessions(mut slot: Slot) {
    let mut lent = Vec::new();
    while let Some(destination) = slot.next_session() {
        let outcome = run_session(destination, &mut slot, &mut lent).await;
        slot.ended(outcome);
    }
}

async fn run_session(
    destination: SocketAddr,
    slot: &mut Slot,
    lent: &mut Vec<u8>,
) -> Result<(), SessionError> {
    let stream = TcpStream::connect(destination).await?;
    stream.set_nodelay(true)?;
    slot.connected(Instant::now());
    converse(&stream, slot, lent).await
}

/// Drives an end to the end of its session. `lent` is what the kernel reads into and writes from.
async fn converse(stream: &TcpStream, end: &mut impl End, lent: &mut Vec<u8>) -> Result<(), SessionError> {
    loop {
        match end.want() {
            Want::Write(bytes) => {
                let mut buffer = with_room(lent, bytes.len());
                buffer.extend_from_slice(bytes);
                let mut sent = 0;
                // A piece that went out is not copied again to send the rest.
                while sent < buffer.len() {
                    let (outcome, rest) = stream.write(buffer.slice(sent..)).submit().await;
                    buffer = rest.into_inner();
                    let n = outcome?;
                    sent += n;
                    end.wrote(n);
                }
                *lent = buffer;
            }
            Want::Read(into) => {
                let buffer = with_room(lent, into.len());
                let (outcome, buffer) = stream.read(buffer.slice(..into.len())).await;
                *lent = buffer.into_inner();
                match outcome? {
                    0 => end.eof()?,
                    n => {
                        into[..n].copy_from_slice(&lent[..n]);
                        end.read(n, Instant::now)?;
                    }
                }
            }
            Want::Wait(until) => {
                tokio::time::sleep_until(until.into()).await;
                end.woke(Instant::now());
            }
            Want::Offload(time) => {
                tokio::task::spawn_blocking(move || spend(time)).await.map_err(io::Error::from)?;
                end.woke(Instant::now());
            }
            Want::Close => return Ok(()),
        }
    }
}
