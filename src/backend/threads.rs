//! `threads`: a blocking thread for each connection, gone when it closes.
//!
//! The client has a thread for each slot, which runs its sessions one after the other: a thread for each session
//! would measure the making of threads twice.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, RwLock},
    thread::{self, Builder, Scope},
    time::Instant,
};

use super::{About, Backend, Maintenance, Model, Threading, open::OpenConnections};
use crate::{
    load::{Load, Slot},
    protocol::{End, SessionError, Want},
    service::{AfterAcceptError, Service},
};

/// The stack of a thread. Its conversation needs a few KiB, and the default of 2 MiB is much to map for that.
const STACK_BYTES: usize = 64 * 1024;

pub(super) struct Threads;

static ABOUT: About = About {
    name: "threads",
    crate_name: None,
    model: Model::Blocking,
    threading: Threading::PerConnection,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: true,
    summary: "a blocking thread for each connection",
};

impl Backend for Threads {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        ABOUT.worker_threads(service.config().workers)?;
        let open = OpenConnections::new();
        thread::scope(|scope| {
            while let Some(stream) = accept(&listener, service) {
                let open = &open;
                let spawned = small_thread(scope, move || converse_until_closed(stream, service, open));
                if spawned.is_err() {
                    // Dropping the stream closed it: this client alone is turned away.
                    thread::sleep(OUT_OF_THREADS_PAUSE);
                }
            }
            shut_down(&open);
        });
        Ok(())
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        ABOUT.worker_threads(load.plan().workers)?;
        drive_on_threads(load)
    }
}

/// How long to wait before the next connection when the system gives no more threads.
const OUT_OF_THREADS_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Waits for a connection; `None` when the service stops.
pub(super) fn accept(listener: &TcpListener, service: &Service) -> Option<TcpStream> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Some(stream),
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => return None,
                AfterAcceptError::Pause(pause) => thread::sleep(pause),
            },
        }
    }
}

/// Serves one connection to its end.
pub(super) fn converse_until_closed(
    stream: TcpStream,
    service: &Arc<Service>,
    open: &Arc<OpenConnections<Arc<TcpStream>>>,
) {
    let mut connection = service.accepted();
    let stream = Arc::new(stream);
    let place = open.insert(Arc::clone(&stream));
    // Looked at only after the insertion: whoever stops the service later finds the stream, and shuts it down.
    let outcome = if service.is_stopping() { Ok(()) } else { converse(&stream, &mut connection) };
    connection.ended(outcome);
    drop(place);
}

/// Ends every conversation from outside: its read returns.
pub(super) fn shut_down(open: &OpenConnections<Arc<TcpStream>>) {
    open.for_each(|stream| {
        // The peer may have ended it already; then there is nothing to do.
        let _ = stream.shutdown(Shutdown::Both);
    });
}

/// Runs each slot on a thread of its own. None begins before all threads are there: making them is not measured.
pub(super) fn drive_on_threads(load: &Arc<Load>) -> io::Result<()> {
    let gate = RwLock::new(());
    thread::scope(|scope| {
        let closed = gate.write();
        let started = load.slots().try_for_each(|slot| {
            let gate = &gate;
            small_thread(scope, move || {
                drop(gate.read());
                run_sessions(slot);
            })
        });
        drop(closed);
        started
    })
}

/// Starts a thread with a small stack.
pub(super) fn small_thread<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).map(drop)
}

fn run_sessions(mut slot: Slot) {
    while let Some(destination) = slot.next_session() {
        let outcome = run_session(destination, &mut slot);
        slot.ended(outcome);
    }
}

fn run_session(destination: SocketAddr, slot: &mut Slot) -> Result<(), SessionError> {
    let stream = TcpStream::connect(destination)?;
    stream.set_nodelay(true)?;
    slot.connected(Instant::now());
    converse(&stream, slot)
}

/// The blocking loop, of server and client alike.
fn converse(mut stream: &TcpStream, end: &mut impl End) -> Result<(), SessionError> {
    loop {
        match end.want() {
            Want::Write(bytes) => match stream.write(bytes) {
                Ok(n) => end.wrote(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            },
            Want::Read(buffer) => match stream.read(buffer) {
                Ok(0) => end.eof()?,
                Ok(n) => end.read(n, Instant::now)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            },
            Want::Wait(until) => {
                thread::sleep(until.saturating_duration_since(Instant::now()));
                end.woke(Instant::now());
            }
            Want::Offload(_) => unreachable!("a thread of one connection is not asked to offload"),
            Want::Close => return Ok(()),
        }
    }
}
