//! The look of each contestant: the same everywhere, whatever else a record holds.

use crate::record::Arm;

/// Whose the looks in the style sheet are, `c0` and on, each a colour and a dash: backends keep theirs, whatever is built.
const BUILT_IN: [&str; 21] = [
    "epoll",
    "uring",
    "uring-plain",
    "mio",
    "threads",
    "thread-pool",
    "tokio-current",
    "tokio",
    "smol-local",
    "smol",
    "async-std",
    "compio",
    "compio-tuned",
    "monoio",
    "monoio-tuned",
    "may",
    "tokio-uring",
    "glommio",
    "tokio-per-core",
    "smol-per-core",
    "kimojio",
];

/// Looks behind them, which programs of others share.
const OTHERS: usize = 5;

/// The class of a look. A backend has its own, another's goes by its name.
pub(super) fn look(server: &str) -> String {
    // A version of a backend looks as the backend does, and one that only listens otherwise too.
    let backend = server.split('@').next().map(|name| name.trim_end_matches("-reuseport"));
    let place = BUILT_IN.iter().position(|name| Some(*name) == backend);
    let other = || BUILT_IN.len() + server.bytes().map(usize::from).sum::<usize>() % OTHERS;
    format!("c{}", place.unwrap_or_else(other))
}

/// The class of an arm's look: its server's.
pub(super) fn arm_look(arm: &Arm) -> String {
    look(&arm.server)
}
