//! The contract of a backend, and the list of all.
//!
//! A backend is one I/O strategy, written as the best engineers of its runtime would write it: idiomatic, with
//! nothing left on the table. What it must do:
//!
//! - Drive each [`Connection`](crate::service::Connection) and each [`Slot`](crate::load::Slot) with one and the
//!   same loop, as [`crate::protocol`] shows.
//! - Stay idle when there is nothing to do: no spinning, no polling on a timer.
//! - Keep a fault with the connection that had it.
//! - Set no socket option that the others don't get: TCP_NODELAY on what it connects, nothing on what it accepts.
//! - When the service stops, close every connection and return; when the load is over, return.
//!
//! A backend of one's own, from the first connection to the last reply that was verified:
//!
//! ```
//! use std::{io, net::{TcpListener, TcpStream}, sync::Arc, thread, time::Instant};
//! use std::io::{Read as _, Write as _};
//! use ioduel::{load::{Extent, LoadPlan}, net::{ListenAt, listen}, prelude::*, protocol::Shape, service::ServerConfig};
//!
//! /// Blocking calls, one connection after the other.
//! struct OneByOne;
//!
//! static ABOUT: About = About::new("one-by-one", None, Model::Blocking, "one connection after the other");
//!
//! impl Backend for OneByOne {
//!     fn about(&self) -> &'static About {
//!         &ABOUT
//!     }
//!
//!     fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
//!         loop {
//!             match listener.accept() {
//!                 Ok((mut stream, _)) => {
//!                     let mut connection = service.accepted();
//!                     let outcome = converse(&mut stream, &mut connection);
//!                     connection.ended(outcome);
//!                 }
//!                 Err(error) => match service.accept_failed(&error) {
//!                     AfterAcceptError::Again => {}
//!                     AfterAcceptError::Pause(pause) => thread::sleep(pause),
//!                     AfterAcceptError::Stop => return Ok(()),
//!                 },
//!             }
//!         }
//!     }
//!
//!     fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
//!         for mut slot in load.slots() {
//!             while let Some(destination) = slot.next_session() {
//!                 let outcome = run_session(destination, &mut slot);
//!                 slot.ended(outcome);
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! fn run_session(destination: std::net::SocketAddr, slot: &mut Slot) -> Result<(), SessionError> {
//!     let mut stream = TcpStream::connect(destination)?;
//!     stream.set_nodelay(true)?;
//!     slot.connected(Instant::now());
//!     converse(&mut stream, slot)
//! }
//!
//! /// The same for both sides: an end says what it wants next.
//! fn converse(stream: &mut TcpStream, end: &mut impl End) -> Result<(), SessionError> {
//!     loop {
//!         match end.want() {
//!             Want::Write(bytes) => {
//!                 let n = stream.write(bytes)?;
//!                 end.wrote(n);
//!             }
//!             Want::Read(buffer) => match stream.read(buffer)? {
//!                 0 => end.eof()?,
//!                 n => end.read(n, Instant::now)?,
//!             },
//!             Want::Wait(until) => {
//!                 thread::sleep(until.saturating_duration_since(Instant::now()));
//!                 end.woke(Instant::now());
//!             }
//!             Want::Offload(_) => unreachable!("`About::offload` is `None`"),
//!             Want::Close => return Ok(()),
//!         }
//!     }
//! }
//!
//! # fn main() -> anyhow::Result<()> {
//! // Both sides in one process, as in a test; `ioduel::main(&[&OneByOne])` makes the whole program of it.
//! let listening = listen(ListenAt::Loopback)?;
//! let service = Service::new(ServerConfig::echoing(Shape::default().framing()), &listening.listener)?;
//! let serving = Arc::clone(&service);
//! let server = thread::spawn(move || OneByOne.serve(listening.listener, &serving));
//! let load = Load::new(LoadPlan {
//!     destinations: listening.destinations,
//!     connections: 1,
//!     shape: Shape::default(),
//!     extent: Extent::Sessions(3),
//!     workers: None,
//!     seed: 0,
//! })?;
//! OneByOne.drive(&load)?;
//! service.stop();
//! server.join().expect("it does not panic")?;
//! let run = load.result()?;
//! assert_eq!((run.sessions, run.messages, run.failures), (3, 24, 0));
//! # Ok(())
//! # }
//! ```
//!
//! Where a runtime can be run in ways that people choose between, each way is a backend with its own name, never a
//! hidden setting. To add one: a file here, a line in `BUILT` and in `FEATURES` of list.rs, a feature in Cargo.toml. Every bench, subcommand, test
//! and report iterates the list.

mod about;
#[cfg(feature = "async-std")]
mod async_std;
#[cfg(feature = "compio")]
mod compio;
#[cfg(feature = "compio-tuned")]
mod compio_tuned;
mod epoll;
#[cfg(feature = "glommio")]
mod glommio;
#[cfg(feature = "kimojio")]
mod kimojio;
#[cfg(any(feature = "compio", feature = "monoio", feature = "tokio-uring"))]
mod lent;
mod linked;
mod list;
#[cfg(feature = "may")]
mod may;
#[cfg(feature = "mio")]
mod mio;
#[cfg(feature = "monoio")]
mod monoio;
#[cfg(feature = "monoio-tuned")]
mod monoio_tuned;
#[cfg_attr(not(feature = "backends"), allow(dead_code, reason = "used by those that cannot drop a task"))]
mod open;
mod readiness;
mod reuseport;
#[cfg(feature = "tasks")]
mod session;
#[cfg(any(feature = "smol", feature = "smol-local", feature = "smol-per-core"))]
#[cfg_attr(not(feature = "smol"), allow(dead_code, reason = "its tasks are others' too"))]
mod smol;
#[cfg(feature = "smol-local")]
mod smol_local;
#[cfg(feature = "smol-per-core")]
mod smol_per_core;
#[cfg(feature = "thread-pool")]
mod thread_pool;
#[cfg(any(feature = "thread-pool", feature = "threads"))]
#[cfg_attr(not(feature = "threads"), allow(dead_code, reason = "its loop is another's too"))]
mod threads;
#[cfg(any(feature = "tokio", feature = "tokio-current", feature = "tokio-per-core"))]
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "its tasks are others' too"))]
mod tokio;
#[cfg(feature = "tokio-current")]
mod tokio_current;
#[cfg(feature = "tokio-per-core")]
mod tokio_per_core;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;
#[cfg(feature = "ring")]
#[cfg_attr(
    not(any(feature = "uring", feature = "uring-plain")),
    allow(dead_code, reason = "only its probe is asked")
)]
mod uring;
#[cfg(feature = "uring-plain")]
mod uring_plain;
mod workers;

use std::{io, net::TcpListener, sync::Arc};

pub use about::{About, Maintenance, Model, Threading, WorkersError, check_offload};
pub use list::{
    OwnBackendError, UnknownBackend, add, all, crate_versions, find, is_own, left_out, not_built,
};
#[cfg(feature = "kimojio")]
use workers::serve_when_ready;
use workers::{Listeners, listeners_of, on_threads, serve_on_threads};

use crate::{load::Load, service::Service};

/// An I/O strategy.
pub trait Backend: Send + Sync {
    /// What it is.
    fn about(&self) -> &'static About;

    /// Whether it can run on this machine.
    ///
    /// # Errors
    /// Why it can't, in one line.
    fn available(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    /// Serves at `listener` until the service stops.
    ///
    /// # Errors
    /// When the backend cannot be set up; never for a fault of a connection.
    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()>;

    /// Drives all slots of a load, and returns when each is done.
    ///
    /// # Errors
    /// When the backend cannot be set up; never for a fault of a session, which the load itself takes note of.
    fn drive(&self, load: &Arc<Load>) -> io::Result<()>;
}

/// Why a backend cannot run here, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);
