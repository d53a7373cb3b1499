//! Which build of this program an agent is: behind a prefix there may be another than here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::backend;

/// What makes two builds of this program measure the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The version of this program.
    pub version: String,
    /// The revision of its source, with `+dirty` where it had changes; empty where it is not known.
    pub revision: String,
    /// The compiler.
    pub rustc: String,
    /// The profile.
    pub profile: String,
    /// The version of each backend's crate.
    pub crates: BTreeMap<String, String>,
}

impl Build {
    /// That of this process.
    pub fn own() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: env!("IODUEL_GIT").to_owned(),
            rustc: env!("IODUEL_RUSTC").to_owned(),
            profile: env!("IODUEL_PROFILE").to_owned(),
            crates: backend::crate_versions(),
        }
    }

    /// The first thing in which another differs: what it is called, what it is here, and what it is there.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let crates = |build: &Self| {
            let told = build.crates.iter().map(|(name, version)| format!("{name} {version}"));
            told.collect::<Vec<_>>().join(", ")
        };
        let fields = |build: &Self| {
            let Self { version, revision, rustc, profile, .. } = build.clone();
            [
                ("version", version),
                ("revision", revision),
                ("compiler", rustc),
                ("profile", profile),
                ("crates", crates(build)),
            ]
        };
        let pairs = fields(self).into_iter().zip(fields(other));
        pairs.map(|((name, here), (_, there))| (name, here, there)).find(|(_, here, there)| here != there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_build_is_told_by_what_differs() {
        let own = Build::own();
        assert_eq!(own.difference(&own), None);
        let older = Build { revision: "abc".to_owned(), rustc: "1.0.0".to_owned(), ..own.clone() };
        let (name, here, there) = own.difference(&older).unwrap();
        assert_eq!((name, here, there.as_str()), ("revision", own.revision, "abc"));
    }
}
