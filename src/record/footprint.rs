//! What a backend costs whoever builds with it: a file beside the rounds, which `scripts/footprint` writes.

use std::{collections::BTreeMap, fs, io, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::check_schema;

/// The name of the file.
const FILE: &str = "footprint.json";

/// What each backend costs whoever builds with it, and the system calls that its server makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// The number of the format.
    pub schema: u32,
    /// By the backend's name.
    pub backends: BTreeMap<String, BackendFootprint>,
}

/// What one backend costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendFootprint {
    /// Crates that a program with it alone pulls in.
    pub crates: usize,
    /// The time to build such a program from nothing in release mode, in seconds.
    pub build_s: f64,
    /// The size of such a program without symbols, in bytes.
    pub stripped_bytes: u64,
    /// System calls that its server makes per message; `None` where they could not be counted.
    pub calls_per_message: Option<f64>,
}

impl Footprint {
    /// Reads the footprint of a record; `None` where none was measured.
    ///
    /// # Errors
    /// When there is one that cannot be read; with the file.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let read = check_schema(&text).and_then(|_| Ok(serde_json::from_str(&text)?));
        read.with_context(|| path.display().to_string())
    }
}
