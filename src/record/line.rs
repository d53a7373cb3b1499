//! The lines of `rounds.jsonl`: what happened in a duel, and where in it.

use serde::{Deserialize, Serialize};

use super::{Class, View};
use crate::{
    agent::Cost,
    load::{LatencyHistogram, LoadRun, OpenRun},
    round::{BegunApart, Flag, Slice},
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
        /// What it takes of the kernel's own memory, both ends together, in bytes; absent where that is not told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel_bytes_per_connection: Option<f64>,
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
    /// The block within its epoch, from 0; the first of those that a round's slices belong to.
    pub block: usize,
    /// Whose turn it was in the block, from 0; each slice of a round has a turn of its own.
    pub turn: usize,
    /// Which of the contest's rates was offered, from 0; absent in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
}

/// A round that was measured: one stretch, or slices of it between those of the other arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundLine {
    /// Where it belongs.
    pub place: Place,
    /// What the client measured.
    pub run: RunLine,
    /// The slices, one for each block from that of the place; empty where the round is one stretch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
    /// What the server spent, ramp included, and between slices too.
    pub server: Cost,
    /// What the client, or all of them together, spent; as the server's.
    pub client: Cost,
    /// The server's context switches per message, where they were counted apart from its cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_switches_per_message: Option<f64>,
    /// The share of CPU time that the hypervisor gave to others meanwhile.
    pub steal: Option<f64>,
    /// The share of CPU time that other processes of the machine had meanwhile.
    #[serde(default)]
    pub others: Option<f64>,
    /// The share of CPU time that the kernel's ksoftirqd threads had meanwhile, which none of the processes is charged for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ksoftirqd: Option<f64>,
    /// The share of time in which somebody waited for a processor, on average over ten seconds.
    pub cpu_pressure: Option<f64>,
    /// The share of the time for which a quota of processor time made all stand still; absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<f64>,
    /// What a reader must know before believing it.
    pub flags: Vec<String>,
    /// Why it must not count; empty when it does. Formats 1 and 2 called it `set_aside`.
    #[serde(alias = "set_aside")]
    pub excluded: Vec<String>,
    /// Whether the client was the bottleneck.
    pub client_bound: bool,
    /// What only a load at an offered rate has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenLine>,
    /// How unevenly messages spread over the server's workers: the largest share over the mean one, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_spread: Option<f64>,
    /// How late the server's timers fired, where messages wait.
    #[serde(default, skip_serializing_if = "EncodedHistogram::is_empty")]
    pub timer_lateness: EncodedHistogram,
    /// How far apart several clients began; absent for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_apart: Option<BegunApart>,
    /// What each connection that was silent beside takes of the kernel's own memory, both ends together, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_kernel_bytes: Option<f64>,
}

impl RoundLine {
    /// Whether it does not count, and the same a moment later may: it may have been the machine's doing.
    pub fn may_be_tried_again(&self) -> bool {
        !self.excluded.is_empty() && self.excluded.iter().all(|reason| Flag::passes(reason))
    }
}

/// What only a load at an offered rate has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenLine {
    /// Messages that were to be sent per second.
    pub offered_per_second: f64,
    /// Messages that were to be sent within the window.
    pub planned: u64,
    /// From when a message was to be sent to the last byte of its reply. The time of service is the run's round trip.
    pub response: EncodedHistogram,
    /// By how much the pacer sent a message later than it could have.
    pub lateness: EncodedHistogram,
    /// The lateness of those that came due while the pacer stood still.
    #[serde(default)]
    pub stalled: EncodedHistogram,
    /// Messages that were not answered by the end of the time to drain.
    pub unfinished: u64,
    /// For how long the pacer stood still within the window, in nanoseconds.
    pub stood_still_ns: u64,
}

impl OpenLine {
    /// Takes over what a pacer measured at a rate.
    pub fn new(offered_per_second: f64, run: &OpenRun) -> Self {
        Self {
            offered_per_second,
            planned: run.planned,
            response: EncodedHistogram::new(&run.response),
            lateness: EncodedHistogram::new(&run.lateness),
            stalled: EncodedHistogram::new(&run.stalled),
            unfinished: run.unfinished,
            stood_still_ns: run.stood_still_ns,
        }
    }
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
    /// For how long what ended was timed, in nanoseconds: the window; of all slices together, without their first eighth.
    pub window_ns: u64,
    /// The whole round, ramp and tail included and rests left out, in nanoseconds.
    pub elapsed_ns: u64,
    /// From asking for a connection to having it.
    pub connect: EncodedHistogram,
    /// From the moment that a message could be sent to the last byte of its reply.
    pub round_trip: EncodedHistogram,
    /// From asking for a connection to the last byte of the last reply; in formats 1 and 2 to having closed it.
    pub session: EncodedHistogram,
    /// From the last byte of the last reply to having closed the connection.
    #[serde(default)]
    pub close: EncodedHistogram,
    /// How long what had not ended when the window closed, or a load of slices was over, was under way by then.
    #[serde(default)]
    pub unfinished: EncodedHistogram,
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
            close: EncodedHistogram::new(&run.close),
            unfinished: EncodedHistogram::new(&run.unfinished),
        }
    }
}

/// A histogram as it stands on disk; nothing where nothing was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncodedHistogram(Option<Box<str>>);

impl EncodedHistogram {
    /// Writes one.
    pub fn new(histogram: &LatencyHistogram) -> Self {
        Self((histogram.count() > 0).then(|| histogram.encoded().into()))
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Decodes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(&self) -> anyhow::Result<LatencyHistogram> {
        match &self.0 {
            None => Ok(LatencyHistogram::new()),
            Some(text) => LatencyHistogram::decode(text),
        }
    }
}
