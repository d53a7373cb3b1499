//! What a service promises of its response times.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A quantile of response times, and what it is to stay below: such as `p99 < 2ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    quantile: Quantile,
    limit: Duration,
}

/// The quantiles that an objective can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantile {
    /// Half do not exceed it.
    P50,
    /// 90% do not.
    P90,
    /// 95% do not.
    P95,
    /// 99% do not.
    P99,
    /// 99.9% do not.
    P999,
}

impl Quantile {
    const ALL: [Self; 5] = [Self::P50, Self::P90, Self::P95, Self::P99, Self::P999];

    /// As a share.
    pub fn share(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
        }
    }

    /// How many messages, none of which exceeds a limit, show with 99% that the quantile does not exceed it either: the least n
    /// with qⁿ ≤ 1%.
    pub fn messages_needed(self) -> u64 {
        (0.01_f64.ln() / self.share().ln()).ceil() as u64
    }
}

impl Objective {
    /// Promises that a quantile stays below a limit.
    pub fn new(quantile: Quantile, limit: Duration) -> Self {
        Self { quantile, limit }
    }

    /// Of which quantile it is.
    pub fn quantile(&self) -> Quantile {
        self.quantile
    }

    /// What the quantile is to stay below.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

/// What is no objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an objective such as 'p99 < 2ms': {why}")]
pub struct BadObjective {
    text: String,
    why: String,
}

impl FromStr for Objective {
    type Err = BadObjective;

    fn from_str(text: &str) -> Result<Self, BadObjective> {
        let bad = |why: &str| BadObjective { text: text.to_owned(), why: why.to_owned() };
        let (quantile, limit) = text.split_once('<').ok_or_else(|| bad("it has no <"))?;
        let (quantile, limit) = (quantile.trim(), limit.trim_start_matches('=').trim());
        let of_name = Quantile::ALL.into_iter().find(|it| it.name() == quantile);
        let quantile = of_name.ok_or_else(|| bad("the quantiles are p50, p90, p95, p99 and p99.9"))?;
        Ok(Self { quantile, limit: crate::written::short_duration(limit).map_err(|why| bad(&why))? })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As it can be read again: `2ms`, `1.5ms`, `250us`.
        let us = self.limit.as_nanos() as f64 / 1e3;
        let limit = if us >= 1e3 { format!("{}ms", us / 1e3) } else { format!("{us}us") };
        write!(f, "{} < {limit}", self.quantile.name())
    }
}

impl Serialize for Objective {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Objective {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_read_and_written_as_it_was() {
        for text in ["p99 < 2ms", "p50 < 250us", "p99.9 < 1.5ms", "p90 < 2000ms"] {
            assert_eq!(text.parse::<Objective>().unwrap().to_string(), text);
        }
        assert_eq!("p99<=2ms".parse::<Objective>().unwrap().to_string(), "p99 < 2ms");
    }

    #[test]
    fn what_is_none_says_how_to_write_one() {
        for (text, why) in [
            ("p99", "it has no <"),
            ("p98 < 1ms", "the quantiles are p50, p90, p95, p99 and p99.9"),
            ("p99 < fast", "\"fast\" is not a duration"),
            ("p99 < 0ms", "is not between 1us and 10s"),
        ] {
            let told = text.parse::<Objective>().unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("is not an objective such as 'p99 < 2ms'"), "{told}");
        }
    }

    #[test]
    fn a_quantile_needs_so_many_messages() {
        assert_eq!(Quantile::ALL.map(Quantile::messages_needed), [7, 44, 90, 459, 4603]);
    }
}
