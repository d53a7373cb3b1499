//! `smol`: smol's work-stealing executor, run by as many threads as there are workers.
//!
//! An executor of its own, for smol's global one has the number of threads that an environment variable says.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use smol::{
    Async, Executor, LocalExecutor, Timer, channel,
    future::yield_now,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    About, Backend, Maintenance, Model, Threading,
    session::{Stream, run_sessions, serve_connection},
};
use crate::{
    load::{Load, Slot},
    service::{AfterAcceptError, Connection, Service, spend},
};

pub(super) struct Smol;

/// The one function of smol that is no other crate's: it is in the program so that the program tells which smol it has.
#[used]
static OWN_CODE: fn(std::future::Ready<()>) -> smol::Task<()> = smol::spawn;

static ABOUT: About = About {
    name: "smol",
    crate_name: Some("smol"),
    model: Model::Readiness,
    threading: Threading::Multi,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: Some("unblock"),
    portable: true,
    summary: "smol's executor on several threads",
};

impl Backend for Smol {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        let executor = Executor::new();
        let accepting = accept_connections(listener, service, |stream, connection| {
            executor.spawn(serve_connection(stream, connection, ())).detach();
        });
        run(&executor, service.config().workers, accepting)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let executor = Executor::new();
        run(&executor, load.plan().workers, async {
            let tasks: Vec<_> =
                load.slots().map(|slot| executor.spawn(run_sessions::<TcpStream>(slot))).collect();
            for task in tasks {
                task.await;
            }
            Ok(())
        })
    }
}

/// Runs `main` and all that it spawns, on this thread and as many others as it takes, until `main` is done.
fn run(
    executor: &Executor<'static>,
    workers: Option<usize>,
    main: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let workers = ABOUT.worker_threads(workers)?;
    let (done, wait_until_done) = channel::bounded::<()>(1);
    thread::scope(|scope| {
        // Dropped when `main` is done, and also when it panics: a closed channel ends the other threads.
        let _done = done;
        for _ in 1..workers {
            let work = || smol::block_on(executor.run(wait_until_done.recv()));
            thread::Builder::new().spawn_scoped(scope, work)?;
        }
        smol::block_on(executor.run(main))
    })
}

/// Serves on this thread alone.
pub(super) fn serve_on_one(listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(accept_connections(listener, service, |stream, connection| {
        executor.spawn(serve_connection(stream, connection, ())).detach();
    })))
}

/// Drives slots on this thread alone.
pub(super) fn drive_on_one(slots: impl IntoIterator<Item = Slot>) {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let tasks: Vec<_> =
            slots.into_iter().map(|slot| executor.spawn(run_sessions::<TcpStream>(slot))).collect();
        for task in tasks {
            task.await;
        }
    }));
}

/// Accepts until the service stops, and hands each connection to `spawn`.
async fn accept_connections(
    listener: TcpListener,
    service: &Arc<Service>,
    spawn: impl Fn(TcpStream, Connection),
) -> io::Result<()> {
    let listener = smol::net::TcpListener::from(Async::new(listener)?);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => spawn(stream, service.accepted()),
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => return Ok(()),
                AfterAcceptError::Pause(pause) => drop(Timer::after(pause).await),
            },
        }
    }
}

impl Stream for TcpStream {
    type Lent = ();
    const TRIES_FIRST: bool = true;

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
        Timer::at(until).await;
        Ok(())
    }

    async fn offload(time: Duration) -> io::Result<()> {
        smol::unblock(move || spend(time)).await;
        Ok(())
    }

    async fn let_others() {
        yield_now().await;
    }
}
