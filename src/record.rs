//! What is written to results/: one folder a run, never overwritten, every line on disk before the next block begins.
//!
//! `environment.json` holds the [`Setup`], `rounds.jsonl` one [`Line`] each. The types here are the format: unknown
//! fields are refused, and a change of theirs is a new [`SCHEMA`]. Absent from here: what the lines mean.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::{
    agent::Cost,
    environment::Environment,
    load::{LatencyHistogram, LoadRun},
    placement::Placement,
};

/// The number of the format.
pub const SCHEMA: u32 = 1;

/// Epochs, and blocks in an epoch, that no duel reaches.
const MOST_EPOCHS: usize = 100_000;

/// The file of the setup.
const SETUP_FILE: &str = "environment.json";

/// The file of the rounds.
const ROUNDS_FILE: &str = "rounds.jsonl";

/// What was to be measured, where, and how to do it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The number of the format.
    pub schema: u32,
    /// When it began, as RFC 3339.
    pub began: String,
    /// The command line, word by word.
    pub command_line: Vec<String>,
    /// The seed of the order.
    pub seed: u64,
    /// Where server and client ran.
    pub placement: Placement,
    /// What servers were started with.
    pub server_exec: Option<String>,
    /// Where servers listened; on loopback when absent.
    pub server_address: Option<String>,
    /// What clients were started with, one for each load machine.
    pub client_exec: Vec<String>,
    /// Blocks in an epoch.
    pub blocks: usize,
    /// What was discarded at the head of each round, in milliseconds.
    pub ramp_ms: u64,
    /// The length of a round's window, in milliseconds.
    pub window_ms: u64,
    /// What was compared.
    pub contests: Vec<Contest>,
    /// What on the machine would spoil it.
    pub warnings: Vec<String>,
    /// The machine.
    pub environment: Environment,
}

impl Setup {
    /// The fields in which two setups differ so that their results cannot be compared: name, this, the other.
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let mut differences = self.environment.differences(&other.environment);
        let told = |setup: &Self| {
            [
                ("placement", setup.placement.to_string()),
                ("server_address", setup.server_address.clone().unwrap_or_default()),
                ("blocks", setup.blocks.to_string()),
                ("server_exec", setup.server_exec.clone().unwrap_or_default()),
                ("client_exec", setup.client_exec.join("; ")),
                ("ramp_ms", setup.ramp_ms.to_string()),
                ("window_ms", setup.window_ms.to_string()),
            ]
        };
        for ((name, ours), (_, theirs)) in told(self).into_iter().zip(told(other)) {
            if ours != theirs {
                differences.push((name.to_owned(), ours, theirs));
            }
        }
        differences
    }
}

/// One comparison: arms under one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contest {
    /// The workload's name.
    pub workload: String,
    /// What differs between the arms.
    pub view: View,
    /// The arms; the reference first.
    pub arms: Vec<Arm>,
}

/// What differs between the arms of a contest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Each backend's client against its own server.
    Own,
    /// One neutral client against each server.
    Server,
    /// Every client against every server.
    Matrix,
}

impl View {
    /// Its name, as records and command lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Server => "server",
            Self::Matrix => "matrix",
        }
    }
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// What it is called; unique in its contest.
    pub name: String,
    /// The server's backend.
    pub server: String,
    /// The client's backend.
    pub client: String,
    /// Worker threads of both; the backends' defaults when absent.
    pub workers: Option<usize>,
    /// Whether it is the second copy of the reference, which shows the noise.
    pub copy: bool,
    /// CPU time that its server burns for each message, in nanoseconds: a known handicap; 0 for none.
    #[serde(default)]
    pub burn_ns: u64,
}

/// A line of `rounds.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// A round was measured.
    Round(Box<RoundLine>),
    /// A round, or the start of its processes, failed.
    Failed {
        /// Where it belongs.
        place: Place,
        /// What went wrong.
        error: String,
    },
    /// A thousand connections were held without a word.
    Idle {
        /// Where it belongs.
        place: Place,
        /// What a connection costs the server, in bytes.
        bytes_per_connection: f64,
    },
}

impl Line {
    /// Where it belongs.
    pub fn place(&self) -> &Place {
        match self {
            Self::Round(round) => &round.place,
            Self::Failed { place, .. } | Self::Idle { place, .. } => place,
        }
    }
}

/// Where in a duel something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The number of the format.
    pub schema: u32,
    /// The workload's name.
    pub workload: String,
    /// The view.
    pub view: View,
    /// The arm's name.
    pub arm: String,
    /// The epoch, from 0: fresh processes in each.
    pub epoch: usize,
    /// The block within its epoch, from 0.
    pub block: usize,
    /// Whose turn it was in the block, from 0.
    pub turn: usize,
}

/// A round that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundLine {
    /// Where it belongs.
    pub place: Place,
    /// What the client measured.
    pub run: RunLine,
    /// What the server spent.
    pub server: Cost,
    /// What the client, or all of them together, spent.
    pub client: Cost,
    /// The share of CPU time that the hypervisor gave to others meanwhile.
    pub steal: Option<f64>,
    /// The share of time in which somebody waited for a processor, on average over ten seconds.
    pub cpu_pressure: Option<f64>,
    /// What a reader must know before believing it.
    pub flags: Vec<String>,
    /// Why it must not count; empty when it does.
    pub set_aside: Vec<String>,
    /// Whether the client was the bottleneck.
    pub client_bound: bool,
}

/// What a client measured in a round; its histograms stay encoded until they are asked for, which keeps a thousand
/// rounds small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunLine {
    /// Sessions completed within the window.
    pub sessions: u64,
    /// Replies verified within the window.
    pub messages: u64,
    /// Replies verified in all.
    pub messages_in_all: u64,
    /// The length of the window, in nanoseconds.
    pub window_ns: u64,
    /// The whole round, ramp and tail included, in nanoseconds.
    pub elapsed_ns: u64,
    /// From asking for a connection to having it.
    pub connect: EncodedHistogram,
    /// From the moment that a message could be sent to the last byte of its reply.
    pub round_trip: EncodedHistogram,
    /// From asking for a connection to having closed it.
    pub session: EncodedHistogram,
}

impl RunLine {
    /// Takes over what a client measured.
    pub fn new(run: &LoadRun) -> Self {
        let ns = |seconds: f64| (seconds * 1e9).round() as u64;
        Self {
            sessions: run.sessions,
            messages: run.messages,
            messages_in_all: run.messages_in_all,
            window_ns: ns(run.window_s),
            elapsed_ns: ns(run.elapsed_s),
            connect: EncodedHistogram::new(&run.connect),
            round_trip: EncodedHistogram::new(&run.round_trip),
            session: EncodedHistogram::new(&run.session),
        }
    }
}

/// A histogram as it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncodedHistogram(serde_json::Value);

impl EncodedHistogram {
    fn new(histogram: &LatencyHistogram) -> Self {
        Self(serde_json::to_value(histogram).expect("a histogram is encoded as text"))
    }

    /// Decodes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(&self) -> anyhow::Result<LatencyHistogram> {
        Ok(LatencyHistogram::deserialize(&self.0)?)
    }
}

/// A record being written.
#[derive(Debug)]
pub struct RecordWriter {
    folder: PathBuf,
    rounds: File,
}

impl RecordWriter {
    /// Makes a new folder below `results`, named by day and number, and writes the setup.
    ///
    /// # Errors
    /// When it cannot be written; nothing that was there is touched.
    pub fn create(results: &Path, day: &str, setup: &Setup) -> anyhow::Result<Self> {
        let folder = new_folder(results, day)?;
        let write = || -> io::Result<File> {
            let mut text = serde_json::to_string_pretty(setup)?;
            text.push('\n');
            fs::write(folder.join(SETUP_FILE), text)?;
            File::create_new(folder.join(ROUNDS_FILE))
        };
        let rounds = write().with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(Self { folder, rounds })
    }

    /// The folder of the record.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends lines, and returns when they are on disk.
    ///
    /// # Errors
    /// When they cannot be written; what was written before stays.
    pub fn append(&mut self, lines: &[Line]) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        let written = self.rounds.write_all(text.as_bytes()).and_then(|()| self.rounds.sync_data());
        written.with_context(|| {
            let file = self.folder.join(ROUNDS_FILE);
            format!("cannot write to {}; the rounds before are kept", file.display())
        })
    }

    /// Writes a file beside the rounds.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn attach(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Makes the first folder `DAY.N` that is not there yet.
fn new_folder(results: &Path, day: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(results).with_context(|| format!("cannot make {}", results.display()))?;
    for number in 1_u32.. {
        let folder = results.join(format!("{day}.{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", folder.display())),
        }
    }
    bail!("{} holds too many runs of {day}", results.display())
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was to be measured.
    pub setup: Setup,
    /// What was, in the order in which it was written.
    pub lines: Vec<Line>,
    /// Why reading ended before the end of the file, with file and line; the lines before it are right.
    pub damage: Option<String>,
}

impl Record {
    /// Reads a record, as far as it can be read.
    ///
    /// # Errors
    /// When the folder is no record, or its setup cannot be read; with file, and line where there is one.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(SETUP_FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{} is no recorded run: cannot read {}", folder.display(), path.display())
        })?;
        check_schema(&text).with_context(|| path.display().to_string())?;
        let setup: Setup = serde_json::from_str(&text).with_context(|| path.display().to_string())?;

        let path = folder.join(ROUNDS_FILE);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut lines = Vec::new();
        let mut damage = None;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate().filter(|_| !text.is_empty()) {
            match read_line(line) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    damage = Some(format!("{}:{}: {error:#}", path.display(), index + 1));
                    break;
                }
            }
        }
        Ok(Self { setup, lines, damage })
    }
}

/// Reads a line, and makes sure that it can be analysed.
fn read_line(bytes: &[u8]) -> anyhow::Result<Line> {
    let text = std::str::from_utf8(bytes)?;
    check_schema(text)?;
    let line: Line = serde_json::from_str(text)?;
    let Place { epoch, block, .. } = line.place();
    anyhow::ensure!(
        epoch.max(block) < &MOST_EPOCHS,
        "epoch {epoch} or block {block} is beyond {MOST_EPOCHS}"
    );
    if let Line::Round(round) = &line {
        for histogram in [&round.run.connect, &round.run.round_trip, &round.run.session] {
            histogram.decode().context("a histogram cannot be decoded")?;
        }
    }
    Ok(line)
}

/// Looks at the schema number alone, so that another format is called by its name.
fn check_schema(text: &str) -> anyhow::Result<()> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let schema = value.get("schema").or_else(|| value.get("place")?.get("schema"));
    match schema.and_then(serde_json::Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => Ok(()),
        Some(schema) => bail!("its format is number {schema}, and this program reads number {SCHEMA}"),
        None => bail!("it has no schema number"),
    }
}

#[cfg(test)]
mod tests;
