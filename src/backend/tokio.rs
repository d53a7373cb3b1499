//! `tokio`: tokio's multi-thread scheduler.
//!
//! The accept loop is spawned, not run in `block_on`, so that it runs on a worker like the tasks that it spawns.
//! Each end's read buffer is larger than a message, for tokio takes a read that fills its buffer for one that has
//! left something behind, and asks again.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::{JoinSet, spawn_blocking},
    time::{sleep, sleep_until},
};

use super::{About, Backend, Maintenance, Model, Threading};
use crate::{
    load::{Load, Slot},
    protocol::{End, SessionError, Want},
    service::{AfterAcceptError, Service, spend},
};

pub(super) struct Tokio;

static ABOUT: About = About {
    name: "tokio",
    crate_name: Some("tokio"),
    model: Model::Readiness,
    threading: Threading::Multi,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("spawn_blocking"),
    portable: true,
    summary: "tokio's multi-thread scheduler",
};

impl Backend for Tokio {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        let runtime = multi_thread(service.config().workers)?;
        let serving = runtime.spawn(serve(listener, Arc::clone(service)));
        runtime.block_on(serving)?
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let runtime = multi_thread(load.plan().workers)?;
        let driving = runtime.spawn(drive(load.slots().collect::<Vec<_>>()));
        Ok(runtime.block_on(driving)?)
    }
}

fn multi_thread(workers: Option<usize>) -> io::Result<Runtime> {
    let workers = ABOUT.worker_threads(workers)?;
    Builder::new_multi_thread().worker_threads(workers).enable_all().build()
}

/// Accepts until the service stops. Dropping the runtime then drops the tasks that are left.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                let mut connection = service.accepted();
                tokio::spawn(async move {
                    let outcome = converse(&mut stream, &mut connection).await;
                    connection.ended(outcome);
                });
            }
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => return Ok(()),
                AfterAcceptError::Pause(pause) => sleep(pause).await,
            },
        }
    }
}

/// Runs each slot as a task.
pub(super) async fn drive(slots: impl IntoIterator<Item = Slot>) {
    let mut tasks: JoinSet<()> = slots.into_iter().map(run_sessions).collect();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a slot's task neither panics nor is cancelled");
    }
}

async fn run_sessions(mut slot: Slot) {
    while let Some(destination) = slot.next_session() {
        let outcome = run_session(destination, &mut slot).await;
        slot.ended(outcome);
    }
}

async fn run_session(destination: SocketAddr, slot: &mut Slot) -> Result<(), SessionError> {
    let mut stream = TcpStream::connect(destination).await?;
    stream.set_nodelay(true)?;
    slot.connected(Instant::now());
    converse(&mut stream, slot).await
}

async fn converse(stream: &mut TcpStream, end: &mut impl End) -> Result<(), SessionError> {
    loop {
        match end.want() {
            Want::Write(bytes) => {
                let n = stream.write(bytes).await?;
                end.wrote(n);
            }
            Want::Read(buffer) => match stream.read(buffer).await? {
                0 => end.eof()?,
                n => end.read(n, Instant::now)?,
            },
            Want::Wait(until) => {
                sleep_until(until.into()).await;
                end.woke(Instant::now());
            }
            Want::Offload(time) => {
                spawn_blocking(move || spend(time)).await.map_err(io::Error::from)?;
                end.woke(Instant::now());
            }
            Want::Close => return Ok(()),
        }
    }
}
