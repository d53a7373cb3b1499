//! `async-std`: its one global runtime, discontinued, and still below many services.
//!
//! The runtime reads its number of threads once per process. What it runs on lets that number be set from inside,
//! before the first use; a second number in the same process is an error, never silently ignored.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use async_global_executor::GlobalExecutorConfig;
use async_std::{net::TcpStream, task};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future::yield_now};

use super::{
    About, Backend, Maintenance, Model, Threading,
    open::OpenConnections,
    session::{Stream, run_sessions, serve_connection},
};
use crate::{
    load::Load,
    service::{AfterAcceptError, Service, spend},
};

pub(super) struct AsyncStd;

static ABOUT: About = About {
    name: "async-std",
    crate_name: Some("async-std"),
    model: Model::Readiness,
    threading: Threading::Multi,
    maintenance: Maintenance::Discontinued,
    advisories: &["RUSTSEC-2025-0052"],
    offload: Some("spawn_blocking"),
    portable: true,
    summary: "async-std's global runtime",
};

impl Backend for AsyncStd {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        start_runtime(service.config().workers)?;
        task::block_on(task::spawn(serve(listener, Arc::clone(service))))
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        start_runtime(load.plan().workers)?;
        let tasks: Vec<_> = load.slots().map(|slot| task::spawn(run_sessions::<TcpStream>(slot))).collect();
        task::block_on(async {
            for task in tasks {
                task.await;
            }
        });
        Ok(())
    }
}

/// Starts the global runtime with so many threads, the first time.
fn start_runtime(workers: Option<usize>) -> io::Result<()> {
    static WORKERS: OnceLock<usize> = OnceLock::new();
    let workers = ABOUT.worker_threads(workers)?;
    let started = *WORKERS.get_or_init(|| {
        let config = GlobalExecutorConfig::default()
            // A variable that is set would go before the numbers; this one has no reason to be.
            .with_env_var("IODUEL_ASYNC_STD_THREADS")
            .with_min_threads(workers)
            .with_max_threads(workers);
        async_global_executor::init_with_config(config);
        workers
    });
    if started == workers {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "async-std's runtime has {started} threads for the life of this process; {workers} need another"
    )))
}

/// Accepts until the service stops, then ends the connections that are left.
async fn serve(listener: TcpListener, service: Arc<Service>) -> io::Result<()> {
    let listener = async_std::net::TcpListener::from(listener);
    let open = OpenConnections::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let place = open.insert(stream.clone());
                task::spawn(serve_connection(stream, service.accepted(), place));
            }
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => break,
                AfterAcceptError::Pause(pause) => task::sleep(pause).await,
            },
        }
    }
    open.for_each(|stream| {
        // The peer may have ended it already; then there is nothing to do.
        let _ = stream.shutdown(Shutdown::Both);
    });
    open.until_all_ended().await;
    Ok(())
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
        task::sleep(until.saturating_duration_since(Instant::now())).await;
        Ok(())
    }

    async fn offload(time: Duration) -> io::Result<()> {
        task::spawn_blocking(move || spend(time)).await;
        Ok(())
    }

    async fn let_others() {
        yield_now().await;
    }
}
