//! What a reader may need of a backend beyond speed.

use serde::Serialize;

use crate::{
    backend::Maintenance,
    record::{BackendFootprint, Record},
};

/// What a backend satisfies; nothing is known of one that the record does not describe.
#[derive(Serialize)]
pub(super) struct Need {
    /// Absent where the record does not say.
    maintained: Option<bool>,
    portable: bool,
    /// Whether a program can do without unsafe code but the standard library's.
    safe: bool,
    /// Crates that it pulls in, where that was measured.
    crates: Option<usize>,
}

/// What the backend of this name satisfies.
pub(super) fn needs(name: &str, record: &Record) -> Need {
    let footprint = record.footprint.as_ref().and_then(|all| all.backends.get(name));
    let crates = footprint.map(|BackendFootprint { crates, .. }| *crates);
    let Some(is) = record.setup.contestants.get(name) else {
        return Need { maintained: None, portable: false, safe: false, crates };
    };
    Need {
        maintained: Some(is.maintenance == Maintenance::Active),
        portable: is.portable,
        safe: is.crate_name.is_none() && !is.external,
        crates,
    }
}
