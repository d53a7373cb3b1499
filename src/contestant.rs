//! Who takes part: the backends of this program, versions of them, and the programs of others that the files in `contestants/`
//! describe.
//!
//! All are started as agents and asked in the same lines; only this program's run in processes of this program. Absent from
//! here: what they are asked.

mod external;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    agent::Program,
    backend::{
        self, About, Backend, Maintenance, Model, Threading, Unavailable, UnknownBackend, WorkersError,
        check_offload,
    },
    load::Workload,
    versions::Version,
};
use external::External;

/// One who takes part.
#[derive(Debug)]
pub struct Contestant(Kind);

enum Kind {
    BuiltIn(&'static dyn Backend),
    Version(Box<Version>),
    External(Box<External>),
}

/// What a contestant is, as records keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The crate that makes it what it is; `None` for the standard library alone, and for programs of others.
    pub crate_name: Option<String>,
    /// The version of what it rests on.
    pub version: String,
    /// How it waits.
    pub model: Model,
    /// How many threads it runs on.
    pub threading: Threading,
    /// Who looks after what it rests on.
    pub maintenance: Maintenance,
    /// Advisories that are open for that.
    pub advisories: Vec<String>,
    /// Whether a service written so runs beyond Linux.
    pub portable: bool,
    /// Whether it is a program of its own, described by a file in `contestants/`.
    pub external: bool,
    /// Whether it is a loop by hand; absent where that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<bool>,
    /// What it is, in half a sentence.
    pub summary: String,
}

impl Description {
    /// What this program knows of its own backend of this name.
    pub fn of_built_in(name: &str) -> Option<Self> {
        backend::find(name).ok().map(|backend| backend.about().into())
    }

    /// Whether it is a loop by hand on the system calls, which nobody can depend on: there to show what generality costs.
    pub fn is_floor(&self) -> bool {
        self.floor.unwrap_or_else(|| rests_on_the_system_calls(self.crate_name.as_deref()))
    }

    /// What it rests on and the version of that, such as `tokio 1.54.1`.
    pub fn versioned(&self) -> String {
        match &self.crate_name {
            // Where a crate has no code of its own, the version says which one has.
            Some(name) if self.version.starts_with(name.as_str()) => self.version.clone(),
            Some(name) => format!("{name} {}", self.version),
            None if self.external => self.version.clone(),
            None => format!("std {}", self.version),
        }
    }

    /// Who looks after it, with the advisories that are open: such as `discontinued (RUSTSEC-2025-0052)`.
    pub fn upkeep(&self) -> String {
        match self.advisories.as_slice() {
            [] => self.maintenance.to_string(),
            open => format!("{} ({})", self.maintenance, open.join(", ")),
        }
    }
}

impl From<&About> for Description {
    fn from(about: &About) -> Self {
        Self {
            crate_name: about.crate_name.map(str::to_owned),
            version: about.version(),
            model: about.model,
            threading: about.threading,
            maintenance: about.maintenance,
            advisories: about.advisories.iter().map(|advisory| (*advisory).to_owned()).collect(),
            portable: about.portable,
            external: false,
            floor: Some(backend::is_own(about.name) && rests_on_the_system_calls(about.crate_name)),
            summary: about.summary.to_owned(),
        }
    }
}

/// Whether a crate only makes the system calls callable.
fn rests_on_the_system_calls(crate_name: Option<&str>) -> bool {
    matches!(crate_name, Some("nix" | "io-uring"))
}

/// Everybody, and the files of those who can't be told from what they say.
struct Roster {
    contestants: Vec<Contestant>,
    faults: Vec<String>,
}

/// Reads the files once a process.
fn roster() -> &'static Roster {
    static ROSTER: OnceLock<Roster> = OnceLock::new();
    ROSTER.get_or_init(|| {
        let built_in = backend::all().iter().map(|backend| Contestant(Kind::BuiltIn(*backend)));
        let mut roster = Roster { contestants: built_in.collect(), faults: Vec::new() };
        for read in external::read_all(&folder()) {
            match read {
                Ok(external) if roster.contestants.iter().any(|other| other.name() == external.name()) => {
                    let fault =
                        format!("{}: the name {} is taken", external.file().display(), external.name());
                    roster.faults.push(fault);
                }
                Ok(external) => roster.contestants.push(Contestant(Kind::External(Box::new(external)))),
                Err(error) => roster.faults.push(format!("{error:#}")),
            }
        }
        roster
    })
}

/// The folder that [`look_in`] has named.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Has the files looked for in this folder, before anybody has asked for [`all`].
pub fn look_in(folder: PathBuf) {
    // Whoever comes second has named the same: there is one command line.
    let _ = FOLDER.set(folder);
}

/// Where the files are: in the folder that was named, or that the environment names, or else in the repository that this program
/// was built from. Never in the folder that one is in: what lies there was named by nobody, and its commands are run.
fn folder() -> PathBuf {
    let of_environment = || std::env::var_os("IODUEL_CONTESTANTS").map(PathBuf::from);
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("contestants");
    FOLDER.get().cloned().or_else(of_environment).unwrap_or_else(own)
}

/// Checks the text of a contestant's file, which is or would be at this path.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn check_file(path: &Path, text: &str) -> anyhow::Result<()> {
    external::External::parse(path, text).map(drop)
}

/// All contestants: the backends of this program from the fewest layers to the most, then the others by name.
pub fn all() -> &'static [Contestant] {
    &roster().contestants
}

/// What is wrong with files in `contestants/`, a line each; their contestants are left out.
pub fn faults() -> &'static [String] {
    &roster().faults
}

/// Finds a contestant by its name, or a version of a backend: `tokio@1.45.0`, `tokio@../tokio/tokio`.
///
/// # Errors
/// With the nearest name, when there is none of this; or why there can't be this version.
pub fn find(name: &str) -> Result<&'static Contestant, NotFound> {
    if let Some((backend, version)) = name.split_once('@') {
        return version_of(name, backend, version);
    }
    let found = all().iter().find(|contestant| contestant.name() == name);
    found.ok_or_else(|| NotFound::Name(UnknownBackend::new(name, all().iter().map(Contestant::name))))
}

/// Why no contestant is found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// Nobody is called so.
    #[error(transparent)]
    Name(UnknownBackend),
    /// There can be no such version.
    #[error("{0}")]
    Version(String),
}

/// A version of a backend, which is made when it is first asked for.
fn version_of(name: &str, backend: &str, version: &str) -> Result<&'static Contestant, NotFound> {
    static VERSIONS: Mutex<Vec<&'static Contestant>> = Mutex::new(Vec::new());
    let mut versions = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = versions.iter().find(|known| known.name() == name) {
        return Ok(known);
    }
    let backend = backend::find(backend).map_err(NotFound::Name)?;
    let version = Version::new(backend, version).map_err(|error| NotFound::Version(format!("{error:#}")))?;
    // A command line names a few, and they are there until the process ends.
    let contestant: &'static Contestant = Box::leak(Box::new(Contestant(Kind::Version(Box::new(version)))));
    versions.push(contestant);
    Ok(contestant)
}

impl Contestant {
    /// Its name in this suite.
    pub fn name(&self) -> &str {
        match &self.0 {
            Kind::BuiltIn(backend) => backend.about().name,
            Kind::Version(version) => version.name(),
            Kind::External(external) => external.name(),
        }
    }

    /// What it is called where it is asked to serve or to drive: a version is asked for its backend.
    pub fn backend_name(&self) -> &str {
        match &self.0 {
            Kind::Version(version) => version.backend().about().name,
            _ => self.name(),
        }
    }

    /// How many threads it runs on.
    pub fn threading(&self) -> Threading {
        match &self.0 {
            Kind::BuiltIn(backend) => backend.about().threading,
            Kind::Version(version) => version.backend().about().threading,
            Kind::External(external) => external.threading(),
        }
    }

    /// What it is; the version of another's program is asked of it.
    pub fn describe(&self) -> Description {
        match &self.0 {
            Kind::BuiltIn(backend) => backend.about().into(),
            Kind::Version(version) => {
                Description { version: version.version(), ..version.backend().about().into() }
            }
            Kind::External(external) => external.describe(),
        }
    }

    /// Whether it can run on this machine.
    ///
    /// # Errors
    /// Why it can't, in one line.
    pub fn available(&self) -> Result<(), Unavailable> {
        match &self.0 {
            Kind::BuiltIn(backend) => backend.available(),
            Kind::Version(version) => version.backend().available(),
            Kind::External(external) => external.version().map(drop),
        }
    }

    /// Builds what has to be built before it can be started, and tells how far that is; it may take some minutes the first time.
    ///
    /// # Errors
    /// Why it can't run here, in one line.
    pub fn prepare(&self, progress: &dyn Fn(&str)) -> Result<(), Unavailable> {
        match &self.0 {
            Kind::BuiltIn(backend) => backend.available(),
            Kind::Version(version) => {
                version.backend().available()?;
                version.build(progress)
            }
            Kind::External(external) => external.version().and_then(|_| external.build()),
        }
    }

    /// How many workers it runs on: see [`About::workers`].
    ///
    /// # Errors
    /// When a number was asked for that means nothing here.
    pub fn workers(&self, asked: Option<usize>, processors: usize) -> Result<Option<usize>, WorkersError> {
        self.threading().workers(self.name(), asked, processors)
    }

    /// The version of requests that it knows: see [`crate::agent::VERSION`].
    pub fn speaks(&self) -> u32 {
        match &self.0 {
            Kind::BuiltIn(_) | Kind::Version(_) => crate::agent::VERSION,
            Kind::External(external) => external.speaks(),
        }
    }

    /// Whether it is a backend with another version of its crate.
    pub fn is_a_version(&self) -> bool {
        matches!(self.0, Kind::Version(_))
    }

    /// Whether it takes messages of this size.
    pub fn takes_messages_of(&self, message_bytes: usize) -> bool {
        match &self.0 {
            Kind::External(external) => external.takes_messages_of(message_bytes),
            Kind::BuiltIn(_) | Kind::Version(_) => true,
        }
    }

    /// Whether it is a server alone: somebody else's client drives it.
    pub fn is_alone(&self) -> bool {
        matches!(self.program(), Program::Server(_))
    }

    /// Whether it can serve messages and replies of these sizes, with this work.
    ///
    /// # Errors
    /// What it lacks, in one line.
    pub fn can_serve(&self, workload: &Workload) -> Result<(), Unavailable> {
        let asks_more = workload.work.is_some() || workload.reply_bytes.is_some();
        if self.is_alone() {
            if asks_more || !self.takes_messages_of(workload.message_bytes) {
                let what = "a server alone does no work, and takes messages of 16 bytes; of other sizes with {message_bytes} in its command";
                return Err(Unavailable(what.to_owned()));
            }
            return Ok(());
        }
        if asks_more && self.speaks() < 2 {
            let what = if workload.work.is_some() { "do work" } else { "answer at length" };
            return Err(Unavailable(format!(
                "it knows version {} of requests, and can't {what}",
                self.speaks()
            )));
        }
        match &self.0 {
            Kind::BuiltIn(backend) => backend.about().check_work(workload.work),
            Kind::Version(version) => version.backend().about().check_work(workload.work),
            Kind::External(external) => check_offload(workload.work, external.offloads()),
        }
    }

    /// Whether its client can drive in slices: be stopped and continued, and take its times in active time.
    pub fn is_sliceable(&self) -> bool {
        match &self.0 {
            Kind::BuiltIn(_) | Kind::Version(_) => true,
            Kind::External(external) => external.is_sliceable(),
        }
    }

    /// The backend, where it is this program's.
    pub fn built_in(&self) -> Option<&'static dyn Backend> {
        match &self.0 {
            Kind::BuiltIn(backend) => Some(*backend),
            Kind::Version(_) | Kind::External(_) => None,
        }
    }

    /// What its agent runs.
    pub fn program(&self) -> Program<'_> {
        match &self.0 {
            Kind::BuiltIn(_) | Kind::Version(_) => Program::Own,
            Kind::External(external) => external.program(),
        }
    }

    /// The file of this program in which it is, where that is another build; `None` before it is built.
    pub fn own_file(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Version(version) => version.program(),
            Kind::BuiltIn(_) | Kind::External(_) => None,
        }
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn(backend) => backend.about().fmt(f),
            Self::Version(version) => version.fmt(f),
            Self::External(external) => external.fmt(f),
        }
    }
}
