//! What a link is like that a load goes over: its delay, how much that varies, what it loses, what it carries.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF as _};

use crate::written::short_duration;

/// The named ones, with what each is like.
const NAMED: [(&str, &str); 5] = [
    ("plain", ""),
    ("lan", "delay 200us"),
    ("metro", "delay 5ms"),
    ("wan", "delay 80ms loss 0.1%"),
    ("mobile", "delay 60ms jitter 15ms loss 1% rate 20mbit"),
];

/// The slowest and the fastest link, in bits per second.
const RATES: (f64, f64) = (1e5, 1e12);

/// The rate of a link that has jitter and no other, in bits per second: with one, netem keeps packets in order.
const RATE_WITH_JITTER: f64 = 1e10;

/// The most that may be lost: beyond, most sessions end by a timeout.
const MOST_LOST: f64 = 0.2;

/// The length of a short message on the wire with all its headers, in bytes: the more fit into a rate, the longer a queue must be.
const SHORTEST_PACKET_BYTES: f64 = 66.0;

/// The packets that a queue holds where no rate says how many come.
const MANY_PACKETS: f64 = 1e6;

/// How far a measured round trip may be from what was asked for: a share of it, or this much.
const TOLERANCE: (f64, Duration) = (0.05, Duration::from_micros(50));

/// The probability of so few losses, and of so many, below which a link is refused.
const LEAST_PROBABILITY: f64 = 0.0005;

/// The length of a datagram that measures a link, on the wire with its headers, in bytes.
pub(super) const DATAGRAM_ON_THE_WIRE: f64 = 58.0;

/// What a link is like. Written as in `delay 5ms jitter 1ms loss 0.1% rate 1gbit`, each at most once, or by a name: `lan`.
///
/// Records have its figures, and no name: what a name stands for may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkShape {
    /// From a message to its answer, when both ends take no time: half of it in each direction.
    #[serde(rename = "delay_ns", with = "nanoseconds")]
    pub delay: Duration,
    /// How far a round trip lies from that at most. Packets stay in order: one that follows another closely is as late as that one, so
    /// that the more packets there are, the nearer to the longest all are.
    #[serde(rename = "jitter_ns", with = "nanoseconds")]
    pub jitter: Duration,
    /// Which share of the packets is lost in each direction, from 0 to 0.2.
    pub loss: f64,
    /// How much it carries in each direction, in bits per second; as much as the machine can when `None`.
    #[serde(rename = "rate_bits_per_second")]
    pub rate: Option<f64>,
}

impl FromStr for LinkShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, shape)) = NAMED.iter().find(|(name, _)| *name == text.trim()) {
            return Self::read(shape);
        }
        if text.trim().is_empty() || !text.trim().contains(' ') {
            let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "{text:?} is not a link; write one like 'delay 5ms loss 0.1% rate 1gbit', or name one: {}",
                names.join(", ")
            ));
        }
        Self::read(text)
    }
}

impl LinkShape {
    fn read(text: &str) -> Result<Self, String> {
        let mut shape = Self::default();
        let mut words = text.split_whitespace();
        let mut seen = Vec::new();
        while let Some(key) = words.next() {
            let value = words.next().ok_or_else(|| format!("{key} of a link needs a value"))?;
            if seen.contains(&key) {
                return Err(format!("{key} of a link stands there twice"));
            }
            seen.push(key);
            match key {
                "delay" => shape.delay = short_duration(value)?,
                "jitter" => shape.jitter = short_duration(value)?,
                "loss" => shape.loss = share(value)?,
                "rate" => shape.rate = Some(bits_per_second(value)?),
                _ => {
                    return Err(format!("{key:?} is nothing of a link; it has delay, jitter, loss and rate"));
                }
            }
        }
        if shape.jitter > shape.delay {
            return Err(format!(
                "a jitter of {:?} is more than the delay of {:?}",
                shape.jitter, shape.delay
            ));
        }
        Ok(shape)
    }

    /// Whether packets are lost by chance.
    pub fn loses(&self) -> bool {
        self.loss > 0.0
    }

    /// Whether segments may have to be sent again: lost by chance, or because the queue before a rate is full.
    pub fn drops(&self) -> bool {
        self.loses() || self.rate.is_some()
    }

    /// How long a packet and its answer are under way at most, beside what the ends take and what waits before a rate.
    pub fn round_trip(&self) -> Duration {
        self.delay + self.jitter
    }

    /// How long the datagrams of [`probe`](super::probe) are to be under way: a rate has its share.
    fn datagram_round_trip(&self) -> Duration {
        let sent = self.rate.map_or(0.0, |rate| 2.0 * 8.0 * DATAGRAM_ON_THE_WIRE / rate);
        self.delay + Duration::from_secs_f64(sent)
    }

    /// Whether nothing is added to what joins the two ends.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// What netem is told of one direction, in the words of `tc` (tc-netem(8)).
    ///
    /// With a rate packets leave in their order, whatever the jitter: each is sent no earlier than the one before it (sch_netem.c,
    /// netem_enqueue). So a link that varies always has one.
    pub fn netem_words(&self) -> Vec<String> {
        let half = |time: Duration| format!("{}us", time.as_micros() / 2);
        let mut words: Vec<String> = vec!["limit".into(), format!("{:.0}", self.queue_packets())];
        words.extend(["delay".into(), half(self.delay)]);
        if !self.jitter.is_zero() {
            words.push(half(self.jitter));
        }
        if self.loses() {
            words.extend(["loss".into(), format!("{}%", self.loss * 100.0)]);
        }
        let rate = self.rate.or((!self.jitter.is_zero()).then_some(RATE_WITH_JITTER));
        words.extend(rate.into_iter().flat_map(|rate| ["rate".into(), format!("{rate:.0}bit")]));
        words
    }

    /// The packets that a direction holds: twice those that are under way at once. Fewer would drop silently what was not to be lost.
    fn queue_packets(&self) -> f64 {
        let under_way = self.round_trip().as_secs_f64() / 2.0;
        let packets = |rate: f64| (2.0 * rate / 8.0 / SHORTEST_PACKET_BYTES * under_way).max(1000.0);
        self.rate.map_or(MANY_PACKETS, packets).min(MANY_PACKETS).ceil()
    }
}

impl fmt::Display for LinkShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMED.iter().find(|(_, shape)| Self::read(shape).as_ref() == Ok(self)) {
            return f.write_str(name);
        }
        let mut told = Vec::new();
        let time = |time: Duration| format!("{}us", time.as_micros());
        if !self.delay.is_zero() {
            told.push(format!("delay {}", time(self.delay)));
        }
        if !self.jitter.is_zero() {
            told.push(format!("jitter {}", time(self.jitter)));
        }
        if self.loses() {
            told.push(format!("loss {}%", self.loss * 100.0));
        }
        told.extend(self.rate.map(|rate| format!("rate {rate}bit")));
        f.write_str(&told.join(" "))
    }
}

mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

fn share(text: &str) -> Result<f64, String> {
    let read = text.strip_suffix('%').and_then(|number| number.parse().ok()).map(|it: f64| it / 100.0);
    read.filter(|share| (0.0..=MOST_LOST).contains(share))
        .ok_or_else(|| format!("{text:?} is not a loss; write it like 0.1%, up to {}%", MOST_LOST * 100.0))
}

/// Reads a rate as `tc` does: bits per second, in powers of ten.
fn bits_per_second(text: &str) -> Result<f64, String> {
    let bad = || {
        format!("{text:?} is not the rate of a link; write it like 20mbit or 1gbit, from 100kbit to 1tbit")
    };
    let units = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9), ("tbit", 1e12), ("bit", 1.0)];
    let (number, unit) = units
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, factor)))
        .ok_or_else(bad)?;
    let rate = number.parse::<f64>().map_err(|_| bad())? * unit;
    if rate >= RATES.0 && rate <= RATES.1 { Ok(rate) } else { Err(bad()) }
}

/// What was measured of a link before it was used, with small datagrams there and back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkMeasured {
    /// The median round trip, in microseconds.
    pub round_trip_us: f64,
    /// Datagrams that were sent.
    pub sent: u64,
    /// Those that did not come back.
    pub lost: u64,
}

impl LinkMeasured {
    /// Measures a link, and again if it is not as it was asked for: the machine may have stood still.
    ///
    /// # Errors
    /// When it fails, or the link is not as it was asked for.
    pub fn of(asked: &LinkShape, mut measure: impl FnMut() -> anyhow::Result<Self>) -> anyhow::Result<Self> {
        let mut measured = measure()?;
        if measured.check(asked).is_err() {
            measured = measure()?;
        }
        measured.check(asked).map_err(anyhow::Error::msg).context("the link does not behave as asked")?;
        Ok(measured)
    }

    /// Whether a link is as it was asked for.
    ///
    /// # Errors
    /// By what it is not.
    pub fn check(&self, asked: &LinkShape) -> Result<(), String> {
        let asked_us = asked.datagram_round_trip().as_secs_f64() * 1e6;
        let most_off = (asked_us * TOLERANCE.0).max(TOLERANCE.1.as_secs_f64() * 1e6);
        // Nothing is asked of one that only joins two ends, but that it does.
        if !asked.is_plain() && (self.round_trip_us - asked_us).abs() > most_off {
            return Err(format!(
                "its round trip is {:.0} µs, and {asked_us:.0} were asked for, {most_off:.0} more or less",
                self.round_trip_us
            ));
        }
        let either_way = 1.0 - (1.0 - asked.loss).powi(2);
        let of_them = Binomial::new(either_way, self.sent).map_err(|error| error.to_string())?;
        let fewer = self.lost.checked_sub(1).map_or(0.0, |fewer| of_them.cdf(fewer));
        if of_them.cdf(self.lost) < LEAST_PROBABILITY || 1.0 - fewer < LEAST_PROBABILITY {
            return Err(format!(
                "it lost {} of {} datagrams there and back, and {:.1} were to be expected",
                self.lost,
                self.sent,
                either_way * self.sent as f64
            ));
        }
        Ok(())
    }
}

impl fmt::Display for LinkMeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round_trip_us, sent, lost } = self;
        write!(f, "round trip {round_trip_us:.0} µs, {lost} of {sent} datagrams lost there and back")
    }
}

/// A link as it was asked for, and as it was before the first round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedLink {
    /// What it was to be like.
    pub asked: LinkShape,
    /// What it was like.
    pub measured: LinkMeasured,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> LinkShape {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_of_a_link_is_read_again() {
        for text in [
            "lan",
            "metro",
            "wan",
            "mobile",
            "plain",
            "delay 7ms loss 0.25%",
            "rate 20mbit jitter 1ms delay 5ms",
        ] {
            let read = link(text);
            assert_eq!(link(&read.to_string()), read, "{text}: {read}");
            assert_eq!(
                serde_json::from_str::<LinkShape>(&serde_json::to_string(&read).unwrap()).unwrap(),
                read
            );
        }
        assert_eq!(link("delay 80ms loss 0.1%").to_string(), "wan");
        assert_eq!(link("delay 7ms rate 1gbit").to_string(), "delay 7000us rate 1000000000bit");
    }

    #[test]
    fn what_is_no_link_is_refused_with_what_is_allowed() {
        for (text, says) in [
            ("fast", "or name one: plain, lan, metro, wan, mobile"),
            ("", "is not a link"),
            ("delay 5ms loss", "loss of a link needs a value"),
            ("delay 5ms delay 6ms", "delay of a link stands there twice"),
            ("delay 5 ms", "is not a duration"),
            ("loss 30%", "up to 20%"),
            ("loss 0.1", "write it like 0.1%"),
            ("rate 5", "write it like 20mbit"),
            ("rate 1bit", "from 100kbit"),
            ("speed 5ms", "it has delay, jitter, loss and rate"),
            ("delay 1ms jitter 2ms", "more than the delay"),
        ] {
            let told = text.parse::<LinkShape>().unwrap_err();
            assert!(told.contains(says), "{text}: {told}");
        }
    }

    #[test]
    fn each_direction_has_half_of_the_delay_and_a_queue_for_twice_what_is_under_way() {
        assert_eq!(link("wan").netem_words().join(" "), "limit 1000000 delay 40000us loss 0.1%");
        assert_eq!(
            link("mobile").netem_words().join(" "),
            "limit 2841 delay 30000us 7500us loss 1% rate 20000000bit"
        );
        assert_eq!(link("delay 1ms rate 10mbit").netem_words()[1], "1000");
        assert!(link("delay 5ms jitter 1ms").netem_words().join(" ").ends_with("rate 10000000000bit"));
    }

    #[test]
    fn a_link_that_is_not_as_asked_is_refused() {
        let measured = |round_trip_us, lost| LinkMeasured { round_trip_us, sent: 20_000, lost };
        let wan = link("wan");
        // Some forty of twenty thousand are lost there or back.
        assert_eq!(measured(80_100.0, 40).check(&wan), Ok(()));
        assert_eq!(measured(80_100.0, 25).check(&wan), Ok(()));
        assert!(measured(80_100.0, 10).check(&wan).unwrap_err().contains("40.0 were to be expected"));
        assert!(measured(80_100.0, 70).check(&wan).is_err());
        assert!(measured(85_000.0, 40).check(&wan).unwrap_err().contains("80000 were asked for, 4000 more"));
        assert!(
            measured(249.0, 0).check(&link("lan")).is_ok() && measured(251.0, 0).check(&link("lan")).is_err()
        );
        assert!(measured(220.0, 1).check(&link("lan")).is_err(), "where nothing is to be lost nothing is");
        assert!(measured(30.0, 0).check(&link("plain")).is_ok());
        // 58 bytes take 464 µs at 1 Mbit/s, each way.
        let slow = link("delay 1ms rate 1mbit");
        assert!(measured(1930.0, 0).check(&slow).is_ok() && measured(1000.0, 0).check(&slow).is_err());
    }
}
