//! The workloads: what a load is, whoever drives it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::protocol::Shape;

/// Sessions that each connection must have run in a window for the window to say something of sessions.
pub const SESSIONS_THAT_COUNT: u64 = 10;

/// A workload, whole: records keep it, and nothing looks one up by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub shows: String,
    /// Sessions at a time.
    pub connections: usize,
    /// Messages per session.
    pub messages: u32,
    /// The size of a message, in bytes.
    pub message_bytes: usize,
    /// Whether its sessions are short enough for a window to hold many of each connection.
    pub counts_sessions: bool,
    /// What is discarded at the head of a round, in milliseconds: at least two sessions a connection.
    pub ramp_ms: u64,
    /// What counts of a round, in milliseconds; of an arm and an epoch, where a round is cut into slices. At least ten
    /// sessions a connection, where they count.
    pub window_ms: u64,
}

impl Workload {
    /// The named ones, the headline first.
    ///
    /// `stream` has messages of 18 bytes, not 16: the text of its 512th message needs them. Ramps and windows are for
    /// the slowest backend of the slowest machine that was tried: see METHODOLOGY.md, "Steady state".
    pub fn named() -> [Self; 5] {
        let short = Self {
            name: "session".to_owned(),
            shows: "the original exchange, many at once".to_owned(),
            connections: 64,
            messages: 8,
            message_bytes: 16,
            counts_sessions: true,
            ramp_ms: 100,
            window_ms: 400,
        };
        let solo = Self {
            name: "solo".to_owned(),
            shows: "one client, nothing to overlap with".to_owned(),
            connections: 1,
            ramp_ms: 50,
            ..short.clone()
        };
        let crowd = Self {
            name: "crowd".to_owned(),
            shows: "many more connections than workers".to_owned(),
            connections: 1024,
            ramp_ms: 1000,
            window_ms: 3600,
            ..short.clone()
        };
        let stream = Self {
            name: "stream".to_owned(),
            shows: "long sessions: connect and close no longer count".to_owned(),
            messages: 512,
            message_bytes: 18,
            counts_sessions: false,
            ramp_ms: 1000,
            ..short.clone()
        };
        let bulk = Self {
            name: "bulk".to_owned(),
            shows: "big messages: copying counts".to_owned(),
            connections: 16,
            messages: 64,
            message_bytes: 65_536,
            counts_sessions: false,
            ramp_ms: 200,
            ..short.clone()
        };
        [short, solo, crowd, stream, bulk]
    }

    /// What each session of it is.
    ///
    /// # Panics
    /// When a message cannot hold its text; a test holds every named workload to its shape.
    pub fn shape(&self) -> Shape {
        Shape::new(self.messages, self.message_bytes).expect("a workload holds the texts of its messages")
    }
}

impl Default for Workload {
    fn default() -> Self {
        let [headline, ..] = Self::named();
        headline
    }
}

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(name: &str) -> Result<Self, UnknownWorkload> {
        let found = Self::named().into_iter().find(|workload| workload.name == name);
        found.ok_or_else(|| UnknownWorkload { name: name.to_owned() })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A name that no workload has.
#[derive(Debug, thiserror::Error)]
#[error("no workload is named {name:?}; there are {}", Workload::named().map(|it| it.name).join(", "))]
pub struct UnknownWorkload {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_holds_its_texts_and_is_found_by_its_name() {
        for workload in Workload::named() {
            assert_eq!(workload.shape().messages(), workload.messages);
            assert_eq!(workload.name.parse::<Workload>().unwrap(), workload);
        }
        let error = "sessions".parse::<Workload>().unwrap_err().to_string();
        assert_eq!(error, "no workload is named \"sessions\"; there are session, solo, crowd, stream, bulk");
    }
}
