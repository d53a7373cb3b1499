//! The workloads: what a load is, whoever drives it.

use std::{fmt, fs, path::Path, str::FromStr, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use toml::Spanned;

use crate::{
    protocol::{DEFAULT_MESSAGE_BYTES, DEFAULT_MESSAGES, Shape},
    written::{self, duration, toml_error},
};

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
    /// Connections beside them that are silent: each has exchanged one message and is held.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub idle: usize,
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

/// The files of the named ones, the headline first. Ramps and windows are for the slowest backend of the slowest machine
/// that was tried: see METHODOLOGY.md, "Steady state".
const FILES: [&str; 6] = [
    include_str!("../../workloads/session.toml"),
    include_str!("../../workloads/solo.toml"),
    include_str!("../../workloads/crowd.toml"),
    include_str!("../../workloads/stream.toml"),
    include_str!("../../workloads/bulk.toml"),
    include_str!("../../workloads/night.toml"),
];

/// Connections that a load may have at most: each needs a descriptor and a port.
const MOST_CONNECTIONS: usize = 1_000_000;

/// A workload as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireWorkload {
    #[serde(deserialize_with = "name")]
    name: String,
    #[serde(default)]
    shows: String,
    #[serde(deserialize_with = "connections")]
    connections: usize,
    #[serde(default, deserialize_with = "idle")]
    idle: usize,
    #[serde(default = "default_messages")]
    messages: u32,
    message_bytes: Option<Spanned<usize>>,
    #[serde(default = "yes")]
    counts_sessions: bool,
    #[serde(default = "default_ramp", deserialize_with = "time")]
    ramp: Duration,
    #[serde(default = "default_window", deserialize_with = "window")]
    window: Duration,
}

fn default_messages() -> u32 {
    DEFAULT_MESSAGES
}

fn yes() -> bool {
    true
}

/// Two sessions of a thousand connections, on the slowest backend.
fn default_ramp() -> Duration {
    Duration::from_secs(1)
}

fn default_window() -> Duration {
    Duration::from_millis(400)
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    written::name(&name).map_err(D::Error::custom)?;
    Ok(name)
}

fn connections<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    count(from, 1, "connections")
}

fn idle<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    count(from, 0, "idle connections")
}

fn count<'de, D: Deserializer<'de>>(from: D, least: usize, what: &str) -> Result<usize, D::Error> {
    let count = i64::deserialize(from)?;
    let fit = usize::try_from(count).ok().filter(|it| (least..=MOST_CONNECTIONS).contains(it));
    fit.ok_or_else(|| {
        D::Error::custom(format!("{count} {what} cannot be; there can be {least} to {MOST_CONNECTIONS}"))
    })
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn window<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    written::window(&String::deserialize(from)?).map_err(D::Error::custom)
}

impl Workload {
    /// The named ones, the headline first.
    ///
    /// # Panics
    /// When a file that is compiled in is wrong; a test reads them all.
    pub fn named() -> [Self; 6] {
        FILES.map(|text| Self::parse(text).expect("the workloads that are compiled in can be read"))
    }

    /// The text of the file of a named one.
    ///
    /// # Errors
    /// When none has the name.
    pub fn file(name: &str) -> Result<&'static str, UnknownWorkload> {
        let of_name = Self::named().into_iter().position(|it| it.name == name);
        of_name.map(|index| FILES[index]).ok_or_else(|| UnknownWorkload::name(name))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read; what is wrong, in which line, and what is allowed, when it is no workload.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let wire: WireWorkload = toml::from_str(text).map_err(|error| toml_error(&error))?;
        let bytes = wire.message_bytes.as_ref();
        let message_bytes = bytes.map_or(DEFAULT_MESSAGE_BYTES, |bytes| *bytes.get_ref());
        Shape::new(wire.messages, message_bytes).map_err(|error| {
            let line = bytes.map(|bytes| text[..bytes.span().start].lines().count());
            anyhow::anyhow!("{}{error}", line.map_or_else(String::new, |line| format!("line {line}: ")))
        })?;
        Ok(Self {
            name: wire.name,
            shows: wire.shows,
            connections: wire.connections,
            idle: wire.idle,
            messages: wire.messages,
            message_bytes,
            counts_sessions: wire.counts_sessions,
            ramp_ms: milliseconds(wire.ramp),
            window_ms: milliseconds(wire.window),
        })
    }

    /// Its silent connections in words that follow its busy ones; nothing where there are none.
    pub fn beside(&self) -> String {
        if self.idle > 0 { format!(" beside {} silent ones", self.idle) } else { String::new() }
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

    /// Finds a workload by its name, or reads a file: what ends with `.toml`, or has a slash.
    fn from_str(text: &str) -> Result<Self, UnknownWorkload> {
        if text.ends_with(".toml") || text.contains('/') {
            return Self::read(Path::new(text)).map_err(|error| UnknownWorkload(format!("{error:#}")));
        }
        Self::named().into_iter().find(|it| it.name == text).ok_or_else(|| UnknownWorkload::name(text))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What names no workload, and is no file of one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnknownWorkload(String);

impl UnknownWorkload {
    fn name(name: &str) -> Self {
        let names = Workload::named().map(|it| it.name).join(", ");
        Self(format!("no workload is named {name:?}; there are {names}, and files such as mine.toml"))
    }
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
        assert_eq!(
            error,
            "no workload is named \"sessions\"; there are session, solo, crowd, stream, bulk, night, and files such as mine.toml"
        );
    }

    #[test]
    fn each_named_one_is_what_its_file_says() {
        for workload in Workload::named() {
            let file = Workload::file(&workload.name).unwrap();
            assert_eq!(Workload::parse(file).unwrap(), workload);
        }
    }

    #[test]
    fn what_a_file_leaves_out_has_a_default() {
        let read = Workload::parse("name = \"mine\"\nconnections = 3").unwrap();
        let shape = (read.connections, read.messages, read.message_bytes, read.counts_sessions);
        assert_eq!(shape, (3, DEFAULT_MESSAGES, DEFAULT_MESSAGE_BYTES, true));
    }

    #[test]
    fn what_cannot_be_is_told_with_its_line_and_what_is_allowed() {
        let wrong = [
            ("connections = 0", "line 2, column 15: 0 connections cannot be; there can be 1 to 1000000"),
            ("connections = \"many\"", "line 2, column 15: invalid type: string \"many\", expected i64"),
            (
                "connections = 1\nwindow = \"1ms\"",
                "line 3, column 10: a window of less than 20ms counts nothing",
            ),
            (
                "connections = 1\nidle = -1",
                "line 3, column 8: -1 idle connections cannot be; there can be 0 to 1000000",
            ),
            ("connections = 1\nramp = \"soon\"", "line 3, column 8: \"soon\" is no duration"),
            (
                "connections = 1\nmesages = 2",
                "line 3, column 1: unknown field `mesages`, expected one of `name`, `shows`",
            ),
            (
                "connections = 1\nmessages = 512\nmessage_bytes = 8",
                "line 4: message 512 needs 18 bytes for its text",
            ),
            ("", "missing field `connections`"),
        ];
        for (lines, expected) in wrong {
            let error = format!("{:#}", Workload::parse(&format!("name = \"mine\"\n{lines}")).unwrap_err());
            assert!(error.contains(expected), "{lines:?}: {error}");
        }
        let named = Workload::parse("name = \"My Own\"\nconnections = 1").unwrap_err().to_string();
        assert!(named.contains("line 1") && named.contains("a to z"), "{named}");
    }
}
