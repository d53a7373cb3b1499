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
//! Where a runtime can be run in ways that people choose between, each way is a backend with its own name, never a
//! hidden setting. To add one: a file here, a line in [`ALL`], a line in Cargo.toml. Every bench, subcommand, test
//! and report iterates the list.

mod about;
mod async_std;
mod compio;
mod compio_tuned;
mod epoll;
mod futures_io;
#[cfg(feature = "glommio")]
mod glommio;
mod lent;
#[cfg(feature = "may")]
mod may;
mod mio;
mod monoio;
mod monoio_tuned;
mod open;
mod optional;
mod readiness;
mod smol;
mod smol_local;
mod thread_pool;
mod threads;
mod tokio;
mod tokio_current;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;
mod uring;
mod uring_plain;

use std::{io, net::TcpListener, panic::resume_unwind, sync::Arc};

pub use about::{About, Maintenance, Model, Threading, WorkersError, check_offload};

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

/// Every backend of this build, in the order in which they are shown: from the fewest layers to the most.
pub static ALL: &[&dyn Backend] = &[
    &epoll::Epoll,
    &uring::Uring,
    &uring_plain::UringPlain,
    &mio::Mio,
    &threads::Threads,
    &thread_pool::ThreadPool,
    &tokio_current::TokioCurrent,
    &tokio::Tokio,
    &smol_local::SmolLocal,
    &smol::Smol,
    &async_std::AsyncStd,
    &compio::Compio,
    &compio_tuned::CompioTuned,
    &monoio::Monoio,
    &monoio_tuned::MonoioTuned,
    #[cfg(feature = "may")]
    &may::May,
    #[cfg(feature = "tokio-uring")]
    &tokio_uring::TokioUring,
    #[cfg(feature = "glommio")]
    &glommio::Glommio,
];

/// Every backend that there is: those of this build, then those that it leaves out, which are never available.
pub fn known() -> impl Iterator<Item = &'static dyn Backend> {
    let stand_ins = optional::STAND_INS.iter().map(|stand_in| stand_in as &dyn Backend);
    let built = |backend: &&dyn Backend| ALL.iter().any(|other| other.about() == backend.about());
    ALL.iter().copied().chain(stand_ins.filter(move |backend| !built(backend)))
}

/// The names of all backends.
pub fn names() -> impl Iterator<Item = &'static str> {
    known().map(|backend| backend.about().name)
}

/// The locked version of each backend's crate, by its name.
pub fn crate_versions() -> std::collections::BTreeMap<String, String> {
    let crates =
        ALL.iter().filter_map(|backend| Some((backend.about().crate_name?, backend.about().version())));
    crates.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

/// Finds a backend by its name.
///
/// # Errors
/// With the nearest name, when there is none of this.
pub fn find(name: &str) -> Result<&'static dyn Backend, UnknownBackend> {
    let found = known().find(|backend| backend.about().name == name);
    found.ok_or_else(|| UnknownBackend::new(name, names()))
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
}

impl UnknownBackend {
    /// Looks for the nearest of all names.
    pub fn new<'n>(name: &str, all: impl Iterator<Item = &'n str>) -> Self {
        let near = all.map(|other| (strsim::damerau_levenshtein(name, other), other)).min();
        let near = near.filter(|(distance, _)| *distance <= 3).map(|(_, near)| near.to_owned());
        Self { name: name.to_owned(), near }
    }
}

impl std::error::Error for UnknownBackend {}

impl std::fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

/// Serves by `work` on so many threads. Where one of them fails or panics the service stops, and whoever asks hears of it: the
/// others would be taken for all.
fn serve_on_threads<T: Send>(
    service: &Service,
    parts: Vec<T>,
    work: impl Fn(T) -> io::Result<()> + Sync,
) -> io::Result<()> {
    on_threads(parts, |part| {
        // A worker is done when the service stops, or when it can't go on.
        let _stops = Stops(service);
        work(part)
    })
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
        for panics in 0..2 {
            let service = Service::new(config, &TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
            let work = |worker| {
                assert_ne!(worker, panics, "a fault");
                service.wait_until_stopping();
                Ok(())
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| serve_on_threads(&service, vec![0, 1], work)));
            assert!(outcome.is_err());
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        for name in names() {
            assert_eq!(find(name).unwrap().about().name, name);
            assert_eq!(names().filter(|other| *other == name).count(), 1);
        }
    }

    #[test]
    fn what_is_not_built_is_known_and_says_how_to_build_it() {
        for (name, built) in [
            ("may", cfg!(feature = "may")),
            ("tokio-uring", cfg!(feature = "tokio-uring")),
            ("glommio", cfg!(feature = "glommio")),
        ] {
            let missing = find(name)
                .unwrap()
                .available()
                .is_err_and(|why| why.to_string() == format!("not built: cargo build --features {name}"));
            assert_eq!(missing, !built, "{name}");
        }
    }

    #[test]
    fn an_unknown_backend_names_the_near_one() {
        let message = |name| find(name).err().unwrap().to_string();
        assert_eq!(message("tokyo"), "no backend is named \"tokyo\"; did you mean \"tokio\"?");
        assert_eq!(message("actix-web"), "no backend is named \"actix-web\"; `ioduel list` shows them");
    }
}
