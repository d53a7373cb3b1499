//! Arrivals: the plan of a load at a rate, drawn before its round begins.
//!
//! All arms of a block get the same plan: what the draw does is everybody's, and cancels.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{protocol::Shape, seeded::Draws};

/// How messages come at a rate that is offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offered {
    /// How the times between them are spread.
    pub process: Process,
    /// Messages per second, of all connections together; absent where shares say it, or the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Rates as shares of what the reference can do, in ascending order; empty for [`SHARES`], or where the rate is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
}

/// The shares of what the reference can do that are offered unless told otherwise: a night, a day, a busy day, and almost all.
pub const SHARES: [f64; 4] = [0.1, 0.5, 0.8, 0.9];

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.process.name())?;
        self.rate.map_or(Ok(()), |rate| write!(f, " at {rate}/s"))
    }
}

/// How the times between messages are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// Exponential: many clients that know nothing of each other.
    Poisson,
    /// All the same.
    Fixed,
}

impl Process {
    fn name(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Fixed => "fixed",
        }
    }
}

/// Which connections have how much of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Skew {
    /// The first few have such a share of all messages, and the others the rest.
    Hot {
        /// How many.
        hot: usize,
        /// Their share, above 0 and up to 1.
        share: f64,
    },
    /// The share of the n-th connection is proportional to 1 / nᶻ.
    Zipf {
        /// The exponent z.
        zipf: f64,
    },
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hot { hot, share } => write!(f, "{:.0}% of them on {hot} connections", share * 100.0),
            Self::Zipf { zipf } => write!(f, "Zipf {zipf} over connections"),
        }
    }
}

/// A load at a rate, before its arrivals are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenPlan {
    /// The addresses that connections rotate over; not empty.
    pub destinations: Vec<SocketAddr>,
    /// How many connections there are, with those of other clients; at least 1.
    pub connections: usize,
    /// Which of them are this client's.
    #[serde(default)]
    pub part: Part,
    /// What messages are. A connection counts them from 1 to their number, and then again.
    pub shape: Shape,
    /// How the times between messages are spread.
    pub process: Process,
    /// Messages per second, of all connections together.
    pub rate: f64,
    /// Which connections have how much of the traffic.
    pub skew: Option<Skew>,
    /// What times, connections and texts are drawn from.
    pub seed: u64,
    /// What is discarded at the head, in milliseconds.
    pub ramp_ms: u64,
    /// What counts, in milliseconds: the messages that are to be sent then.
    pub window_ms: u64,
    /// How long replies are waited for after that, in milliseconds.
    pub drain_ms: u64,
    /// Whether the pacer has a processor of its own, and so spins until the next message is to be sent; else it sleeps.
    pub spins: bool,
}

/// The part that a client has of a load: every so many connections one is its own. All clients draw the whole plan from the same
/// seed, and each keeps what is on its connections, so that their plans are together the one of a single client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which client it is, from 0.
    pub index: usize,
    /// How many there are; at least 1.
    pub of: usize,
}

impl Default for Part {
    /// The whole.
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Part {
    /// The number that a connection of the whole has among this client's; `None` for another's.
    fn own(self, connection: usize) -> Option<usize> {
        let of = self.of.max(1);
        (connection % of == self.index).then_some(connection / of)
    }

    /// The number in the whole of a connection of this client's.
    fn whole(self, connection: usize) -> usize {
        connection * self.of.max(1) + self.index
    }
}

/// A message that is to be sent: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, in nanoseconds since the begin.
    pub at_ns: u64,
    /// On which of this client's connections.
    pub connection: u32,
    /// The next on the same connection; [`Arrival::NONE`] for the last.
    pub next: u32,
}

impl Arrival {
    /// No arrival.
    pub const NONE: u32 = u32::MAX;
}

/// Arrivals that a plan may have at most: 800 MB of them.
const MOST_ARRIVALS: f64 = 5e7;

/// A plan that would not fit.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "{rate:.0} messages a second for {seconds:.1} s would be {arrivals:.0} messages in one round; the most is {MOST_ARRIVALS:.0}. \
     Lower the rate, or measure for a shorter time"
)]
pub struct PlanTooLong {
    rate: f64,
    seconds: f64,
    arrivals: f64,
}

/// Makes sure that the arrivals of a rate, in messages per second, for so many seconds can be drawn.
///
/// # Errors
/// When they do not fit memory, or there is no such rate.
pub fn check_plan(rate: f64, seconds: f64) -> Result<(), PlanTooLong> {
    let arrivals = rate * seconds;
    if rate > 0.0 && arrivals <= MOST_ARRIVALS {
        Ok(())
    } else {
        Err(PlanTooLong { rate, seconds, arrivals })
    }
}

impl OpenPlan {
    /// From the begin to the end of the window, in seconds.
    fn span_s(&self) -> f64 {
        (self.ramp_ms + self.window_ms) as f64 / 1e3
    }

    /// Makes sure that its arrivals can be drawn.
    ///
    /// # Errors
    /// When they do not fit memory, or there is no such rate.
    pub fn check(&self) -> Result<(), PlanTooLong> {
        check_plan(self.rate, self.span_s())
    }

    /// How many connections are this client's.
    pub fn own_connections(&self) -> usize {
        (0..self.connections).filter(|connection| self.part.own(*connection).is_some()).count()
    }

    /// Draws the whole plan, and keeps the arrivals of this client, in their order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        let (mut times, mut connections) = (Draws::new(self.seed), Draws::new(!self.seed));
        let end = self.span_s();
        let shares = CumulativeShares::new(self.skew, self.connections);
        let own = self.rate * end / self.part.of.max(1) as f64;
        let mut arrivals = Vec::with_capacity((own * 1.1) as usize + 16);
        let mut at = 0.0;
        loop {
            at += match self.process {
                Process::Poisson => times.exponential(),
                Process::Fixed => 1.0,
            } / self.rate;
            if at >= end {
                break;
            }
            let connection = shares.connection(connections.unit());
            let Some(connection) = self.part.own(connection as usize) else { continue };
            let connection = connection as u32;
            arrivals.push(Arrival { at_ns: (at * 1e9) as u64, connection, next: Arrival::NONE });
        }
        chain(&mut arrivals, self.own_connections());
        arrivals
    }

    /// The number that the first session of a connection of this client's has in its texts: so that rounds differ, and connections.
    pub fn session(&self, connection: usize) -> u64 {
        // Seven digits at most: more than once in what messages of 32 bytes have left beside their text.
        const SESSIONS: u64 = 10_000_000;
        (crate::seeded::mix(self.seed) % SESSIONS + self.part.whole(connection) as u64) % SESSIONS
    }
}

/// Tells each arrival of the next on its connection.
fn chain(arrivals: &mut [Arrival], connections: usize) {
    let mut following = vec![Arrival::NONE; connections];
    for (index, arrival) in arrivals.iter_mut().enumerate().rev() {
        arrival.next = std::mem::replace(&mut following[arrival.connection as usize], index as u32);
    }
}

/// The share of each connection and of all before it.
struct CumulativeShares(Vec<f64>);

impl CumulativeShares {
    fn new(skew: Option<Skew>, connections: usize) -> Self {
        let weight = |index: usize| match skew {
            None => 1.0,
            Some(Skew::Hot { hot, share }) if index < hot => share / hot as f64,
            Some(Skew::Hot { hot, share }) => (1.0 - share) / (connections - hot) as f64,
            Some(Skew::Zipf { zipf }) => ((index + 1) as f64).powf(-zipf),
        };
        let sum: f64 = (0..connections).map(weight).sum();
        let mut so_far = 0.0;
        let cumulative = |index| {
            so_far += weight(index) / sum;
            so_far
        };
        Self((0..connections).map(cumulative).collect())
    }

    /// The connection that a uniform number falls to.
    fn connection(&self, unit: f64) -> u32 {
        self.0.partition_point(|share| *share < unit).min(self.0.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests;
