//! A round at a rate that is offered: the pacer against a server.

use std::time::Duration;

use serde::Serialize;

use super::{Asked, PATIENCE, Pair, Round};
use crate::{
    agent::{Agent, Request},
    load::{Extent, Objective, Offered, OpenPlan, Part, Quantile, Workload},
    net::LinkShape,
};

/// How long replies are waited for behind the window, in milliseconds, at least and at most: up to a hundred times the response of a
/// server that keeps up. What has no reply then is later than everything.
const DRAIN_MS: (u64, u64) = (20, 100);

/// How many times an objective that is.
const DRAIN: u32 = 5;

/// How long replies are waited for behind a window, in milliseconds: what comes later has missed the objective anyway.
fn drain_ms(objectives: &[Objective]) -> u64 {
    let longest = objectives.iter().map(Objective::limit).max();
    let drain =
        longest.map_or(DRAIN_MS.1, |limit| u64::try_from((limit * DRAIN).as_millis()).unwrap_or(DRAIN_MS.1));
    // An objective of more than that is waited for itself.
    let most = longest.map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(0)) * 2;
    drain.clamp(DRAIN_MS.0, DRAIN_MS.1.max(most))
}

/// The share of an objective that the pacer may be late by.
const LATE: f64 = 0.02;

/// What the pacer may be late by where nothing is to be reached.
const LATE_WITHOUT_OBJECTIVE: Duration = Duration::from_micros(100);

/// What is offered in a round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Offer {
    /// Messages per second.
    pub rate: f64,
    /// What its plan is drawn from: the same for all arms of a block.
    pub seed: u64,
    /// What counts, in milliseconds.
    pub window_ms: u64,
    /// How long replies are waited for after that, in milliseconds.
    pub drain_ms: u64,
    /// By how much the pacer may be late, p99: beyond, the round says nothing of the server.
    pub lateness_limit: Duration,
}

/// The longest window of a round at a rate, in milliseconds.
const LONGEST_WINDOW_MS: u64 = 2000;

/// How many times as many messages as a quantile needs a window has.
const ENOUGH: u64 = 2;

/// How long the window of a round at a rate is, in milliseconds: the workload's, or as long as it takes for enough messages to say
/// something of the strictest quantile of some objectives, p99 without any; `None` where that would be too long.
///
/// No longer, for the machine stands still now and then, and more short rounds see through that where fewer long ones don't.
pub fn paced_window_ms(rate: f64, objectives: &[Objective], workload_ms: u64) -> Option<u64> {
    let needed = (messages_needed(objectives) as f64 / rate * 1e3).ceil() as u64;
    let window = workload_ms.max(needed);
    (window <= LONGEST_WINDOW_MS.max(workload_ms)).then_some(window)
}

/// The lowest rate that such a window can measure, in messages per second.
pub fn lowest_paced_rate(objectives: &[Objective], workload_ms: u64) -> f64 {
    (messages_needed(objectives) as f64 / LONGEST_WINDOW_MS.max(workload_ms) as f64 * 1e3).ceil()
}

/// The strictest quantile of some objectives, p99 without any.
pub fn strictest(objectives: &[Objective]) -> Quantile {
    let quantiles = objectives.iter().map(Objective::quantile);
    quantiles.max_by_key(|it| it.messages_needed()).unwrap_or(Quantile::P99)
}

/// How many messages a window has for the strictest quantile of some objectives.
pub fn messages_needed(objectives: &[Objective]) -> u64 {
    ENOUGH * strictest(objectives).messages_needed()
}

/// How long a reply may be under way over a link: some round trips, and where segments are dropped until a last one was sent again,
/// twice, after 0.2 and 0.4 s (RFC 6298, and TCP_RTO_MIN of Linux).
fn over_link(link: &LinkShape) -> Duration {
    let again = if link.drops() { Duration::from_millis(600) } else { Duration::ZERO };
    Duration::from_millis(1) + 4 * link.round_trip() + again
}

/// By how much the pacer may be late where a response time of so much is the objective.
fn lateness_limit(objective: Option<Duration>) -> Duration {
    objective.map_or(LATE_WITHOUT_OBJECTIVE, |objective| objective.mul_f64(LATE))
}

impl Offer {
    /// Offers a rate for a window of so many milliseconds, under some objectives.
    pub fn new(rate: f64, seed: u64, window_ms: u64, objectives: &[Objective]) -> Self {
        let lateness_limit = lateness_limit(objectives.iter().map(Objective::limit).min());
        Self { rate, seed, window_ms, drain_ms: drain_ms(objectives), lateness_limit }
    }
}

impl Pair {
    /// Measures one round of a workload at a rate. The client is the pacer; several share one plan. Opening and
    /// closing these is no part of it.
    ///
    /// # Errors
    /// When an agent fails, dies or hangs, or a reply was wrong by one byte.
    pub fn paced(&mut self, workload: &Workload, offer: Offer) -> anyhow::Result<Round> {
        self.hold_idle(workload.idle)?;
        // What is under way when the window closes has the time to come back.
        let longer = self.network.link().map_or(Duration::ZERO, |link| over_link(&link.asked));
        let offer = Offer { drain_ms: offer.drain_ms + longer.as_millis() as u64, ..offer };
        self.connect(workload, offer)?;
        let Workload { connections, messages, ramp_ms, .. } = *workload;
        let Offer { window_ms, drain_ms, .. } = offer;
        let extent = Extent::Timed { ramp_ms, window_ms };
        let asked = Asked { connections, messages, extent, offer: Some(offer) };
        let patience = PATIENCE + Duration::from_millis(ramp_ms + window_ms + drain_ms);
        // Asked for what it served, a server does not wait for connections to end: they are held.
        let round = self.measure(asked, patience, &Request::Served, |pair| {
            pair.driving().try_for_each(|client| client.send(&Request::Pace))
        });
        self.driving().try_for_each(|client| client.ask(&Request::Release, PATIENCE).map(drop))?;
        round
    }

    /// Lets all clients open their connections, each with its share of the load.
    fn connect(&mut self, workload: &Workload, offer: Offer) -> anyhow::Result<()> {
        let Some(Offered { process, .. }) = workload.arrivals else {
            anyhow::bail!("{} has no arrivals, and is no load at a rate", workload.name)
        };
        let machines = self.clients.len().min(workload.connections);
        self.driving = machines;
        let (destinations, spins) = (self.destinations.clone(), self.placement.is_apart());
        for (index, client) in self.driving().enumerate() {
            let plan = OpenPlan {
                destinations: destinations.clone(),
                connections: workload.connections,
                part: Part { index, of: machines },
                shape: workload.shape(),
                process,
                rate: offer.rate,
                skew: workload.skew,
                seed: offer.seed,
                ramp_ms: workload.ramp_ms,
                window_ms: offer.window_ms,
                drain_ms: offer.drain_ms,
                spins,
            };
            client.ask(&Request::Connect { plan }, PATIENCE)?;
        }
        Ok(())
    }

    /// The clients that take part in a load.
    fn driving(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.clients[..self.driving].iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objectives(texts: &[&str]) -> Vec<Objective> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_window_has_twice_as_many_messages_as_the_strictest_quantile_needs() {
        let window = |rate, texts: &[&str]| paced_window_ms(rate, &objectives(texts), 60);
        assert_eq!(window(20_000.0, &["p99 < 2ms"]), Some(60));
        assert_eq!(window(2_000.0, &["p99 < 2ms"]), Some(459));
        assert_eq!(window(20_000.0, &["p99.9 < 9ms", "p50 < 1ms"]), Some(461));
        assert_eq!(window(400.0, &["p99 < 2ms"]), None, "two seconds are the most");
        for longest in 2000..4000 {
            let lowest = lowest_paced_rate(&objectives(&["p99 < 2ms"]), longest);
            assert!(paced_window_ms(lowest, &objectives(&["p99 < 2ms"]), longest).is_some(), "{longest}");
        }
        assert_eq!(lowest_paced_rate(&objectives(&["p99 < 2ms"]), 60), 459.0);
        assert_eq!((window(459.0, &["p99 < 2ms"]), window(458.0, &["p99 < 2ms"])), (Some(2000), None));
        assert_eq!(paced_window_ms(400.0, &[], 2500), Some(2500), "unless the workload has more");
    }

    #[test]
    fn over_a_link_a_last_reply_has_the_time_to_be_sent_again() {
        let longer = |link: &str| over_link(&link.parse().unwrap());
        assert_eq!(longer("metro"), Duration::from_millis(21), "four round trips, and one for rounding");
        assert_eq!(longer("wan"), Duration::from_millis(921));
        assert!(longer("lan") >= Duration::from_millis(1));
    }

    #[test]
    fn what_is_waited_for_and_borne_hangs_on_the_objective() {
        let of = |texts: &[&str]| Offer::new(20_000.0, 1, 60, &objectives(texts));
        assert_eq!(
            [&["p99 < 2ms"], &["p99 < 15ms"], &["p99 < 1s"]].map(|it| of(it).drain_ms),
            [20, 75, 2000]
        );
        assert_eq!(of(&[]).drain_ms, 100);
        assert_eq!(of(&["p99 < 2ms", "p50 < 1ms"]).lateness_limit, Duration::from_micros(20));
        assert_eq!(of(&[]).lateness_limit, Duration::from_micros(100));
    }
}
