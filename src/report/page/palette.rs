//! The look of each contestant: the same everywhere, whatever else a record holds.

use crate::{backend, record::Arm};

/// Looks in the style sheet that are this program's backends', `c0` and on: each a colour and a dash.
const BUILT_IN: usize = 18;

/// Looks behind them, which programs of others share.
const OTHERS: usize = 5;

/// The class of a look. A backend's goes by the list of all, another's by its name.
pub(super) fn look(server: &str) -> String {
    let place = backend::names().position(|name| name == server).filter(|place| *place < BUILT_IN);
    let other = || BUILT_IN + server.bytes().map(usize::from).sum::<usize>() % OTHERS;
    format!("c{}", place.unwrap_or_else(other))
}

/// The class of an arm's look: its server's.
pub(super) fn arm_look(arm: &Arm) -> String {
    look(&arm.server)
}
