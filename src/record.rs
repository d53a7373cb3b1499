//! What is written to results/: one folder a run, never overwritten, every line on disk before the next block begins.
//!
//! `environment.json` holds the [`Setup`], `rounds.jsonl` one [`Line`] each. The types here are the format: unknown
//! fields are refused, and a change of theirs is a new [`SCHEMA`], unless it is a field that may be absent: an older program
//! refuses it by name, and this one reads records without it. Absent from here: what the lines mean.

mod class;
mod design;
mod footprint;
mod line;
mod upgrade;
mod writer;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    contestant::Description,
    environment::Environment,
    load::{Objective, Workload},
    placement::{Cpus, Placement},
};

pub use class::Class;
pub use footprint::{BackendFootprint, Footprint};
pub use line::{EncodedHistogram, Line, OpenLine, Place, RoundLine, RunLine};
pub use writer::RecordWriter;

/// The number of the format. Records of the numbers before it are read too.
pub const SCHEMA: u32 = 3;

/// The number of the first format.
const FIRST_SCHEMA: u32 = 1;

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
    /// The number of the format that it was written in.
    pub schema: u32,
    /// When it began, as RFC 3339.
    pub began: String,
    /// The command line, word by word.
    pub command_line: Vec<String>,
    /// The seed of the order.
    pub seed: u64,
    /// What servers were started with.
    pub server_exec: Option<String>,
    /// Where servers listened; on loopback when absent.
    pub server_address: Option<String>,
    /// What clients were started with, one for each load machine.
    pub client_exec: Vec<String>,
    /// What was compared.
    pub contests: Vec<Contest>,
    /// What each contestant is, by its name.
    pub contestants: BTreeMap<String, Description>,
    /// Who could not take part, and why.
    pub skipped: BTreeMap<String, String>,
    /// What on the machine would spoil it.
    pub warnings: Vec<String>,
    /// The machine.
    pub environment: Environment,
    /// The machines behind prefixes, as an agent there told them: `server`, `client`, or `client 2`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<String, Environment>,
}

impl Setup {
    /// Reads the setup of a record.
    ///
    /// # Errors
    /// When the folder is no record, or its setup cannot be read; with the file.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(SETUP_FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "{folder:?} is not the folder of a record, such as results/2026-11-27.1: cannot read {}",
                path.display()
            )
        })?;
        upgrade::read_setup(&text).with_context(|| path.display().to_string())
    }

    /// Where server and client ran, each placement once; where there are several, with the class that each is of.
    pub fn placements(&self) -> String {
        let mut told: Vec<(Class, String)> = Vec::new();
        for contest in &self.contests {
            let placement = (contest.class, contest.placement.to_string());
            if !told.contains(&placement) {
                told.push(placement);
            }
        }
        let is_one = told.iter().all(|(_, placement)| *placement == told[0].1);
        match told.as_slice() {
            [(_, placement), ..] if is_one => placement.clone(),
            several => {
                let words = several.iter().map(|(class, placement)| format!("{}: {placement}", class.name()));
                words.collect::<Vec<_>>().join("; ")
            }
        }
    }
}

/// One comparison: arms under one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contest {
    /// The workload, whole.
    pub workload: Workload,
    /// How its messages come.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// How its arms take turns.
    pub schedule: Schedule,
    /// What differs between the arms.
    pub view: View,
    /// How many threads the arms run on.
    pub class: Class,
    /// Where server and client ran.
    pub placement: Placement,
    /// The arms; the reference first.
    pub arms: Vec<Arm>,
}

/// How the messages of a contest come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Each after the reply to the one before.
    #[default]
    Closed,
    /// At rates that are offered whatever comes back; a round is of one of them.
    Open {
        /// Messages per second, in ascending order.
        rates: Vec<f64>,
        /// The first so many of the rates have one round in each epoch, the others one in each block: where nothing turns on how
        /// exactly they are known.
        #[serde(default)]
        once: usize,
        /// What response times are to reach; the capacity is the highest rate at which they do.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        objectives: Vec<Objective>,
    },
}

/// How the arms of a contest take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// All are alive, and one runs for some milliseconds while the others rest; a block is one turn of all.
    Slices {
        /// What passes at the head of a slice before its window opens, in milliseconds.
        warm_ms: u64,
        /// The window of a slice, in milliseconds.
        slice_ms: u64,
        /// Blocks in an epoch.
        blocks: usize,
    },
    /// Each runs whole rounds, with the workload's ramp and window, one after the other.
    Rounds {
        /// Blocks in an epoch: rounds of each arm with the same processes.
        blocks: usize,
    },
}

impl Schedule {
    /// Blocks in an epoch.
    pub fn blocks(self) -> usize {
        match self {
            Self::Slices { blocks, .. } | Self::Rounds { blocks } => blocks,
        }
    }
}

/// What differs between the arms of a contest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Client and server of the same backend.
    Own,
    /// The same client against each server.
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
    /// Worker threads of the server; its default, or as connections decide, when absent.
    pub server_workers: Option<usize>,
    /// Worker threads of the client; its default, or as connections decide, when absent.
    pub client_workers: Option<usize>,
    /// Whether it is the second copy of the reference, which shows the noise.
    pub copy: bool,
    /// CPU time that its server burns for each message, in nanoseconds: a known handicap; 0 for none.
    #[serde(default)]
    pub burn_ns: u64,
    /// The server's processors, where arms differ by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_cpus: Option<Cpus>,
    /// Why its workers say nothing of what more processors would give, where arms differ by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was to be measured.
    pub setup: Setup,
    /// What was, in the order in which it was written.
    pub lines: Vec<Line>,
    /// What each backend costs whoever builds with it, where that was measured.
    pub footprint: Option<Footprint>,
    /// Why reading ended before the end of the file, with file and line; the lines before it are right.
    pub damage: Option<String>,
}

impl Record {
    /// Reads a record, as far as it can be read.
    ///
    /// # Errors
    /// When the folder is no record, or its setup cannot be read; with file, and line where there is one.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let setup = Setup::read(folder)?;
        let path = folder.join(ROUNDS_FILE);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (lines, damage) = read_lines(&bytes);
        let mut damage = damage.map(|damage| format!("{}:{damage}", path.display()));
        let footprint = Footprint::read(folder).unwrap_or_else(|error| {
            damage.get_or_insert(format!("{error:#}"));
            None
        });
        Ok(Self { setup, lines, footprint, damage })
    }

    /// Makes a record of the text of its setup and of its rounds, as they stand in its files.
    ///
    /// # Errors
    /// When the setup cannot be read.
    pub fn parse(setup: &str, rounds: &[u8]) -> anyhow::Result<Self> {
        let (lines, damage) = read_lines(rounds);
        Ok(Self { setup: upgrade::read_setup(setup)?, lines, footprint: None, damage })
    }
}

/// Reads lines up to the first that is none, and says which that is, and why.
fn read_lines(bytes: &[u8]) -> (Vec<Line>, Option<String>) {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let texts: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|_| !text.is_empty()).collect();
    let read: Vec<anyhow::Result<Line>> = texts.par_iter().map(|text| read_line(text)).collect();
    let mut lines = Vec::with_capacity(read.len());
    for (index, line) in read.into_iter().enumerate() {
        match line {
            Ok(line) => lines.push(line),
            Err(error) => return (lines, Some(format!("{}: {error:#}", index + 1))),
        }
    }
    (lines, None)
}

/// Reads a line, and makes sure that it can be analysed.
fn read_line(bytes: &[u8]) -> anyhow::Result<Line> {
    let text = std::str::from_utf8(bytes)?;
    check_schema(text)?;
    let line: Line = serde_json::from_str(text)?;
    let Place { epoch, block, .. } = line.place();
    let slices = if let Line::Round(round) = &line { round.slices.len() } else { 0 };
    anyhow::ensure!(
        *epoch.max(&block.saturating_add(slices)) < MOST_EPOCHS,
        "epoch {epoch} or block {block} is beyond {MOST_EPOCHS}"
    );
    if let Line::Round(round) = &line {
        let RunLine { connect, round_trip, session, close, unfinished, .. } = &round.run;
        let of_pacer = round.open.iter().flat_map(|open| [&open.response, &open.lateness, &open.stalled]);
        let all = [connect, round_trip, session, close, unfinished, &round.timer_lateness];
        for histogram in all.into_iter().chain(of_pacer) {
            histogram.decode().context("a histogram cannot be decoded")?;
        }
    }
    Ok(line)
}

/// Looks at the schema number alone, so that another format is called by its name; returns it.
fn check_schema(text: &str) -> anyhow::Result<u32> {
    #[derive(Deserialize)]
    struct Numbered {
        schema: Option<u64>,
        place: Option<Box<Numbered>>,
    }
    let numbered: Numbered = serde_json::from_str(text)?;
    match numbered.schema.or_else(|| numbered.place?.schema) {
        Some(schema) if (FIRST_SCHEMA..=SCHEMA).map(u64::from).any(|known| known == schema) => {
            Ok(schema as u32)
        }
        Some(schema) => {
            bail!("its format is number {schema}, and this program reads numbers {FIRST_SCHEMA} to {SCHEMA}")
        }
        None => bail!("it has no schema number"),
    }
}

#[cfg(test)]
mod tests;
