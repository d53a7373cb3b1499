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
//! hidden setting. To add one: a file here, a line in `BUILT` and in `FEATURES`, a feature in Cargo.toml. Every bench, subcommand, test
//! and report iterates the list.

mod about;
#[cfg(feature = "async-std")]
mod async_std;
#[cfg(feature = "compio")]
mod compio;
#[cfg(feature = "compio-tuned")]
mod compio_tuned;
mod epoll;
#[cfg(any(
    feature = "async-std",
    feature = "glommio",
    feature = "smol",
    feature = "smol-local",
    feature = "smol-per-core"
))]
mod futures_io;
#[cfg(feature = "glommio")]
mod glommio;
#[cfg(feature = "kimojio")]
mod kimojio;
#[cfg(any(feature = "compio", feature = "monoio", feature = "tokio-uring"))]
mod lent;
mod linked;
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

use std::{
    io,
    net::TcpListener,
    panic::resume_unwind,
    sync::{Arc, Barrier, OnceLock},
};

pub use about::{About, Maintenance, Model, Threading, WorkersError, check_offload};

#[cfg(doc)]
use crate::net::{share, spread};
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

/// The backends of this build that are this program's own, in the order in which they are shown: from the fewest layers to the most.
static BUILT: &[&dyn Backend] = &[
    &epoll::Epoll,
    #[cfg(feature = "uring")]
    &uring::Uring,
    #[cfg(feature = "uring-plain")]
    &uring_plain::UringPlain,
    #[cfg(feature = "mio")]
    &mio::Mio,
    #[cfg(feature = "threads")]
    &threads::Threads,
    #[cfg(feature = "thread-pool")]
    &thread_pool::ThreadPool,
    #[cfg(feature = "tokio-current")]
    &tokio_current::TokioCurrent,
    #[cfg(feature = "tokio-per-core")]
    &tokio_per_core::TokioPerCore,
    #[cfg(feature = "tokio")]
    &tokio::Tokio,
    #[cfg(feature = "smol-local")]
    &smol_local::SmolLocal,
    #[cfg(feature = "smol-per-core")]
    &smol_per_core::SmolPerCore,
    #[cfg(feature = "smol")]
    &smol::Smol,
    #[cfg(feature = "async-std")]
    &async_std::AsyncStd,
    #[cfg(feature = "compio")]
    &compio::Compio,
    #[cfg(feature = "compio-tuned")]
    &compio_tuned::CompioTuned,
    #[cfg(feature = "monoio")]
    &monoio::Monoio,
    #[cfg(feature = "monoio-tuned")]
    &monoio_tuned::MonoioTuned,
    #[cfg(feature = "kimojio")]
    &kimojio::Kimojio,
    #[cfg(feature = "epoll-reuseport")]
    &reuseport::EpollReuseport,
    #[cfg(feature = "mio-reuseport")]
    &reuseport::MioReuseport,
    #[cfg(feature = "uring-reuseport")]
    &reuseport::UringReuseport,
    #[cfg(feature = "tokio-reuseport")]
    &reuseport::TokioReuseport,
    #[cfg(feature = "monoio-reuseport")]
    &reuseport::MonoioReuseport,
    #[cfg(feature = "may")]
    &may::May,
    #[cfg(feature = "tokio-uring")]
    &tokio_uring::TokioUring,
    #[cfg(feature = "glommio")]
    &glommio::Glommio,
];

/// Every backend that can be built, each a feature of its name, and whether this build has it.
const FEATURES: &[(&str, bool)] = &[
    ("uring", cfg!(feature = "uring")),
    ("uring-plain", cfg!(feature = "uring-plain")),
    ("mio", cfg!(feature = "mio")),
    ("threads", cfg!(feature = "threads")),
    ("thread-pool", cfg!(feature = "thread-pool")),
    ("tokio-current", cfg!(feature = "tokio-current")),
    ("tokio-per-core", cfg!(feature = "tokio-per-core")),
    ("tokio", cfg!(feature = "tokio")),
    ("smol-local", cfg!(feature = "smol-local")),
    ("smol-per-core", cfg!(feature = "smol-per-core")),
    ("smol", cfg!(feature = "smol")),
    ("async-std", cfg!(feature = "async-std")),
    ("compio", cfg!(feature = "compio")),
    ("compio-tuned", cfg!(feature = "compio-tuned")),
    ("monoio", cfg!(feature = "monoio")),
    ("monoio-tuned", cfg!(feature = "monoio-tuned")),
    ("kimojio", cfg!(feature = "kimojio")),
    ("epoll-reuseport", cfg!(feature = "epoll-reuseport")),
    ("mio-reuseport", cfg!(feature = "mio-reuseport")),
    ("uring-reuseport", cfg!(feature = "uring-reuseport")),
    ("tokio-reuseport", cfg!(feature = "tokio-reuseport")),
    ("monoio-reuseport", cfg!(feature = "monoio-reuseport")),
    ("may", cfg!(feature = "may")),
    ("tokio-uring", cfg!(feature = "tokio-uring")),
    ("glommio", cfg!(feature = "glommio")),
];

/// What [`all`] returns, from the first call on.
static ALL: OnceLock<Vec<&'static dyn Backend>> = OnceLock::new();

/// Every backend of this program: those of this build, then those of whoever uses it as a library ([`add`]).
pub fn all() -> &'static [&'static dyn Backend] {
    ALL.get_or_init(|| BUILT.to_vec())
}

/// Adds backends of one's own, before anybody has asked for [`all`].
///
/// # Errors
/// When a name is taken or is none, and when it is too late.
pub fn add(own: &[&'static dyn Backend]) -> Result<(), OwnBackendError> {
    let mut backends = BUILT.to_vec();
    for backend in own {
        let name = backend.about().name;
        crate::written::name(name).map_err(OwnBackendError::Name)?;
        if backends.iter().any(|other| other.about().name == name) {
            return Err(OwnBackendError::Taken(name));
        }
        backends.push(*backend);
    }
    ALL.set(backends).map_err(|_| OwnBackendError::TooLate)
}

/// Why a backend of one's own can't be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnBackendError {
    /// It can't be called so.
    #[error("a backend of one's own: {0}")]
    Name(String),
    /// Another one is called so.
    #[error("a backend of one's own: the name {0} is taken")]
    Taken(&'static str),
    /// The list was asked for already.
    #[error("backends of one's own are added first of all")]
    TooLate,
}

/// Whether a backend is this program's, and not of a crate that uses it.
pub fn is_own(name: &str) -> bool {
    BUILT.iter().any(|backend| backend.about().name == name)
}

/// The names of the backends that this build leaves out; each is a feature.
pub fn left_out() -> impl Iterator<Item = &'static str> {
    FEATURES.iter().filter(|(_, built)| !built).map(|(name, _)| *name)
}

/// Why a backend that was left out can't run.
pub fn not_built(name: &str) -> Unavailable {
    Unavailable(format!("not built: cargo build --features {name}"))
}

/// The linked version of each backend's crate, by its name.
pub fn crate_versions() -> std::collections::BTreeMap<String, String> {
    let crates =
        all().iter().filter_map(|backend| Some((backend.about().crate_name?, backend.about().version())));
    crates.map(|(name, version)| (name.to_owned(), version)).collect()
}

/// Finds a backend by its name.
///
/// # Errors
/// With the nearest name, when there is none of this.
pub fn find(name: &str) -> Result<&'static dyn Backend, UnknownBackend> {
    let found = all().iter().find(|backend| backend.about().name == name);
    found.copied().ok_or_else(|| UnknownBackend::new(name, all().iter().map(|backend| backend.about().name)))
}

/// Why a backend cannot run here, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// A name that no backend has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackend {
    name: String,
    near: Option<String>,
    /// Whether it is one that this build leaves out.
    left_out: bool,
}

impl UnknownBackend {
    /// Looks for the nearest of all names.
    pub fn new<'n>(name: &str, all: impl Iterator<Item = &'n str>) -> Self {
        let near = all.map(|other| (strsim::damerau_levenshtein(name, other), other)).min();
        let near = near.filter(|(distance, _)| *distance <= 3).map(|(_, near)| near.to_owned());
        Self { name: name.to_owned(), near, left_out: left_out().any(|other| other == name) }
    }
}

impl std::error::Error for UnknownBackend {}

impl std::fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.left_out {
            return write!(f, "{} is {}", self.name, not_built(&self.name));
        }
        write!(f, "no backend is named {:?}", self.name)?;
        match &self.near {
            Some(near) => write!(f, "; did you mean {near:?}?"),
            None => f.write_str("; `ioduel list` shows them"),
        }
    }
}

/// Runs `work` on so many threads, the first of them this one, and returns the first error.
fn on_threads<T: Send>(parts: Vec<T>, work: impl Fn(T) -> io::Result<()> + Sync) -> io::Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let mut parts = parts.into_iter();
        let own = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut outcome = own.map_or(Ok(()), work);
        for other in others {
            let joined = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            outcome = outcome.and(joined);
        }
        outcome
    })
}

/// How workers come to a listener each: all wait at one ([`share`]), or each has its own at the same address ([`spread`]).
type Listeners = fn(&TcpListener, usize) -> io::Result<Vec<TcpListener>>;

/// A listener for each worker; all end with the service.
fn listeners_of(
    about: &About,
    listeners: Listeners,
    listener: &TcpListener,
    service: &Service,
) -> io::Result<Vec<TcpListener>> {
    let listeners = listeners(listener, about.worker_threads(service.config().workers)?)?;
    service.listens_at_too(&listeners)?;
    Ok(listeners)
}

/// Serves by `work` on so many threads, each with what it has set up. Where one of them fails or panics the service stops, and
/// whoever asks hears of it: the others would be taken for all.
///
/// Nobody accepts before all are set up: connections of one worker would take the descriptors that another still needs.
fn serve_on_threads<T: Send, S>(
    service: &Service,
    parts: Vec<T>,
    set_up: impl Fn(T) -> io::Result<S> + Sync,
    work: impl Fn(S) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let all = Barrier::new(parts.len());
    on_threads(parts, |part| {
        // A worker is done when the service stops, or when it can't go on.
        let _stops = Stops(service);
        let waits_for_the_others = Arrives(&all);
        let own = set_up(part);
        drop(waits_for_the_others);
        work(own?)
    })
}

/// Waits for all others when it is dropped, also while its thread panics.
struct Arrives<'a>(&'a Barrier);

impl Drop for Arrives<'_> {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// Stops the service when it is dropped.
struct Stops<'a>(&'a Service);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::{protocol::Framing, service::ServerConfig};

    #[test]
    fn a_worker_that_panics_ends_the_others() {
        let config = ServerConfig::echoing(Framing::Chunk);
        let set_up_that_panics = |worker| -> io::Result<usize> {
            assert_ne!(worker, 0, "a fault");
            Ok(worker)
        };
        let service = Service::new(config, &TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            serve_on_threads(&service, vec![0, 1], set_up_that_panics, |_| {
                service.wait_until_stopping();
                Ok(())
            })
        }));
        assert!(outcome.is_err());
        for panics in 0..2 {
            let service = Service::new(config, &TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
            let work = |worker| {
                assert_ne!(worker, panics, "a fault");
                service.wait_until_stopping();
                Ok(())
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| serve_on_threads(&service, vec![0, 1], Ok, work)));
            assert!(outcome.is_err());
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        let names = || all().iter().map(|backend| backend.about().name);
        for name in names() {
            assert_eq!(find(name).unwrap().about().name, name);
            assert_eq!(names().filter(|other| *other == name).count(), 1);
        }
    }

    #[test]
    fn every_backend_is_built_or_left_out_by_its_feature() {
        let built = BUILT.iter().map(|backend| backend.about().name);
        let listed = FEATURES.iter().filter(|(_, built)| *built).map(|(name, _)| *name);
        assert!(built.eq(["epoll"].into_iter().chain(listed)), "one order for both");
        for name in left_out() {
            let expected = format!("{name} is not built: cargo build --features {name}");
            assert_eq!(find(name).err().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn backends_of_ones_own_come_behind_and_have_names_of_their_own() {
        assert_eq!(add(&[&epoll::Epoll]), Err(OwnBackendError::Taken("epoll")));
    }

    #[test]
    fn an_unknown_backend_names_the_near_one() {
        let message = |name| find(name).err().unwrap().to_string();
        assert_eq!(message("epol"), "no backend is named \"epol\"; did you mean \"epoll\"?");
        assert_eq!(message("actix-web"), "no backend is named \"actix-web\"; `ioduel list` shows them");
    }
}
