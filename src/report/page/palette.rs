//! The look of each backend: the same everywhere, whatever else a record holds.

use crate::{backend, record::Arm};

/// Looks in the style sheet: `c0` to `c15`, each a colour and a dash.
const LOOKS: usize = 16;

/// The class of a backend's look. Colours go by the list of all backends; a backend that is not of this list has the last.
pub(super) fn look(server: &str) -> String {
    let place = backend::names().position(|name| name == server).unwrap_or(LOOKS - 1);
    format!("c{}", place.min(LOOKS - 1))
}

/// The class of an arm's look: its server's.
pub(super) fn arm_look(arm: &Arm) -> String {
    look(&arm.server)
}
