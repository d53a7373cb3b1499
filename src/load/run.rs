//! What came of a load.

use serde::{Deserialize, Serialize};

use super::LatencyHistogram;
use crate::net::PortLimit;

/// What came of a load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadRun {
    /// Whole sessions completed within the window.
    pub sessions: u64,
    /// Replies verified within the window.
    pub messages: u64,
    /// Replies verified in all, ramp and tail included: what CPU time is divided by.
    pub messages_in_all: u64,
    /// The length of the window, in seconds.
    pub window_s: f64,
    /// From the first session's begin to the last one's end, ramp and tail included, in seconds.
    pub elapsed_s: f64,
    /// From asking for a connection to having it.
    pub connect: LatencyHistogram,
    /// From the moment that a message could be sent to the last byte of its reply.
    pub round_trip: LatencyHistogram,
    /// From asking for a connection to the last byte of the last reply.
    pub session: LatencyHistogram,
    /// From the last byte of the last reply to having closed the connection.
    #[serde(default)]
    pub close: LatencyHistogram,
    /// How long what had begun and not ended when the window closed, or a load of slices was over, was under way by then:
    /// connects and messages.
    #[serde(default)]
    pub unfinished: LatencyHistogram,
    /// Sessions that ended before their time.
    pub failures: u64,
    /// Why the first of them did.
    pub first_failure: Option<String>,
    /// What the client's port table allows towards these destinations.
    pub port_limit: PortLimit,
    /// What only a load at a rate has. There a round trip is the time of service: from when a message was sent, which is after
    /// the reply to the one before it on its connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Box<OpenRun>>,
}

/// What only a load at a rate has; of the messages that were to be sent within the window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRun {
    /// How many those are.
    pub planned: u64,
    /// From when a message was to be sent to the last byte of its reply.
    pub response: LatencyHistogram,
    /// By how much the pacer sent a message later than it could have: after its time, and after the reply to the one before.
    pub lateness: LatencyHistogram,
    /// The lateness of those that came due while the pacer itself stood still: the machine had taken its processor. They are
    /// neither among the others nor among the responses and the times of service.
    pub stalled: LatencyHistogram,
    /// Messages that were not answered by the end of the time to drain.
    pub unfinished: u64,
    /// For how long the pacer stood still within the window, in nanoseconds; a pacer that sleeps does not notice.
    pub stood_still_ns: u64,
}

impl OpenRun {
    /// The response time that this share of all messages do not exceed, in seconds; infinite where that is one without a reply,
    /// which is later than everything.
    pub fn response_s(&self, share: f64) -> f64 {
        self.response.quantile_with_missing(share, self.unfinished)
    }

    /// Takes in what another machine measured at the same time.
    pub fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.response.merge(&other.response);
        self.lateness.merge(&other.lateness);
        self.stalled.merge(&other.stalled);
        self.unfinished += other.unfinished;
        self.stood_still_ns = self.stood_still_ns.max(other.stood_still_ns);
    }
}

impl LoadRun {
    /// Sessions completed per second.
    pub fn sessions_per_second(&self) -> f64 {
        per_second(self.sessions, self.window_s)
    }

    /// Replies verified per second.
    pub fn messages_per_second(&self) -> f64 {
        per_second(self.messages, self.window_s)
    }

    /// Takes in what another machine measured at the same time.
    pub fn merge(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.messages += other.messages;
        self.messages_in_all += other.messages_in_all;
        self.window_s = self.window_s.max(other.window_s);
        self.elapsed_s = self.elapsed_s.max(other.elapsed_s);
        self.connect.merge(&other.connect);
        self.round_trip.merge(&other.round_trip);
        self.session.merge(&other.session);
        self.close.merge(&other.close);
        self.unfinished.merge(&other.unfinished);
        self.failures += other.failures;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        if let (Some(open), Some(theirs)) = (&mut self.open, &other.open) {
            open.merge(theirs);
        }
        // Each machine has ports of its own.
        self.port_limit.destinations += other.port_limit.destinations;
    }

    /// By which share rate × time departs from the number of connections, which Little's law says they must equal
    /// (J. D. C. Little, Operations Research 9(3), 1961): the time of a message is its round trip, and its share of the
    /// connect and the close of its session of so many messages. A connection is never without one of the three.
    pub fn little_departure(&self, connections: usize, messages: u32) -> f64 {
        let around = self.connect.mean_s() + self.close.mean_s();
        let message_s = self.round_trip.mean_s() + around / f64::from(messages.max(1));
        self.messages_per_second() * message_s / connections as f64 - 1.0
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
