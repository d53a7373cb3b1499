//! The workloads: what a load is, whoever drives it.

mod file;

use std::{fmt, fs, path::Path, str::FromStr};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Offered, Process, Skew};
use crate::{net::LinkShape, protocol::Shape, work::Work};

/// Sessions that each connection must have run in a window for the window to say something of sessions.
pub const SESSIONS_THAT_COUNT: u64 = 10;

/// A workload, whole: records keep it, and nothing looks one up by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Messages per session. At a rate a connection lasts as long as its round, and this is how many of its messages differ
    /// in their text.
    pub messages: u32,
    /// The size of a message, in bytes.
    pub message_bytes: usize,
    /// The size of a reply, in bytes, where it is longer than `Re:` and the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_bytes: Option<usize>,
    /// Whether its sessions are short enough for a window to hold many of each connection.
    pub counts_sessions: bool,
    /// What is discarded at the head of a round, in milliseconds: at least two sessions a connection.
    pub ramp_ms: u64,
    /// What counts of a round, in milliseconds; of an arm and an epoch, where a round is cut into slices. At least ten
    /// sessions a connection, where they count.
    pub window_ms: u64,
    /// How messages come at a rate that is offered; absent where each comes after the reply to the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Offered>,
    /// What the server does for each message beside echoing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// Which connections have how much of the traffic; absent where all have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew: Option<Skew>,
    /// The link that it goes over; absent on loopback, and between machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkShape>,
}

/// Sessions of a connection that the ramp has over a link at least, and the window: more than it needs, for one takes longer than its
/// round trips.
const SESSIONS_OVER_LINK: [f64; 2] = [3.0, 15.0];

/// Round trips that they have where sessions do not count.
const TRIPS_OVER_LINK: [f64; 2] = [20.0, 50.0];

/// The files of the named ones, the headline first. Ramps and windows are for the slowest backend of the slowest machine
/// that was tried: see METHODOLOGY.md, "Steady state".
const FILES: [&str; 12] = [
    include_str!("../../workloads/session.toml"),
    include_str!("../../workloads/solo.toml"),
    include_str!("../../workloads/crowd.toml"),
    include_str!("../../workloads/stream.toml"),
    include_str!("../../workloads/bulk.toml"),
    include_str!("../../workloads/download.toml"),
    include_str!("../../workloads/paced.toml"),
    include_str!("../../workloads/handler.toml"),
    include_str!("../../workloads/stragglers.toml"),
    include_str!("../../workloads/database.toml"),
    include_str!("../../workloads/hot.toml"),
    include_str!("../../workloads/night.toml"),
];

impl Workload {
    /// The named ones, the headline first.
    ///
    /// # Panics
    /// When a file that is compiled in is wrong; a test reads them all.
    pub fn named() -> [Self; FILES.len()] {
        FILES.map(|text| file::parse(text).expect("the workloads that are compiled in can be read"))
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

    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong, in which line, and what is allowed, when it is no workload.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        file::parse(text)
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
        let shape = Shape::new(self.messages, self.message_bytes);
        let shape = shape.and_then(|shape| shape.with_replies(self.reply_bytes));
        shape.expect("a workload holds the texts of its messages")
    }

    /// The same at this rate, where one was asked for: a closed loop becomes a load of Poisson arrivals.
    pub fn at(&self, rate: Option<u32>) -> Self {
        let Some(rate) = rate else { return self.clone() };
        let open = self.clone().open();
        Self { arrivals: open.arrivals.map(|arrivals| Offered { rate: Some(rate), ..arrivals }), ..open }
    }

    /// The same over this link, or else over its own, if it has one.
    pub fn over_its_link(self, other: Option<LinkShape>) -> Self {
        match other.or(self.link) {
            Some(link) => self.over(link),
            None => self,
        }
    }

    /// The same over a link, with a ramp and a window that are long enough for its round trips.
    pub fn over(self, link: LinkShape) -> Self {
        let trip_ms = link.round_trip().as_secs_f64() * 1e3;
        let [ramp_ms, window_ms] = match self.counts_sessions {
            true => SESSIONS_OVER_LINK.map(|sessions| sessions * f64::from(self.messages + 1) * trip_ms),
            false => TRIPS_OVER_LINK.map(|trips| trips * trip_ms),
        };
        let at_least = |least: f64, now: u64| now.max(least.ceil() as u64);
        Self {
            link: Some(link),
            ramp_ms: at_least(ramp_ms, self.ramp_ms),
            window_ms: at_least(window_ms, self.window_ms),
            ..self
        }
    }

    /// The same with messages that come by themselves, at rates that are still to be found.
    pub fn open(self) -> Self {
        let process = self.arrivals.as_ref().map_or(Process::Poisson, |arrivals| arrivals.process);
        let arrivals = Offered { process, rate: None, shares: Vec::new() };
        Self { arrivals: Some(arrivals), counts_sessions: false, ..self }
    }

    /// Its messages in words: `8 messages of 16 bytes`, and what is answered and done where that is more than an echo.
    pub fn in_words(&self) -> String {
        let mut words = format!("{} messages of {} bytes", self.messages, self.message_bytes);
        if let Some(bytes) = self.reply_bytes {
            words += &format!(", {bytes} bytes back");
        }
        if let Some(work) = self.work {
            words += &format!(", {work}");
        }
        if let Some(arrivals) = &self.arrivals {
            words += &format!(", {arrivals}");
        }
        if let Some(skew) = self.skew {
            words += &format!(", {skew}");
        }
        if let Some(link) = self.link {
            words += &format!(", over a link: {link}");
        }
        words
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
    use crate::protocol::{DEFAULT_MESSAGE_BYTES, DEFAULT_MESSAGES};

    #[test]
    fn every_workload_holds_its_texts_and_is_found_by_its_name() {
        for workload in Workload::named() {
            assert_eq!(workload.shape().messages(), workload.messages);
            assert_eq!(workload.name.parse::<Workload>().unwrap(), workload);
        }
        let error = "sessions".parse::<Workload>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no workload is named \"sessions\"; there are session, solo, crowd, stream, bulk, download, paced, handler, \
             stragglers, database, hot, night, and files such as mine.toml"
        );
    }

    #[test]
    fn each_named_one_is_what_its_file_says() {
        for workload in Workload::named() {
            let file = Workload::file(&workload.name).unwrap();
            assert_eq!(file::parse(file).unwrap(), workload);
        }
    }

    #[test]
    fn what_a_file_leaves_out_has_a_default() {
        let read = file::parse("name = \"mine\"\nconnections = 3").unwrap();
        let shape = (read.connections, read.messages, read.message_bytes, read.counts_sessions);
        assert_eq!(shape, (3, DEFAULT_MESSAGES, DEFAULT_MESSAGE_BYTES, true));
    }

    #[test]
    fn over_a_link_a_round_is_long_enough_for_its_sessions_or_its_round_trips() {
        let of = |text: &str, other: Option<&str>| {
            let read = file::parse(&format!("name = \"mine\"\nconnections = 3\n{text}")).unwrap();
            let over = read.over_its_link(other.map(|link| link.parse().unwrap()));
            (over.link.map(|link| link.to_string()), over.ramp_ms, over.window_ms)
        };
        let link = |name: &str| Some(name.to_owned());
        // A session is eight round trips of 80 ms, and one for the connect.
        assert_eq!(of("link = \"wan\"", None), (link("wan"), 2160, 10_800));
        assert_eq!(of("link = \"wan\"\ncounts_sessions = false", None), (link("wan"), 1600, 4000));
        assert_eq!(of("link = \"wan\"", Some("lan")), (link("lan"), 1000, 400), "another in its place");
        assert_eq!(of("window = \"20s\"", Some("wan")), (link("wan"), 2160, 20_000), "at least");
        assert_eq!(of("", None), (None, 1000, 400));
        let told = file::parse("name = \"mine\"\nconnections = 3\nlink = \"fast\"").unwrap_err().to_string();
        assert!(told.starts_with("line 3") && told.contains("mobile"), "{told}");
    }

    #[test]
    fn what_cannot_be_is_told_with_its_line_and_what_is_allowed() {
        let wrong = [
            ("connections = 0", "line 2, column 15: connections must be 1 to 1000000, not 0"),
            ("connections = \"many\"", "line 2, column 15: invalid type: string \"many\", expected i64"),
            ("connections = 1\nwindow = \"1ms\"", "line 3, column 10: a window must be at least 20ms"),
            ("connections = 1\nidle = -1", "line 3, column 8: idle connections must be 0 to 1000000, not -1"),
            ("connections = 1\nramp = \"soon\"", "line 3, column 8: \"soon\" is not a duration"),
            (
                "connections = 1\nmesages = 2",
                "line 3, column 1: unknown field `mesages`, expected one of `name`, `shows`",
            ),
            (
                "connections = 1\nmessages = 512\nmessage_bytes = 8",
                "line 4: in a session of 512 messages, a message must have at least 18 bytes, not 8",
            ),
            ("", "missing field `connections`"),
            (
                "connections = 1\nreply_bytes = 18",
                "line 3: a reply to 16 bytes must be 19 to 16777216 bytes, not 18",
            ),
            (
                "connections = 1\narrivals = { process = \"poisson\", rate = 0 }",
                "line 3, column 42: a rate must be 1 to 1000000 messages a second, not 0",
            ),
            (
                "connections = 1\narrivals = { process = \"random\" }",
                "line 3, column 24: unknown variant `random`",
            ),
            (
                "connections = 1\narrivals = { process = \"fixed\", rate = 1, shares = [0.5] }",
                "line 3: a rate, or shares of what is possible: not both",
            ),
            (
                "connections = 1\narrivals = { process = \"fixed\", shares = [1.5] }",
                "line 3: share must be above 0 and below 1, not 1.5",
            ),
            (
                "connections = 1\nmessage_bytes = 32\nwork = { kind = \"spin\", time = \"2s\" }",
                "line 4: work of 2s does not fit a window of 400ms",
            ),
            (
                "connections = 1\nwork = { kind = \"spin\", time = \"25us\" }",
                "line 3: work is drawn from the bytes of a message: with work, message_bytes must be at least 32",
            ),
            (
                "connections = 1\nmessage_bytes = 32\nwork = { kind = \"sleep\", time = \"25us\" }",
                "line 4, column 17: unknown variant `sleep`, expected one of `spin`, `wait`, `block`, `offload`",
            ),
            (
                "connections = 1\narrivals = { process = \"fixed\" }\nskew = { hot = 2, share = 0.9 }",
                "line 4: hot must be 1 to 1, the number of connections, not 2",
            ),
            ("connections = 4\nskew = { hot = 2, share = 0.9 }", "line 3: skew needs arrivals"),
            (
                "connections = 4\narrivals = { process = \"fixed\" }\nskew = { zipf = -1.0 }",
                "line 4: the exponent must be above 0 and at most 10, not -1",
            ),
            (
                "connections = 4\narrivals = { process = \"fixed\" }\nskew = { hot = 2 }",
                "line 4: skew is { hot = 2, share = 0.9 } or { zipf = 0.99 }",
            ),
        ];
        for (lines, expected) in wrong {
            let error = format!("{:#}", file::parse(&format!("name = \"mine\"\n{lines}")).unwrap_err());
            assert!(error.contains(expected), "{lines:?}: {error}");
        }
        let named = file::parse("name = \"My Own\"\nconnections = 1").unwrap_err().to_string();
        assert!(named.contains("line 1") && named.contains("a to z"), "{named}");
    }
}
