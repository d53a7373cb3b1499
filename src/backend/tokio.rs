//! `tokio`: tokio's multi-thread scheduler.
//!
//! The accept loop is spawned, not run in `block_on`, so that it runs on a worker like the tasks that it spawns.
//! Each end's read buffer is larger than a message, for tokio takes a read that fills its buffer for one that has
//! left something behind, and asks again.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use super::{
    About, Backend, Maintenance, Model, Threading,
    session::{Stream, run_sessions, serve_connection},
};
use crate::{
    load::{Load, Slot},
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
            Ok((stream, _)) => drop(tokio::spawn(serve_connection(stream, service.accepted(), ()))),
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
    let mut tasks: JoinSet<()> = slots.into_iter().map(run_sessions::<TcpStream>).collect();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a slot's task neither panics nor is cancelled");
    }
}

impl Stream for TcpStream {
    type Lent = ();

    async fn connect(destination: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect(destination).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn send(&mut self, bytes: &[u8], (): &mut ()) -> io::Result<usize> {
        self.write(bytes).await
    }

    async fn receive(&mut self, room: &mut [u8], (): &mut ()) -> io::Result<usize> {
        self.read(room).await
    }

    async fn sleep_until(until: Instant) -> io::Result<()> {
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }

    async fn offload(time: Duration) -> io::Result<()> {
        Ok(spawn_blocking(move || spend(time)).await?)
    }
}
