//! One backend in a process of its own, spoken to in JSON lines.
//!
//! An agent reads one [`Request`] a line on its standard input, answers with one [`Reply`] a line on its standard
//! output, and exits at the end of its input, so that nothing is left behind when its parent dies. Processes, because
//! smol and async-std share one reactor per process, async-std reads its number of threads once, CPU time and memory
//! can only be charged to a process, and a hang can be ended without ending the run.
//!
//! Absent from here: what to ask and when; that is [`crate::round`]'s, and [`crate::conform`]'s.

mod answering;
mod build;
mod command;
mod cost;
mod handle;

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{
    environment::Environment,
    load::{Extent, LoadPlan, LoadRun, OpenPlan},
    net::{LinkMeasured, LinkShape, ListenAt, Role},
    service::{Served, ServerConfig, ThreadWork},
};

pub use answering::{Answering, answer, answer_requests, refuse};
pub use build::Build;
pub use command::{AgentCommand, Program, agent_words};
pub use cost::Cost;
pub use handle::{Agent, LONGEST_LINE_BYTES, Refusal};

/// What an agent can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Serve until told to stop.
    Serve {
        /// The backend.
        backend: String,
        /// Where to listen.
        listen: ListenAt,
        /// How to serve.
        config: ServerConfig,
    },
    /// Say what was spent since the last reply.
    Cost,
    /// Say what was served until now.
    Served,
    /// Say what each thread of the server did until now.
    ThreadWork,
    /// Stop serving.
    Stop,
    /// Hold so many connections, each after one message, by no backend at all.
    Hold {
        /// The addresses that the connections rotate over.
        destinations: Vec<SocketAddr>,
        /// How many.
        connections: usize,
        /// The size of the message, in bytes.
        message_bytes: usize,
        /// The size of the reply, in bytes, where it is longer than `Re:` and the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_bytes: Option<usize>,
    },
    /// Close what is held.
    Release,
    /// Say what its clock says, and when its last load began.
    Clock,
    /// Wait with the next load until then.
    BeginAt {
        /// CLOCK_MONOTONIC where it is, in nanoseconds.
        at_ns: u64,
    },
    /// Say which build of this program it is: asked behind a prefix, which may lead to another.
    Build,
    /// Say what its machine is like: asked behind a prefix, which may lead to another.
    Environment,
    /// Say what the kernel's settings are where it is.
    Settings,
    /// Make an end of a link where it is.
    MakeEnd {
        /// Which.
        role: Role,
        /// The process in whose network namespace the other end is to be, for who makes both.
        peer: Option<u32>,
        /// What the link is like.
        link: LinkShape,
    },
    /// Send back the datagrams that arrive at an end of a link, and say where that is.
    Reflect {
        /// Which.
        role: Role,
    },
    /// Measure the link to who sends them back.
    Probe {
        /// Where that is.
        to: SocketAddr,
        /// What the link is to be like.
        link: LinkShape,
    },
    /// Drive a load to its end.
    Drive {
        /// The backend.
        backend: String,
        /// The load.
        plan: LoadPlan,
    },
    /// Open the connections of a load at a rate, each after one message, by no backend at all.
    Connect {
        /// The load.
        plan: OpenPlan,
    },
    /// Pace that load to its end, and go on holding its connections.
    Pace,
}

/// The version of what agents are asked. An agent that knows this one serves messages that have work, answers with longer
/// replies, and tells what its threads did; of version 1 it does none of that, and is asked for none.
///
/// From version 3 on it tells its clock, and begins a load when it is told to.
pub const VERSION: u32 = 3;

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serve { backend, .. } => write!(f, "serve with the backend {backend}"),
            Self::Cost => f.write_str("tell its CPU time and memory"),
            Self::Served => f.write_str("tell what it served"),
            Self::ThreadWork => f.write_str("tell what its threads did"),
            Self::Stop => f.write_str("stop serving"),
            Self::Hold { connections, .. } => write!(f, "hold {connections} connections"),
            Self::Connect { plan } => {
                let OpenPlan { connections, rate, ramp_ms, window_ms, .. } = plan;
                let time = ramp_ms + window_ms;
                write!(f, "open {connections} connections for {rate:.0} messages/s and {time} ms")
            }
            Self::Pace => f.write_str("pace its load"),
            Self::Release => f.write_str("close what it holds"),
            Self::Build => f.write_str("tell its build"),
            Self::Environment => f.write_str("tell its machine"),
            Self::Clock => f.write_str("tell its clock"),
            Self::BeginAt { .. } => f.write_str("begin at an instant"),
            Self::Settings => f.write_str("tell its settings"),
            Self::MakeEnd { .. } => f.write_str("make an end of a link"),
            Self::Reflect { .. } => f.write_str("send datagrams back"),
            Self::Probe { .. } => f.write_str("measure a link"),
            Self::Drive { backend, plan } => {
                let shape = plan.shape;
                write!(f, "drive {} connections with the backend {backend}, ", plan.connections)?;
                write!(f, "sessions of {} × {} bytes, ", shape.messages(), shape.message_bytes())?;
                match &plan.extent {
                    Extent::Sessions(sessions) => write!(f, "{sessions} of them"),
                    Extent::Timed { ramp_ms, window_ms } => write!(f, "for {} ms", ramp_ms + window_ms),
                    Extent::Sliced { .. } => f.write_str("in slices"),
                }
            }
        }
    }
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The answer itself.
    pub answer: Answer,
    /// What was spent since the reply before, or since the agent began. Where the agent is kept by a supervisor, that one's word.
    #[serde(default)]
    pub cost: Cost,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// It serves.
    Serving {
        /// At these addresses.
        destinations: Vec<SocketAddr>,
        /// With what in place of what the platform lacks.
        fallbacks: Vec<String>,
    },
    /// The cost stands beside it.
    Cost,
    /// It has served this, and goes on unless it was told to stop.
    Served(Served),
    /// Its threads have done this.
    ThreadWork(Box<ThreadWork>),
    /// It has driven, or paced.
    Drove(Box<LoadRun>),
    /// It holds the connections.
    Held,
    /// It has closed them.
    Released,
    /// Its clock says this.
    Clock {
        /// CLOCK_MONOTONIC where it is, in nanoseconds.
        now_ns: u64,
        /// When its last load began; absent where there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        began_ns: Option<u64>,
        /// Which clock it is: the same words are of the same clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        which: Option<String>,
    },
    /// It is this build.
    Build(Build),
    /// Its machine is this.
    Environment(Box<Environment>),
    /// The settings are these, by their paths below `/proc/sys`.
    Settings(BTreeMap<String, String>),
    /// Its end of the link is made.
    Made,
    /// It sends back what arrives there.
    Reflects {
        /// Where.
        at: SocketAddr,
    },
    /// The link was measured.
    Probed(LinkMeasured),
    /// It could not.
    Failed {
        /// Why.
        error: String,
    },
}
