//! The backends that there are: those of this build, those that it leaves out, and those of whoever uses it as a library.

use std::{collections::BTreeMap, fmt, sync::OnceLock};

use super::{Backend, Unavailable};

/// The backends of this build that are this program's own, in the order in which they are shown: from the fewest layers to the most.
static BUILT: &[&dyn Backend] = &[
    &super::epoll::Epoll,
    #[cfg(feature = "uring")]
    &super::uring::Uring,
    #[cfg(feature = "uring-plain")]
    &super::uring_plain::UringPlain,
    #[cfg(feature = "mio")]
    &super::mio::Mio,
    #[cfg(feature = "threads")]
    &super::threads::Threads,
    #[cfg(feature = "thread-pool")]
    &super::thread_pool::ThreadPool,
    #[cfg(feature = "tokio-current")]
    &super::tokio_current::TokioCurrent,
    #[cfg(feature = "tokio-per-core")]
    &super::tokio_per_core::TokioPerCore,
    #[cfg(feature = "tokio")]
    &super::tokio::Tokio,
    #[cfg(feature = "smol-local")]
    &super::smol_local::SmolLocal,
    #[cfg(feature = "smol-per-core")]
    &super::smol_per_core::SmolPerCore,
    #[cfg(feature = "smol")]
    &super::smol::Smol,
    #[cfg(feature = "async-std")]
    &super::async_std::AsyncStd,
    #[cfg(feature = "compio")]
    &super::compio::Compio,
    #[cfg(feature = "compio-tuned")]
    &super::compio_tuned::CompioTuned,
    #[cfg(feature = "monoio")]
    &super::monoio::Monoio,
    #[cfg(feature = "monoio-tuned")]
    &super::monoio_tuned::MonoioTuned,
    #[cfg(feature = "kimojio")]
    &super::kimojio::Kimojio,
    #[cfg(feature = "epoll-reuseport")]
    &super::reuseport::EPOLL,
    #[cfg(feature = "mio-reuseport")]
    &super::reuseport::MIO,
    #[cfg(feature = "uring-reuseport")]
    &super::reuseport::URING,
    #[cfg(feature = "tokio-reuseport")]
    &super::reuseport::TOKIO,
    #[cfg(feature = "monoio-reuseport")]
    &super::reuseport::MONOIO,
    #[cfg(feature = "may")]
    &super::may::May,
    #[cfg(feature = "tokio-uring")]
    &super::tokio_uring::TokioUring,
    #[cfg(feature = "glommio")]
    &super::glommio::Glommio,
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
    #[error("cannot add this backend: {0}")]
    Name(String),
    /// Another one is called so.
    #[error("cannot add this backend: the name {0} is already taken")]
    Taken(&'static str),
    /// The list was asked for already.
    #[error("backends must be added before anything else is asked of the list")]
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
pub fn crate_versions() -> BTreeMap<String, String> {
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

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.left_out {
            return write!(f, "{} is {}", self.name, not_built(&self.name));
        }
        write!(f, "no backend is named {:?}", self.name)?;
        match &self.near {
            Some(near) => write!(f, "; did you mean {near:?}?"),
            None => f.write_str("; `ioduel list` shows all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::epoll::Epoll, *};

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
    fn a_backend_of_ones_own_needs_a_name_of_its_own() {
        assert_eq!(add(&[&Epoll]), Err(OwnBackendError::Taken("epoll")));
    }

    #[test]
    fn an_unknown_backend_names_the_near_one() {
        let message = |name| find(name).err().unwrap().to_string();
        assert_eq!(message("epol"), "no backend is named \"epol\"; did you mean \"epoll\"?");
        assert_eq!(message("actix-web"), "no backend is named \"actix-web\"; `ioduel list` shows all");
    }
}
