//! `glommio`: an executor per worker, told by its io_uring which sockets are ready; neither pinned nor spinning.
//!
//! Reads and writes themselves are system calls, made once a socket is ready, or first of all on the chance that it is.
//! An executor needs 512 KiB of memory that may be locked, and starts a thread for blocking calls, of which there are none.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{FromRawFd as _, IntoRawFd as _},
    pin::pin,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use glommio::{
    LocalExecutor, LocalExecutorBuilder, Placement, Task, net::TcpStream, spawn_local, timer::sleep,
};
use slab::Slab;

use super::{
    About, Backend, Maintenance, Model, Threading, Unavailable, on_threads, serve_on_threads,
    session::{Stream, run_sessions, serve_connection},
    uring,
};
use crate::{
    load::Load,
    service::{AfterAcceptError, Service, spend},
};

pub(super) struct Glommio;

/// After how long an executor interrupts its tasks to look at its rings: never, in effect.
///
/// With 1 ms a client with 2,000 connections hung. As the source reads (`LocalExecutor::run_task_queues`), an executor that
/// finds the time to be up before it has run its first task takes it that there is none, and sleeps on those that are ready;
/// the default of 100 ms would only make that rarer. No task here is long, and one that might be lets the others have their
/// turn by itself.
const INTERRUPTED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

static ABOUT: About = About {
    name: "glommio",
    crate_name: Some("glommio"),
    // It asks the ring whether a socket is ready, and then reads and writes by system calls.
    model: Model::Readiness,
    threading: Threading::Loops,
    maintenance: Maintenance::Dormant { last_release: 2024 },
    // Of bitmaps, lockfree, owned-alloc (lockfree stands on it) and instant.
    advisories: &[
        "RUSTSEC-2024-0384",
        "RUSTSEC-2025-0167",
        "RUSTSEC-2026-0247",
        "RUSTSEC-2026-0284",
        "RUSTSEC-2026-0291",
        "RUSTSEC-2026-0299",
    ],
    offload: Some("spawn_blocking"),
    portable: false,
    summary: "glommio's executors, told of readiness by io_uring",
};

impl Backend for Glommio {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()?;
        new_executor().map(drop).map_err(|error| Unavailable(error.to_string()))
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        // An accept in the ring would be told at once that a non-blocking listener has nobody.
        listener.set_nonblocking(false)?;
        let workers = ABOUT.worker_threads(service.config().workers)?;
        let listeners: io::Result<Vec<_>> = (0..workers).map(|_| listener.try_clone()).collect();
        let accepting = Mutex::new(());
        let set_up = |listener| Ok((new_executor()?, listener));
        serve_on_threads(service, listeners?, set_up, |(executor, listener)| {
            executor.run(serve(listener, service, &accepting));
            Ok(())
        })
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let workers = ABOUT.worker_threads(load.plan().workers)?;
        on_threads(load.slots_for(workers), |slots| {
            new_executor()?.run(async {
                let tasks: Vec<_> =
                    slots.into_iter().map(|slot| spawn_local(run_sessions::<TcpStream>(slot))).collect();
                for task in tasks {
                    task.await;
                }
            });
            Ok(())
        })
    }
}

fn new_executor() -> io::Result<LocalExecutor> {
    // It keeps memory for file I/O in store, locked; there is none, so it gets the least.
    let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory(0).preempt_timer(INTERRUPTED_AFTER);
    Ok(builder.make()?)
}

/// Accepts until the service stops, then cancels the tasks that are left: an executor does not drop those that wait.
async fn serve(listener: TcpListener, service: &Arc<Service>, accepting: &Mutex<()>) {
    // SAFETY: the descriptor is a listening socket's, and into_raw_fd gave it up, so that nobody else closes it.
    #[allow(unsafe_code)]
    let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
    let tasks = Rc::default();
    loop {
        match accept(&listener, accepting).await {
            Ok(stream) => spawn_connection(stream, service, &tasks),
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => break,
                AfterAcceptError::Pause(pause) => sleep(pause).await,
            },
        }
    }
    let left = tasks.take();
    for task in left.into_iter().filter_map(|(_, task)| task) {
        task.cancel().await;
    }
}

/// Waits for a connection.
///
/// To try the listener, glommio makes it non-blocking and then again what it was. That belongs to the socket, which all
/// workers share: one that tried meanwhile might find it blocking. So they try one after the other.
async fn accept(listener: &glommio::net::TcpListener, accepting: &Mutex<()>) -> io::Result<TcpStream> {
    let mut accepted = pin!(listener.accept());
    let accepted = poll_fn(|context| {
        let _turn = accepting.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.as_mut().poll(context)
    });
    Ok(accepted.await?)
}

/// The tasks of open connections; `None` while a task is being spawned.
type Tasks = Rc<RefCell<Slab<Option<Task<()>>>>>;

/// Spawns the task of a connection, which takes itself off the others when it ends.
fn spawn_connection(stream: TcpStream, service: &Arc<Service>, tasks: &Tasks) {
    let key = tasks.borrow_mut().insert(None);
    let connection = service.accepted();
    let theirs = Rc::clone(tasks);
    let task = spawn_local(async move {
        serve_connection(stream, connection, ()).await;
        drop(theirs.borrow_mut().try_remove(key).flatten().map(Task::detach));
    });
    // Spawning runs it as far as it goes, which may be to its end.
    match tasks.borrow_mut().get_mut(key) {
        Some(place) => *place = Some(task),
        None => drop(task.detach()),
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
        sleep(until.saturating_duration_since(Instant::now())).await;
        Ok(())
    }

    async fn offload(time: Duration) -> io::Result<()> {
        glommio::executor().spawn_blocking(move || spend(time)).await;
        Ok(())
    }

    /// Lets the other tasks have their turn, those too whose sockets get ready meanwhile: rings are looked at when no task
    /// is ready, and this one is not before a timer that is already over was looked at beside them.
    async fn let_others() {
        sleep(Duration::ZERO).await;
    }
}
