//! `kimojio`: kimojio on io_uring, as it is shipped.
//!
//! - A future of an operation borrows its buffer, so the kernel reads into the end and sends from it. One that is dropped
//!   cancels its operation and holds the thread until the kernel has let go of the buffer (`ring_future.rs`, `drop`).
//! - A runtime that ends with its main task drops the tasks that are left while its ring still works, so that stopping needs no
//!   list of connections.
//! - Every operation is waited for in the ring, also one that is done at once, so each is a turn of the others.
//! - A timer owns what the kernel reads and is not waited for: one that runs when the runtime ends leaks its task, some hundred
//!   bytes each.
//! - The ring belongs to the thread, not to the runtime, and making one panics where it can't be had. A thread has a second
//!   one, for polled files, which nothing here uses.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    panic::resume_unwind,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use kimojio::{
    OwnedFd, Runtime,
    configuration::{Configuration, ExitBehavior},
    operations::{self, AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, spawn_task},
};
use socket2::SockRef;

use super::{
    About, Backend, Maintenance, Model, Threading, Unavailable, on_threads, serve_when_ready,
    session::{Stream, run_sessions, serve_connection},
    uring,
};
use crate::{
    load::{Load, Slot},
    service::{AfterAcceptError, Service},
};

pub(super) struct Kimojio;

static ABOUT: About = About {
    name: "kimojio",
    crate_name: Some("kimojio"),
    model: Model::Completion,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: false,
    summary: "kimojio on io_uring, as shipped",
};

impl Backend for Kimojio {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    /// Serves on a runtime for each worker. They share the listener: of those that wait in `accept`, a connection wakes one,
    /// for io_uring waits for a listener with EPOLLEXCLUSIVE (`poll_exclusive` in io_uring/opdef.c).
    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        let workers = ABOUT.worker_threads(service.config().workers)?;
        // Accepts are woken in the order in which they wait: of several workers the first would have the first so many
        // connections.
        let accepts = if workers == 1 { ACCEPTS } else { 1 };
        let listeners = (0..workers).map(|_| listener.try_clone()).collect::<io::Result<_>>()?;
        serve_when_ready(service, listeners, |listener, ready| {
            let (runtime, service) = (new_runtime(ExitBehavior::WhenMainTaskCompletes), Arc::clone(service));
            // It takes its last descriptor when its loop begins.
            run(runtime, async move {
                ready.wait_for_all();
                serve(listener, accepts, service).await;
            });
            Ok(())
        })
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let workers = ABOUT.worker_threads(load.plan().workers)?;
        on_threads(load.slots_for(workers), |slots| {
            // Each of its tasks ends by itself.
            run(new_runtime(ExitBehavior::WhenEmpty), drive(slots));
            Ok(())
        })
    }
}

/// How many connections a single worker accepts in one turn. A turn is long when many are busy, and a crowd would come in one
/// by one with a single accept in each.
const ACCEPTS: usize = 64;

/// Makes the runtime of this thread.
fn new_runtime(exit: ExitBehavior) -> Runtime {
    // The number tells threads apart in a trace, and nothing is traced.
    Runtime::new(0, Configuration::new().set_exit_behavior(exit))
}

/// Runs a main task to its end; where it panicked, so does this thread.
fn run(mut runtime: Runtime, main: impl Future<Output = ()> + 'static) {
    // There is no outcome of a loop that was told to shut down, which nobody tells this one.
    if let Some(Err(panic)) = runtime.block_on(main) {
        resume_unwind(panic);
    }
}

/// Accepts, so many at a time, until the service stops. The runtime then drops the connections that are left.
async fn serve(listener: TcpListener, accepts: usize, service: Arc<Service>) {
    let listener = Rc::new(listener);
    let accept = |_| spawn_task(accept_connections(Rc::clone(&listener), Arc::clone(&service)));
    let accepting: Vec<_> = (0..accepts).map(accept).collect();
    for task in accepting {
        task.await.expect("an accepting task neither panics nor is cancelled");
    }
}

/// Accepts one connection after the other until the service stops.
///
/// The listener stays in blocking mode: io_uring takes O_NONBLOCK for the wish to be told EAGAIN, and waits no more.
async fn accept_connections(listener: Rc<TcpListener>, service: Arc<Service>) {
    loop {
        match operations::accept(&listener).await {
            Ok(socket) => {
                spawn_task(serve_connection(socket, service.accepted(), ()));
            }
            Err(error) => match service.accept_failed(&error.into()) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => return,
                AfterAcceptError::Pause(pause) => {
                    // It fails when it is cancelled, and nobody cancels it.
                    let _ = operations::sleep(pause).await;
                }
            },
        }
    }
}

/// Runs each slot as a task.
async fn drive(slots: Vec<Slot>) {
    let tasks: Vec<_> = slots.into_iter().map(|slot| spawn_task(run_sessions::<OwnedFd>(slot))).collect();
    for task in tasks {
        task.await.expect("a slot's task neither panics nor is cancelled");
    }
}

impl Stream for OwnedFd {
    type Lent = ();

    /// Connects as kimojio's own `create_client_socket` does, but for the keep-alive that it sets.
    async fn connect(destination: SocketAddr) -> io::Result<Self> {
        let family = if destination.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = operations::socket(family, SocketType::STREAM, Some(ipproto::TCP)).await?;
        operations::connect(&socket, &destination).await?;
        SockRef::from(&socket).set_tcp_nodelay(true)?;
        Ok(socket)
    }

    async fn send(&mut self, bytes: &[u8], (): &mut ()) -> io::Result<usize> {
        Ok(operations::send(self, bytes, SendFlags::empty(), None).await?)
    }

    async fn receive(&mut self, room: &mut [u8], (): &mut ()) -> io::Result<usize> {
        Ok(operations::recv(self, room, RecvFlags::empty(), None).await?)
    }

    async fn sleep_until(until: Instant) -> io::Result<()> {
        Ok(operations::sleep_until(until).await?)
    }

    /// Closes in the ring.
    async fn close(self) {
        // The descriptor is gone whatever the answer (close(2)).
        let _ = operations::close(self).await;
    }
}
