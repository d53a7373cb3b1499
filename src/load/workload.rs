//! The named workloads, the same everywhere.

use std::{fmt, str::FromStr};

use crate::protocol::Shape;

/// A named workload.
///
/// `stream` has messages of 18 bytes, not 16: the text of its 512th message needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// Sessions at a time.
    pub connections: usize,
    /// Messages per session.
    pub messages: u32,
    /// The size of a message, in bytes.
    pub message_bytes: usize,
    /// What it shows.
    pub shows: &'static str,
}

impl Workload {
    /// All of them, the headline first.
    pub const ALL: [Self; 5] = [
        Self {
            name: "session",
            connections: 64,
            messages: 8,
            message_bytes: 16,
            shows: "the original exchange, many at once",
        },
        Self {
            name: "solo",
            connections: 1,
            messages: 8,
            message_bytes: 16,
            shows: "one client, nothing to overlap with",
        },
        Self {
            name: "crowd",
            connections: 1024,
            messages: 8,
            message_bytes: 16,
            shows: "many more connections than workers",
        },
        Self {
            name: "stream",
            connections: 64,
            messages: 512,
            message_bytes: 18,
            shows: "long sessions: connect and close no longer count",
        },
        Self {
            name: "bulk",
            connections: 16,
            messages: 64,
            message_bytes: 65_536,
            shows: "big messages: copying counts",
        },
    ];

    /// What each session of it is.
    pub fn shape(self) -> Shape {
        Shape::new(self.messages, self.message_bytes).expect("a test holds every workload to its shape")
    }
}

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(name: &str) -> Result<Self, UnknownWorkload> {
        let found = Self::ALL.into_iter().find(|workload| workload.name == name);
        found.ok_or_else(|| UnknownWorkload { name: name.to_owned() })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A name that no workload has.
#[derive(Debug, thiserror::Error)]
#[error("no workload is named {name:?}; there are {}", Workload::ALL.map(|workload| workload.name).join(", "))]
pub struct UnknownWorkload {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_holds_its_texts_and_is_found_by_its_name() {
        for workload in Workload::ALL {
            assert_eq!(workload.shape().messages(), workload.messages);
            assert_eq!(workload.name.parse::<Workload>().unwrap(), workload);
        }
        let error = "sessions".parse::<Workload>().unwrap_err().to_string();
        assert_eq!(error, "no workload is named \"sessions\"; there are session, solo, crowd, stream, bulk");
    }
}
