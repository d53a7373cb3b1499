//! `may`: stackful coroutines on as many workers as there are processors; blocking calls that yield.
//!
//! The scheduler starts once per process, with the number of workers that was set by then; a second number in the same
//! process is an error, never silently ignored. Its workers are not pinned, for the others' are not.
//!
//! may's own streams can't be made of a listener that somebody else opened, but for an unsafe call. So the server's are
//! the standard library's, and [`CoIo`] makes a coroutine wait for them. It is lent its stream: one that owned it would
//! close it before taking it off epoll, where another connection may have that number by then.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, OnceLock},
    time::Instant,
};

use may::{
    coroutine, go,
    io::{CoIo, WaitIo as _},
    sync::WaitGroup,
};

use super::{
    About, Backend, Maintenance, Model, Threading,
    open::{Open, OpenConnections},
    readiness::FULL_READS_PER_TURN,
};
use crate::{
    load::{Load, Slot},
    protocol::{End, SessionError, Want},
    service::{AfterAcceptError, Connection, Service},
};

pub(super) struct May;

static ABOUT: About = About {
    name: "may",
    crate_name: Some("may"),
    model: Model::Readiness,
    threading: Threading::Multi,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: true,
    summary: "may's coroutines, each with a stack of its own",
};

impl Backend for May {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        start_scheduler(service.config().workers)?;
        let service = Arc::clone(service);
        let serving = go!(move || serve(listener, &service));
        serving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        start_scheduler(load.plan().workers)?;
        let coroutines: Vec<_> = load.slots().map(|slot| go!(move || run_sessions(slot))).collect();
        for coroutine in coroutines {
            coroutine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        Ok(())
    }
}

/// Sets the number of workers, the first time.
fn start_scheduler(workers: Option<usize>) -> io::Result<()> {
    static WORKERS: OnceLock<usize> = OnceLock::new();
    let workers = ABOUT.worker_threads(workers)?;
    let started = *WORKERS.get_or_init(|| {
        may::config().set_workers(workers).set_worker_pin(false);
        workers
    });
    if started == workers {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "may's scheduler has {started} workers for the life of this process; {workers} need another"
    )))
}

/// Accepts until the service stops, then ends the connections that are left.
fn serve(listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
    let open = OpenConnections::new();
    let all_ended = WaitGroup::new();
    let listener = Arc::new(listener);
    let waiting = CoIo::new(Arc::clone(&listener))?;
    while let Some(stream) = accept(&waiting, service) {
        let (stream, connection) = (Arc::new(stream), service.accepted());
        let (place, ended) = (open.insert(Arc::clone(&stream)), all_ended.clone());
        go!(move || {
            serve_connection(&stream, connection, place);
            drop(ended);
        });
    }
    open.for_each(|stream| {
        // The peer may have ended it already; then there is nothing to do.
        let _ = stream.shutdown(Shutdown::Both);
    });
    all_ended.wait();
    Ok(())
}

/// Waits for a connection; `None` when the service stops.
fn accept(listener: &CoIo<Arc<TcpListener>>, service: &Service) -> Option<TcpStream> {
    loop {
        match listener.inner().accept() {
            Ok((stream, _)) => return Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => drop(listener.wait_io()),
            Err(error) => match service.accept_failed(&error) {
                AfterAcceptError::Again => {}
                AfterAcceptError::Stop => return None,
                AfterAcceptError::Pause(pause) => coroutine::sleep(pause),
            },
        }
    }
}

fn serve_connection(stream: &TcpStream, mut connection: Connection, place: Open<Arc<TcpStream>>) {
    let outcome = take_turns(stream, &mut connection);
    connection.ended(outcome);
    drop(place);
}

/// Drives a connection to its end.
///
/// A worker looks at epoll only when no coroutine is ready, so one that yields to the others still keeps those away whose
/// message comes meanwhile. Registered anew, a stream is ready when epoll says so, after all that was there before it.
fn take_turns(stream: &TcpStream, connection: &mut Connection) -> Result<(), SessionError> {
    let mut registered = register(stream)?;
    while converse(&mut registered, connection)? == AfterTurn::Again {
        drop(registered);
        registered = register(stream)?;
        registered.wait_io();
    }
    Ok(())
}

fn register(stream: &TcpStream) -> io::Result<CoIo<Lent<'_>>> {
    Ok(CoIo::new(Lent(stream))?)
}

/// A stream that somebody else closes.
struct Lent<'a>(&'a TcpStream);

impl AsRawFd for Lent<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Read for Lent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Lent<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn run_sessions(mut slot: Slot) {
    while let Some(destination) = slot.next_session() {
        let outcome = run_session(destination, &mut slot);
        slot.ended(outcome);
    }
}

fn run_session(destination: SocketAddr, slot: &mut Slot) -> Result<(), SessionError> {
    let mut stream = may::net::TcpStream::connect(destination)?;
    stream.set_nodelay(true)?;
    slot.connected(Instant::now());
    // No reply fills the buffer, so there is never another turn.
    converse(&mut stream, slot).map(drop)
}

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
enum AfterTurn {
    /// There may be more to do at once; others first.
    Again,
    /// The session is over.
    Over,
}

/// The blocking loop, of server and client alike: it yields where a thread would sleep.
fn converse<S: Read + Write>(stream: &mut S, end: &mut impl End) -> Result<AfterTurn, SessionError> {
    let mut full_reads = 0;
    loop {
        match end.want() {
            Want::Write(bytes) => match stream.write(bytes) {
                Ok(n) => end.wrote(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            },
            Want::Read(_) if full_reads == FULL_READS_PER_TURN => return Ok(AfterTurn::Again),
            Want::Read(buffer) => {
                let room = buffer.len();
                match stream.read(buffer) {
                    Ok(0) => end.eof()?,
                    Ok(n) => {
                        full_reads += u32::from(n == room);
                        end.read(n, Instant::now)?;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Want::Wait(until) => {
                coroutine::sleep(until.saturating_duration_since(Instant::now()));
                end.woke(Instant::now());
            }
            Want::Offload(_) => unreachable!("may is not asked to offload"),
            Want::Close => return Ok(AfterTurn::Over),
        }
    }
}
