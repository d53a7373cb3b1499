//! Who takes part: the backends of this program, and the programs of others that the files in `contestants/` describe.
//!
//! All are started as agents and asked in the same lines; only this program's run in processes of this program. Absent from
//! here: what they are asked.

mod external;

use std::{ffi::OsString, path::PathBuf, sync::OnceLock};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{
        self, About, Backend, Maintenance, Model, Threading, Unavailable, UnknownBackend, WorkersError,
        check_offload,
    },
    load::Workload,
};
use external::External;

/// One who takes part.
#[derive(Debug)]
pub struct Contestant(Origin);

enum Origin {
    BuiltIn(&'static dyn Backend),
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
    /// What it is, in half a sentence.
    pub summary: String,
}

impl Description {
    /// What this program knows of its own backend of this name.
    pub fn of_built_in(name: &str) -> Option<Self> {
        backend::find(name).ok().map(|backend| backend.about().into())
    }

    /// What it rests on and the version of that, such as `tokio 1.54.1`.
    pub fn versioned(&self) -> String {
        match &self.crate_name {
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
            version: about.version().to_owned(),
            model: about.model,
            threading: about.threading,
            maintenance: about.maintenance,
            advisories: about.advisories.iter().map(|advisory| (*advisory).to_owned()).collect(),
            portable: about.portable,
            external: false,
            summary: about.summary.to_owned(),
        }
    }
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
        let built_in = backend::known().map(|backend| Contestant(Origin::BuiltIn(backend)));
        let mut roster = Roster { contestants: built_in.collect(), faults: Vec::new() };
        for read in external::read_all(&folder()) {
            match read {
                Ok(external) if roster.contestants.iter().any(|other| other.name() == external.name()) => {
                    let fault =
                        format!("{}: the name {} is taken", external.file().display(), external.name());
                    roster.faults.push(fault);
                }
                Ok(external) => roster.contestants.push(Contestant(Origin::External(Box::new(external)))),
                Err(error) => roster.faults.push(format!("{error:#}")),
            }
        }
        roster
    })
}

/// Where the files are: `contestants` in the folder that one is in, unless the environment names another.
fn folder() -> PathBuf {
    std::env::var_os("IODUEL_CONTESTANTS").map_or_else(|| "contestants".into(), PathBuf::from)
}

/// All contestants: the backends of this program from the fewest layers to the most, then the others by name.
pub fn all() -> &'static [Contestant] {
    &roster().contestants
}

/// What is wrong with files in `contestants/`, a line each; their contestants are left out.
pub fn faults() -> &'static [String] {
    &roster().faults
}

/// Finds a contestant by its name.
///
/// # Errors
/// With the nearest name, when there is none of this.
pub fn find(name: &str) -> Result<&'static Contestant, UnknownBackend> {
    let found = all().iter().find(|contestant| contestant.name() == name);
    found.ok_or_else(|| UnknownBackend::new(name, all().iter().map(Contestant::name)))
}

impl Contestant {
    /// Its name in this suite.
    pub fn name(&self) -> &str {
        match &self.0 {
            Origin::BuiltIn(backend) => backend.about().name,
            Origin::External(external) => external.name(),
        }
    }

    /// How many threads it runs on.
    pub fn threading(&self) -> Threading {
        match &self.0 {
            Origin::BuiltIn(backend) => backend.about().threading,
            Origin::External(external) => external.threading(),
        }
    }

    /// What it is; the version of another's program is asked of it.
    pub fn describe(&self) -> Description {
        match &self.0 {
            Origin::BuiltIn(backend) => backend.about().into(),
            Origin::External(external) => external.describe(),
        }
    }

    /// Whether it can run on this machine.
    ///
    /// # Errors
    /// Why it can't, in one line.
    pub fn available(&self) -> Result<(), Unavailable> {
        match &self.0 {
            Origin::BuiltIn(backend) => backend.available(),
            Origin::External(external) => external.version().map(drop),
        }
    }

    /// Builds what has to be built before it can be started; it may take a minute the first time.
    ///
    /// # Errors
    /// Why it can't run here, in one line.
    pub fn prepare(&self) -> Result<(), Unavailable> {
        match &self.0 {
            Origin::BuiltIn(backend) => backend.available(),
            Origin::External(external) => external.version().and_then(|_| external.build()),
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
            Origin::BuiltIn(_) => crate::agent::VERSION,
            Origin::External(external) => external.speaks(),
        }
    }

    /// Whether it can serve messages with this work and replies of this size.
    ///
    /// # Errors
    /// What it lacks, in one line.
    pub fn can_serve(&self, workload: &Workload) -> Result<(), Unavailable> {
        let asks_more = workload.work.is_some() || workload.reply_bytes.is_some();
        if asks_more && self.speaks() < 2 {
            let what = if workload.work.is_some() { "do work" } else { "answer at length" };
            return Err(Unavailable(format!(
                "it knows version {} of requests, and can't {what}",
                self.speaks()
            )));
        }
        match &self.0 {
            Origin::BuiltIn(backend) => backend.about().check_work(workload.work),
            Origin::External(external) => check_offload(workload.work, external.offloads()),
        }
    }

    /// Whether its client can drive in slices: be stopped and continued, and take its times in active time.
    pub fn is_sliceable(&self) -> bool {
        match &self.0 {
            Origin::BuiltIn(_) => true,
            Origin::External(external) => external.is_sliceable(),
        }
    }

    /// The backend, where it is this program's.
    pub fn built_in(&self) -> Option<&'static dyn Backend> {
        match &self.0 {
            Origin::BuiltIn(backend) => Some(*backend),
            Origin::External(_) => None,
        }
    }

    /// The words that become another's program; `None` where it is this program that answers.
    pub fn command(&self) -> Option<&[OsString]> {
        match &self.0 {
            Origin::BuiltIn(_) => None,
            Origin::External(external) => Some(external.command()),
        }
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn(backend) => backend.about().fmt(f),
            Self::External(external) => external.fmt(f),
        }
    }
}
