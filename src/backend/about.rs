//! What a backend is, in words and in types: its name, how it waits, how many threads it has, who looks after it.
//!
//! Absent from here: what it does.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

use super::{Unavailable, linked};
use crate::{
    placement::Cpus,
    work::{Work, WorkKind},
};

/// What a backend is.
#[derive(Debug, PartialEq, Eq)]
pub struct About {
    /// Its name in this suite.
    pub name: &'static str,
    /// The crate that makes it what it is; `None` for the standard library alone.
    pub crate_name: Option<&'static str>,
    /// How it waits.
    pub model: Model,
    /// How many threads it runs on.
    pub threading: Threading,
    /// Who looks after the crate.
    pub maintenance: Maintenance,
    /// Advisories in the RustSec database that are open for the crate, or for what it cannot do without.
    pub advisories: &'static [&'static str],
    /// What it has to run blocking or long work beside its tasks, by the name that the crate gives it.
    pub offload: Option<&'static str>,
    /// Whether a service written with it runs beyond Linux.
    pub portable: bool,
    /// What it is, in half a sentence.
    pub summary: &'static str,
}

impl About {
    /// A backend that is kept up, runs on one thread, has nothing to offload to and runs on Linux alone: the rest
    /// is for whoever makes it to say, as `About { portable: true, ..About::new(…) }`.
    pub const fn new(
        name: &'static str,
        crate_name: Option<&'static str>,
        model: Model,
        summary: &'static str,
    ) -> Self {
        Self {
            name,
            crate_name,
            model,
            threading: Threading::Single,
            maintenance: Maintenance::Active,
            advisories: &[],
            offload: None,
            portable: false,
            summary,
        }
    }

    /// The version that was measured: the crate's, as it is linked into this program, or the compiler's, whose standard library it is.
    pub fn version(&self) -> String {
        self.crate_name.map_or_else(|| env!("IODUEL_RUSTC").to_owned(), linked::version_of)
    }

    /// Whether it can do this work.
    ///
    /// # Errors
    /// What it lacks, in one line.
    pub fn check_work(&self, work: Option<Work>) -> Result<(), Unavailable> {
        check_offload(work, self.offload.is_some())
    }

    /// How many workers it runs on, where it may use so many processors: what was asked for, or its default. `None`
    /// where connections decide.
    ///
    /// # Errors
    /// When a number was asked for that means nothing here.
    pub fn workers(&self, asked: Option<usize>, processors: usize) -> Result<Option<usize>, WorkersError> {
        self.threading.workers(self.name, asked, processors)
    }

    /// How many worker threads to start in this process.
    pub(super) fn worker_threads(&self, asked: Option<usize>) -> io::Result<usize> {
        let processors = Cpus::of_this_process().map_or(1, |cpus| cpus.count());
        Ok(self.workers(asked, processors).map_err(io::Error::other)?.unwrap_or(1))
    }
}

/// Whether work can be done where there is a place for what blocks, or none.
///
/// # Errors
/// What is lacking, in one line.
pub fn check_offload(work: Option<Work>, has_place: bool) -> Result<(), Unavailable> {
    match work {
        Some(Work { kind: WorkKind::Offload, .. }) if !has_place => {
            Err(Unavailable("it has nothing to have blocking work done by".to_owned()))
        }
        _ => Ok(()),
    }
}

/// How a backend waits for I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// A thread sleeps in each read and write.
    Blocking,
    /// The kernel says when a read or write would not block.
    Readiness,
    /// The kernel reads and writes, and says when it has.
    Completion,
}

/// How many threads a backend runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threading {
    /// One, by its nature.
    Single,
    /// An event loop per worker; one unless told otherwise.
    Loops,
    /// Workers that share the tasks; as many as there are processors unless told otherwise.
    Multi,
    /// An event loop per worker that keeps its connections; as many as there are processors unless told otherwise.
    PerCore,
    /// One per connection, gone when it closes.
    PerConnection,
    /// As many as there are connections at a time, used again.
    Pool,
}

impl Threading {
    /// How many workers `name`, which is of this kind, runs on: see [`About::workers`].
    ///
    /// # Errors
    /// When a number was asked for that means nothing here.
    pub fn workers(
        self,
        name: &str,
        asked: Option<usize>,
        processors: usize,
    ) -> Result<Option<usize>, WorkersError> {
        let default = match self {
            Self::Single | Self::Loops => Some(1),
            Self::Multi | Self::PerCore => Some(processors),
            Self::PerConnection | Self::Pool => None,
        };
        match asked {
            Some(0) => Err(WorkersError::Zero),
            None => Ok(default),
            asked if self.has_free_workers() || asked == default => Ok(asked),
            _ => Err(WorkersError::Fixed { name: name.to_owned(), threading: self }),
        }
    }

    /// Whether the number of workers is free to choose.
    pub fn has_free_workers(self) -> bool {
        matches!(self, Self::Loops | Self::Multi | Self::PerCore)
    }
}

/// Who looks after a crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maintenance {
    /// It is developed.
    Active,
    /// Nobody says that it is given up, and nothing was released for more than two years.
    Dormant {
        /// The year of the last release.
        last_release: u16,
    },
    /// Those who made it say that it is no longer looked after.
    Discontinued,
}

macro_rules! display_words {
    ($type:ty: $($variant:pat => $word:expr),+ $(,)?) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $($variant => f.pad(&$word.to_string())),+ }
            }
        }
    };
}

display_words!(Model:
    Self::Blocking => "blocking",
    Self::Readiness => "readiness",
    Self::Completion => "completion",
);

display_words!(Threading:
    Self::Single => "one thread",
    Self::Loops => "a loop per worker",
    Self::Multi => "shared workers",
    Self::PerCore => "a loop per core",
    Self::PerConnection => "a thread each",
    Self::Pool => "a pool of threads",
);

display_words!(Maintenance:
    Self::Active => "active",
    Self::Dormant { last_release } => format!("dormant since {last_release}"),
    Self::Discontinued => "discontinued",
);

/// A number of workers that a backend cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkersError {
    /// Nothing would be done.
    #[error("the number of workers must be at least 1, not 0")]
    Zero,
    /// The number is not free to choose.
    #[error("{name} has a fixed number of workers ({threading}); leave --workers out")]
    Fixed {
        /// The backend.
        name: String,
        /// Why not.
        threading: Threading,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_refused_where_they_mean_nothing() {
        let workers = |threading: Threading, asked| threading.workers("x", asked, 4);
        for asked in [None, Some(3)] {
            assert_eq!(workers(Threading::Loops, asked), Ok(asked.or(Some(1))));
            assert_eq!(workers(Threading::Multi, asked), Ok(asked.or(Some(4))));
            assert_eq!(workers(Threading::PerCore, asked), Ok(asked.or(Some(4))));
        }
        assert_eq!(workers(Threading::Single, Some(1)), Ok(Some(1)));
        assert_eq!(workers(Threading::Pool, None), Ok(None));
        assert!(workers(Threading::Single, Some(2)).is_err());
        assert!(workers(Threading::PerConnection, Some(2)).is_err());
        assert_eq!(workers(Threading::Loops, Some(0)), Err(WorkersError::Zero));
    }
}
