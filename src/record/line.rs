//! The lines of `rounds.jsonl`: what happened in a duel, and where in it.

use serde::{Deserialize, Serialize};

use super::{Class, View};
use crate::{
    agent::Cost,
    load::{LatencyHistogram, LoadRun},
};

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
    /// The class.
    #[serde(default)]
    pub class: Class,
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
