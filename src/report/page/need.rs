//! What a reader may need of a backend beyond speed.

use serde::Serialize;

use crate::{
    backend::{self, About, Maintenance},
    record::Footprint,
};

/// What a backend satisfies; nothing is known of one that this program doesn't have.
#[derive(Serialize)]
pub(super) struct Need {
    maintained: bool,
    portable: bool,
    /// Whether a program can do without unsafe code but the standard library's.
    safe: bool,
    /// Crates that it pulls in, where that was measured.
    crates: Option<usize>,
}

/// What the backend of this name satisfies.
pub(super) fn needs(name: &str, footprint: Option<&Footprint>) -> Need {
    let crates = footprint.and_then(|all| Some(all.backends.get(name)?.crates));
    let Ok(backend) = backend::find(name) else {
        return Need { maintained: false, portable: false, safe: false, crates };
    };
    let about: &About = backend.about();
    Need {
        maintained: about.maintenance == Maintenance::Active,
        portable: about.portable,
        safe: about.crate_name.is_none(),
        crates,
    }
}
