//! What a server does for a message beside echoing it; how much is drawn from the message itself.
//!
//! The same for every strategy, and for programs in other languages: a function of a seed and of the bytes of the message, so
//! that arms that get the same messages have the same work. Absent from here: doing it, which is [`crate::service`]'s, and
//! sleeping, which is each backend's.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::seeded::{exponential, mix_bytes, unit};

/// The shortest message that work is drawn from, in bytes: shorter ones have no room to differ from session to session.
pub const LEAST_MESSAGE_BYTES: usize = 32;

/// Work for each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// What is done.
    pub kind: WorkKind,
    /// How long on average, in nanoseconds.
    pub mean_ns: u64,
    /// How it is spread.
    #[serde(default)]
    pub distribution: Distribution,
    /// What it is drawn from, beside the message.
    #[serde(default)]
    pub seed: u64,
}

/// What is done for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// CPU time is spent by the connection's own task: parsing, rendering.
    Spin,
    /// Nothing, until a timer of the runtime's own fires: a call to a database.
    Wait,
    /// The thread sleeps, and with it all that it serves: a blocking call where none should be.
    Block,
    /// CPU time is spent where the runtime has blocking work done, and the task waits for that.
    Offload,
}

impl WorkKind {
    /// Its name, as files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Wait => "wait",
            Self::Block => "block",
            Self::Offload => "offload",
        }
    }
}

/// How the work of messages is spread around its mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// All alike.
    #[default]
    Fixed,
    /// Exponential, as service times of queueing theory are.
    Exponential,
    /// 99% are short, and 1% take fifty times as long.
    Bimodal,
}

/// How many times as long the long ones of a bimodal distribution take.
const LONG: f64 = 50.0;

/// Their share.
const LONG_SHARE: f64 = 0.01;

impl Distribution {
    /// Takes a uniform number, above 0 and up to 1, to one of this distribution with the mean 1.
    fn of_unit(self, unit: f64) -> f64 {
        let short = 1.0 / (1.0 - LONG_SHARE + LONG_SHARE * LONG);
        match self {
            Self::Fixed => 1.0,
            Self::Exponential => exponential(unit),
            Self::Bimodal if unit <= LONG_SHARE => short * LONG,
            Self::Bimodal => short,
        }
    }

    /// Its name, as files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Exponential => "exponential",
            Self::Bimodal => "bimodal",
        }
    }
}

impl Work {
    /// How much of it a message needs.
    pub fn of(self, message: &[u8]) -> Duration {
        let drawn = self.distribution.of_unit(unit(mix_bytes(self.seed, message)));
        Duration::from_nanos((self.mean_ns as f64 * drawn).round() as u64)
    }
}

impl fmt::Display for Work {
    /// Such as `spin of 25 µs, exponential`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Duration::from_nanos(self.mean_ns);
        write!(f, "{} of {time:?}, {}", self.kind.name(), self.distribution.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(distribution: Distribution) -> Work {
        Work { kind: WorkKind::Spin, mean_ns: 25_000, distribution, seed: 5 }
    }

    fn drawn(distribution: Distribution) -> Vec<f64> {
        let message = |n: u32| format!("{} - Send Message.{n:012}", n % 8);
        let of = |n| work(distribution).of(message(n).as_bytes()).as_secs_f64() * 1e6;
        (0..200_000).map(of).collect()
    }

    #[test]
    fn every_distribution_has_the_mean_that_was_asked_for() {
        for distribution in [Distribution::Fixed, Distribution::Exponential, Distribution::Bimodal] {
            let drawn = drawn(distribution);
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            assert!((mean - 25.0).abs() < 0.5, "{distribution:?}: {mean}");
        }
    }

    #[test]
    fn one_in_a_hundred_of_a_bimodal_one_takes_fifty_times_as_long() {
        let drawn = drawn(Distribution::Bimodal);
        let least = drawn.iter().copied().fold(f64::INFINITY, f64::min);
        let long = drawn.iter().filter(|it| **it > least * 2.0).count() as f64 / drawn.len() as f64;
        assert!((long - 0.01).abs() < 0.001, "{long}");
        assert!(drawn.iter().all(|it| (it - least).abs() < 0.01 || (it / least - 50.0).abs() < 0.1));
    }

    /// What other programs must draw too.
    #[test]
    fn draws_are_known() {
        let message = b"12 - Send Message.3456789.345678";
        let of = |distribution| work(distribution).of(message).as_nanos();
        let known = [Distribution::Fixed, Distribution::Exponential, Distribution::Bimodal].map(of);
        // Computed apart, in another language.
        assert_eq!(known, [25_000, 58_874, 16_779]);
    }

    #[test]
    fn the_same_message_has_the_same_work_and_another_seed_another() {
        let work = work(Distribution::Exponential);
        assert_eq!(
            work.of(b"1 - Send Message.7.7.7.7.7.7.7.7"),
            work.of(b"1 - Send Message.7.7.7.7.7.7.7.7")
        );
        assert_ne!(work.of(b"1 - Send Message.7.7"), Work { seed: 6, ..work }.of(b"1 - Send Message.7.7"));
    }
}
