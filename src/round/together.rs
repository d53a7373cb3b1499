//! Several clients that begin at one instant, though the clock of each machine is its own.
//!
//! Each is asked for its clock some times. The quickest exchange says by how much it differs from the one here, within half of the
//! time that it took (D. L. Mills, RFC 5905, section 8). All are then told the same instant, each in its own time.

use std::time::Duration;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::{PATIENCE, Pair};
use crate::{
    agent::{Agent, Answer, Request},
    clock::{self, monotonic, nanoseconds},
    contestant, pacer,
};

/// How often each clock is asked for.
const EXCHANGES: usize = 8;

/// How far ahead the instant is, beside the time that telling it takes: the server is asked some things before, and a message to a client
/// may be late. One that comes after the instant shows in how far apart they began.
const AHEAD: Duration = Duration::from_millis(20);

/// The version of requests from which on an agent can be told when to begin.
const SPEAKS: u32 = 3;

/// How far apart the clients of a round began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BegunApart {
    /// From the first to the last, in microseconds.
    pub us: f64,
    /// How well that is known, in microseconds: by how much two clocks may differ beyond what was found out.
    pub within_us: f64,
}

/// A clock as it stands to the one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockOffset {
    /// What it says when the one here says 0, in nanoseconds.
    ahead_ns: i128,
    /// How long the exchange took that told this, in nanoseconds.
    took_ns: u64,
}

impl ClockOffset {
    /// That of the clock here.
    const NONE: Self = Self { ahead_ns: 0, took_ns: 0 };

    /// What it says of an exchange that was begun and over at these times here, and answered at that time there.
    fn of(begun_ns: u64, there_ns: u64, over_ns: u64) -> Self {
        let took_ns = over_ns.saturating_sub(begun_ns);
        Self { ahead_ns: i128::from(there_ns) - i128::from(begun_ns) - i128::from(took_ns / 2), took_ns }
    }

    /// A time here, as it is there.
    fn there(self, here_ns: u64) -> u64 {
        (i128::from(here_ns) + self.ahead_ns).try_into().unwrap_or(0)
    }

    /// A time there, as it is here, in nanoseconds.
    fn here(self, there_ns: u64) -> i128 {
        i128::from(there_ns) - self.ahead_ns
    }
}

/// How far apart some began, by their own clocks.
fn begun_apart(clocks: &[ClockOffset], began_ns: &[u64]) -> Option<BegunApart> {
    let here = clocks.iter().zip(began_ns).map(|(clock, began)| clock.here(*began));
    let (first, last) = (here.clone().min()?, here.max()?);
    let mut took: Vec<u64> = clocks.iter().map(|clock| clock.took_ns).collect();
    took.sort_unstable();
    // Each clock is known to half of what its exchange took, and two are compared.
    let within_ns: u64 = took.iter().rev().take(2).map(|took| took / 2).sum();
    Some(BegunApart { us: (last - first) as f64 / 1e3, within_us: within_ns as f64 / 1e3 })
}

fn now_ns() -> nix::Result<u64> {
    monotonic().map(nanoseconds)
}

impl Pair {
    /// Tells so many clients to begin at one instant, if there are several and they can be told; returns their clocks.
    pub(super) fn agree_on_begin(&mut self, clients: usize) -> anyhow::Result<Vec<ClockOffset>> {
        let speaks = match self.plan.client.as_str() {
            pacer::NAME => SPEAKS,
            name => contestant::find(name)?.speaks(),
        };
        if clients < 2 || speaks < SPEAKS {
            return Ok(Vec::new());
        }
        let clients = &mut self.clients[..clients];
        let clocks = clients.iter_mut().map(read_clock).collect::<anyhow::Result<Vec<ClockOffset>>>()?;
        let telling: u64 = clocks.iter().map(|clock| clock.took_ns).sum();
        let ahead_ns = nanoseconds(AHEAD);
        let instant = now_ns()? + ahead_ns + 4 * telling;
        for (client, clock) in clients.iter_mut().zip(&clocks) {
            client.ask(&Request::BeginAt { at_ns: clock.there(instant) }, PATIENCE)?;
        }
        Ok(clocks)
    }

    /// How far apart the clients with these clocks began.
    pub(super) fn begun_apart(&mut self, clocks: &[ClockOffset]) -> anyhow::Result<Option<BegunApart>> {
        let mut began = Vec::new();
        for client in &mut self.clients[..clocks.len()] {
            match client.ask(&Request::Clock, PATIENCE)?.answer {
                Answer::Clock { began_ns: Some(began_ns), .. } => began.push(began_ns),
                other => bail!("client {}: asked when it began, it answered {other:?}", self.plan.client),
            }
        }
        Ok(begun_apart(clocks, &began))
    }
}

/// How the clock of a client stands to the one here; on the same machine it is the same one.
fn read_clock(client: &mut Agent) -> anyhow::Result<ClockOffset> {
    let own = clock::which();
    let mut best: Option<ClockOffset> = None;
    for _ in 0..EXCHANGES {
        let begun = now_ns()?;
        let answer = client.ask(&Request::Clock, PATIENCE)?.answer;
        let over = now_ns()?;
        let Answer::Clock { now_ns: there, which, .. } = answer else { bail!("it does not tell its clock") };
        // Machines that were started from one image may say the same, and differ in what their clocks say.
        if which.is_some() && which == own && (begun..=over).contains(&there) {
            return Ok(ClockOffset::NONE);
        }
        let offset = ClockOffset::of(begun, there, over);
        best = best.filter(|best| best.took_ns <= offset.took_ns).or(Some(offset));
    }
    best.ok_or_else(|| anyhow::anyhow!("no clock was asked for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_known_to_half_of_what_its_exchange_took() {
        // It is 1,000,000 ahead; the answer was given 30 after the begin of an exchange of 100.
        let clock = ClockOffset::of(500, 500 + 30 + 1_000_000, 600);
        let error = clock.ahead_ns - 1_000_000;
        assert!(error.unsigned_abs() <= 50, "{error}");
        assert_eq!(clock.here(clock.there(12_345)), 12_345);
        let behind = ClockOffset::of(1_000_000, 40, 1_000_010);
        assert_eq!(behind.there(1_000_005), 40);
        assert_eq!(behind.there(0), 0, "there was no such time there");
    }

    #[test]
    fn how_far_apart_is_told_by_the_clock_here() {
        let clocks =
            [ClockOffset { ahead_ns: 1000, took_ns: 40 }, ClockOffset { ahead_ns: -500, took_ns: 100 }];
        let apart = begun_apart(&clocks, &[3000, 1700]).unwrap();
        assert_eq!(apart, BegunApart { us: 0.2, within_us: 0.07 });
        assert_eq!(begun_apart(&[], &[]), None);
    }
}
