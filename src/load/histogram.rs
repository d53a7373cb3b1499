//! Durations, counted in nanoseconds to three significant digits, in memory that does not grow.

use std::{io::Read as _, time::Duration};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::ZlibDecoder;
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer as _, V2DeflateSerializer},
};
use serde::{Deserialize, Serialize, de::Error as _};

/// The longest duration told apart, in nanoseconds; longer ones count as this. No measurement lasts that long.
const LONGEST_NS: u64 = 120_000_000_000;

/// Significant digits: a bucket is at most 0.1% wide, a tenth of the smallest difference worth a verdict.
const DIGITS: u8 = 3;

/// A histogram of durations.
///
/// In JSON it is the base64 text of HdrHistogram's compressed V2 encoding, which the tools of that project read.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyHistogram(Histogram<u64>);

impl LatencyHistogram {
    /// Makes an empty histogram; all its memory is taken now.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS);
        Self(histogram.expect("the bounds are constants that the crate allows"))
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(LONGEST_NS));
    }

    /// Adds all counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms here have the same bounds");
    }

    /// What was counted since another was taken of it.
    pub fn without(&self, before: &Self) -> Self {
        let mut since = self.clone();
        match since.0.subtract(&before.0) {
            Ok(()) => since,
            // Nothing was taken away from it, so this one is another histogram.
            Err(_) => self.clone(),
        }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The mean, in seconds.
    pub fn mean_s(&self) -> f64 {
        self.0.mean() / 1e9
    }

    /// The longest, in seconds; 0 when nothing was counted.
    pub fn max_s(&self) -> f64 {
        self.0.max() as f64 / 1e9
    }

    /// The duration that this share (0 to 1) of all do not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The duration that this share (0 to 1) of all do not exceed, in seconds, where so many more are missing that are longer than
    /// every other; infinite where it is one of these.
    pub fn quantile_with_missing(&self, share: f64, missing: u64) -> f64 {
        let (count, all) = (self.count(), self.count().saturating_add(missing));
        // What rounding adds to a whole rank does not make it the next.
        let rank = (share * all as f64 - 1e-6).ceil() as u64;
        if rank > count {
            return f64::INFINITY;
        }
        if count == 0 {
            return 0.0;
        }
        // In the middle of a rank, so that no rounding takes it for the next.
        self.quantile((rank.max(1) as f64 - 0.5) / count as f64).as_secs_f64()
    }

    /// The figures that tables show.
    pub fn summary(&self) -> Summary {
        let us = |share| self.quantile(share).as_nanos() as f64 / 1e3;
        Summary {
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            max: self.0.max() as f64 / 1e3,
            mean: self.0.mean() / 1e3,
        }
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The figures of a distribution, each in microseconds; all 0 when nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Half do not exceed it.
    pub p50: f64,
    /// 90% do not exceed it.
    pub p90: f64,
    /// 99% do not exceed it.
    pub p99: f64,
    /// 99.9% do not exceed it.
    pub p999: f64,
    /// None exceeds it.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
}

impl LatencyHistogram {
    /// Writes it as the base64 text of HdrHistogram's compressed V2 encoding.
    pub fn encoded(&self) -> String {
        let mut encoded = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.0, &mut encoded);
        written.expect("a vector takes any write, and the counts of all these histograms fit");
        STANDARD.encode(encoded)
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(text: &str) -> anyhow::Result<Self> {
        let plain = inflated(&STANDARD.decode(text)?)?;
        let decoded = Deserializer::new().deserialize(&mut plain.as_slice()).map_err(anyhow::Error::msg)?;
        let bounds = |histogram: &Histogram<u64>| (histogram.low(), histogram.high(), histogram.sigfig());
        if bounds(&decoded) == (1, LONGEST_NS, DIGITS) {
            return Ok(Self(decoded));
        }
        // Of other bounds, as another program would write it: what fits is taken over.
        let mut histogram = Self::new();
        histogram.0.add::<&Histogram<u64>>(&decoded).map_err(anyhow::Error::msg)?;
        Ok(histogram)
    }
}

/// The most that an encoding has to inflate to, in bytes: nine for each of the counts of these bounds, four times over.
const MOST_INFLATED: u64 = 1 << 20;

/// How a histogram of version 2 begins, with counts of one byte and more, and with compression (HdrHistogram's V2 encoding).
const PLAIN: u32 = 0x1c84_9303 | 0x10;
const COMPRESSED: u32 = 0x1c84_9304 | 0x10;

/// Takes the compression from an encoding, if it has one, and holds the length that it tells against the one that it has: its decoder
/// makes room for whatever length it reads.
fn inflated(encoded: &[u8]) -> anyhow::Result<Vec<u8>> {
    // What follows a cookie of four bytes and a length of four.
    const CONTENT: usize = 8;
    // Those, and 32 bytes of bounds.
    const BEFORE_COUNTS: usize = 40;
    let begins = |bytes: &[u8], cookie: u32| bytes.starts_with(&cookie.to_be_bytes());
    let plain = if begins(encoded, COMPRESSED) {
        let compressed = encoded.get(CONTENT..).context("it is shorter than its header")?;
        let mut plain = Vec::new();
        ZlibDecoder::new(compressed).take(MOST_INFLATED + 1).read_to_end(&mut plain)?;
        plain
    } else {
        encoded.to_vec()
    };
    ensure!(plain.len() as u64 <= MOST_INFLATED, "it is longer than {MOST_INFLATED} bytes");
    ensure!(begins(&plain, PLAIN), "it is not a histogram of format 2");
    let length = plain.get(4..CONTENT).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let counts = plain.len().checked_sub(BEFORE_COUNTS);
    ensure!(length.is_some_and(|length| Some(length as usize) == counts), "its length is not what it says");
    Ok(plain)
}

impl Serialize for LatencyHistogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.encoded())
    }
}

impl<'de> Deserialize<'de> for LatencyHistogram {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::decode(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};
    use hdrhistogram::serialization::V2Serializer;

    use super::*;

    fn of(micros: &[u64]) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        micros.iter().for_each(|&us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    #[test]
    fn percentiles_come_from_merged_counts() {
        let mut merged = of(&[10, 10, 10]);
        merged.merge(&of(&[1000]));
        let summary = merged.summary();
        assert_eq!(merged.count(), 4);
        assert!((summary.p50 / 10.0 - 1.0).abs() < 1e-3, "{summary:?}");
        assert!((summary.p99 / 1000.0 - 1.0).abs() < 1e-3, "{summary:?}");
        assert!((summary.mean / 257.5 - 1.0).abs() < 1e-3, "{summary:?}");
    }

    #[test]
    fn json_gives_back_the_same_counts() {
        let histogram = of(&[1, 20, 300, 4_000_000]);
        let json = serde_json::to_string(&histogram).unwrap();
        assert!(json.starts_with("\"HISTFAAAA"), "the encoding that HdrHistogram's own tools read: {json}");
        assert_eq!(serde_json::from_str::<LatencyHistogram>(&json).unwrap(), histogram);
        assert!(serde_json::from_str::<LatencyHistogram>("\"HISTFAAAAB\"").is_err());
    }

    #[test]
    fn a_length_that_is_not_true_is_refused_before_room_is_made_for_it() {
        let mut plain = Vec::new();
        V2Serializer::new().serialize(&of(&[5]).0, &mut plain).unwrap();
        let text = |plain: &[u8]| {
            let mut deflated = ZlibEncoder::new(Vec::new(), Compression::fast());
            deflated.write_all(plain).unwrap();
            let deflated = deflated.finish().unwrap();
            let length = u32::try_from(deflated.len()).unwrap();
            STANDARD.encode([&COMPRESSED.to_be_bytes(), &length.to_be_bytes(), &deflated[..]].concat())
        };
        assert_eq!(LatencyHistogram::decode(&text(&plain)).unwrap(), of(&[5]));
        assert_eq!(
            LatencyHistogram::decode(&STANDARD.encode(&plain)).unwrap(),
            of(&[5]),
            "without compression"
        );
        plain[4..8].copy_from_slice(&0x5000_0000_u32.to_be_bytes());
        let told = LatencyHistogram::decode(&text(&plain)).unwrap_err().to_string();
        assert_eq!(told, "its length is not what it says");
        let told = LatencyHistogram::decode(&STANDARD.encode(&plain)).unwrap_err().to_string();
        assert_eq!(told, "its length is not what it says");
        let again = text(&STANDARD.decode(text(&plain)).unwrap());
        let told = LatencyHistogram::decode(&again).unwrap_err().to_string();
        assert_eq!(told, "it is not a histogram of format 2");
        let told = LatencyHistogram::decode(&text(&vec![0; 2 << 20])).unwrap_err().to_string();
        assert_eq!(told, "it is longer than 1048576 bytes");
    }

    #[test]
    fn an_endless_duration_counts_as_the_longest() {
        let mut histogram = LatencyHistogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 1);
        assert!(histogram.quantile(1.0) >= Duration::from_secs(119));
    }

    #[test]
    fn what_is_missing_is_longer_than_every_other() {
        let mut histogram = LatencyHistogram::new();
        (1..=100).for_each(|us| histogram.record(Duration::from_micros(us)));
        let us = |share, missing| (histogram.quantile_with_missing(share, missing) * 1e6).round();
        for hundredth in 1..=100 {
            let share = f64::from(hundredth) / 100.0;
            assert_eq!(us(share, 0), f64::from(hundredth), "of a hundred none is missing");
        }
        // Of two hundred half are: the median is the hundredth, and whoever is behind it has no reply.
        assert_eq!(us(0.5, 100), 100.0);
        assert_eq!(us(0.505, 100), f64::INFINITY);
        assert_eq!(LatencyHistogram::new().quantile_with_missing(0.5, 0), 0.0);
        assert_eq!(us(0.99, u64::MAX), f64::INFINITY);
    }
}
