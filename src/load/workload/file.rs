//! A workload as it stands in a file, and what is wrong with it: with its line, and what is allowed.

use std::{ops::Range, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use super::{super::arrivals::Process, Offered, Skew, Workload};
use crate::{
    net::LinkShape,
    protocol::{DEFAULT_MESSAGE_BYTES, DEFAULT_MESSAGES, Shape},
    work::{Distribution, LEAST_MESSAGE_BYTES, Work, WorkKind},
    written::{self, duration, toml_error},
};

/// Connections that a load may have at most: each needs a descriptor and a port.
const MOST_CONNECTIONS: usize = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireWorkload {
    #[serde(deserialize_with = "name")]
    name: String,
    #[serde(default)]
    shows: String,
    #[serde(deserialize_with = "connections")]
    connections: usize,
    #[serde(default, deserialize_with = "idle")]
    idle: usize,
    #[serde(default = "default_messages")]
    messages: u32,
    message_bytes: Option<Spanned<usize>>,
    reply_bytes: Option<Spanned<usize>>,
    #[serde(default = "yes")]
    counts_sessions: bool,
    #[serde(default = "default_ramp", deserialize_with = "time")]
    ramp: Duration,
    #[serde(default = "default_window", deserialize_with = "window")]
    window: Duration,
    arrivals: Option<Spanned<WireArrivals>>,
    work: Option<Spanned<WireWork>>,
    skew: Option<Spanned<WireSkew>>,
    #[serde(default, deserialize_with = "link")]
    link: Option<LinkShape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireArrivals {
    process: Process,
    #[serde(default, deserialize_with = "rate")]
    rate: Option<u32>,
    shares: Option<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireWork {
    kind: WorkKind,
    #[serde(deserialize_with = "short_time")]
    time: Duration,
    #[serde(default)]
    distribution: Distribution,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSkew {
    hot: Option<usize>,
    share: Option<f64>,
    zipf: Option<f64>,
}

fn default_messages() -> u32 {
    DEFAULT_MESSAGES
}

fn yes() -> bool {
    true
}

/// Two sessions of a thousand connections, on the slowest backend.
fn default_ramp() -> Duration {
    Duration::from_secs(1)
}

fn default_window() -> Duration {
    Duration::from_millis(400)
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    written::name(&name).map_err(D::Error::custom)?;
    Ok(name)
}

fn connections<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    count(from, 1, "connections")
}

fn idle<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    count(from, 0, "idle connections")
}

fn count<'de, D: Deserializer<'de>>(from: D, least: usize, what: &str) -> Result<usize, D::Error> {
    let count = i64::deserialize(from)?;
    let fit = usize::try_from(count).ok().filter(|it| (least..=MOST_CONNECTIONS).contains(it));
    fit.ok_or_else(|| D::Error::custom(format!("{what} must be {least} to {MOST_CONNECTIONS}, not {count}")))
}

fn link<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LinkShape>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    written::rate(i64::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn short_time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    written::short_duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn window<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    written::window(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// Reads the text of a file.
///
/// # Errors
/// What is wrong, in which line, and what is allowed.
pub(super) fn parse(text: &str) -> anyhow::Result<Workload> {
    let wire: WireWorkload = toml::from_str(text).map_err(|error| toml_error(&error))?;
    let at = |span: Option<Range<usize>>, what: String| {
        let line = span.map(|span| text[..span.end.min(text.len())].lines().count());
        anyhow::anyhow!("{}{what}", line.map_or_else(String::new, |line| format!("line {line}: ")))
    };
    let message_bytes = wire.message_bytes.as_ref().map_or(DEFAULT_MESSAGE_BYTES, |it| *it.get_ref());
    let shape = Shape::new(wire.messages, message_bytes)
        .map_err(|error| at(wire.message_bytes.as_ref().map(Spanned::span), error.to_string()))?;
    let reply_bytes = wire.reply_bytes.as_ref().map(|it| *it.get_ref());
    shape
        .with_replies(reply_bytes)
        .map_err(|error| at(wire.reply_bytes.as_ref().map(Spanned::span), error.to_string()))?;
    let (ramp_ms, window_ms) = (milliseconds(wire.ramp), milliseconds(wire.window));
    let mut workload = Workload {
        name: wire.name,
        shows: wire.shows,
        connections: wire.connections,
        idle: wire.idle,
        messages: wire.messages,
        message_bytes,
        reply_bytes,
        counts_sessions: wire.counts_sessions && wire.arrivals.is_none(),
        ramp_ms,
        window_ms,
        arrivals: None,
        work: None,
        skew: None,
        link: wire.link,
    };
    if let Some(arrivals) = wire.arrivals {
        let span = arrivals.span();
        workload.arrivals = Some(arrivals.into_inner().read().map_err(|what| at(Some(span), what))?);
    }
    if let Some(work) = wire.work {
        let span = work.span();
        workload.work = Some(work.into_inner().read(&workload).map_err(|what| at(Some(span), what))?);
    }
    if let Some(skew) = wire.skew {
        let span = skew.span();
        workload.skew = Some(skew.into_inner().read(&workload).map_err(|what| at(Some(span), what))?);
    }
    Ok(workload)
}

impl WireArrivals {
    fn read(self) -> Result<Offered, String> {
        if self.rate.is_some() && self.shares.is_some() {
            return Err("a rate, or shares of what is possible: not both".to_owned());
        }
        let mut shares = self.shares.unwrap_or_default();
        if let Some(wrong) = shares.iter().find(|share| !(**share > 0.0 && **share < 1.0)) {
            return Err(format!("share must be above 0 and below 1, not {wrong}"));
        }
        shares.sort_by(f64::total_cmp);
        Ok(Offered { process: self.process, rate: self.rate, shares })
    }
}

impl WireWork {
    fn read(self, workload: &Workload) -> Result<Work, String> {
        if workload.message_bytes < LEAST_MESSAGE_BYTES {
            return Err(format!(
                "work is drawn from the bytes of a message: with work, message_bytes must be at least {LEAST_MESSAGE_BYTES}"
            ));
        }
        let window = Duration::from_millis(workload.window_ms);
        if self.time > window {
            return Err(format!("work of {:?} does not fit a window of {window:?}", self.time));
        }
        let mean_ns = u64::try_from(self.time.as_nanos()).unwrap_or(u64::MAX);
        Ok(Work { kind: self.kind, mean_ns, distribution: self.distribution, seed: 0 })
    }
}

impl WireSkew {
    fn read(self, workload: &Workload) -> Result<Skew, String> {
        let connections = workload.connections;
        if workload.arrivals.is_none() {
            return Err("skew needs arrivals; in a closed loop each connection has what it takes".to_owned());
        }
        match (self.hot, self.share, self.zipf) {
            (Some(hot), Some(share), None) if (1..=connections).contains(&hot) => {
                let is_share = share > 0.0 && share <= 1.0;
                let wrong = || format!("share must be above 0 and at most 1, not {share}");
                is_share.then_some(Skew::Hot { hot, share }).ok_or_else(wrong)
            }
            (Some(hot), Some(_), None) => {
                Err(format!("hot must be 1 to {connections}, the number of connections, not {hot}"))
            }
            (None, None, Some(zipf)) if zipf > 0.0 && zipf <= 10.0 => Ok(Skew::Zipf { zipf }),
            (None, None, Some(zipf)) => {
                Err(format!("the exponent must be above 0 and at most 10, not {zipf}"))
            }
            _ => Err("skew is { hot = 2, share = 0.9 } or { zipf = 0.99 }".to_owned()),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
