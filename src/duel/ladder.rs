//! Which rates a contest offers: found by short rounds before it begins, the same for all its arms.
//!
//! Around the rates at which the arms cease to meet the objective, close to each other; below them the usual shares of what the
//! reference can take. What is found here only says where to look: what the capacity is, the contest's own rounds say.

use crate::{
    load::SHARES,
    stats::{Capacity, capacity},
};

/// Rates around the arms' capacities at least, and at most.
const RUNGS: (usize, usize) = (6, 9);

/// The nearest two rates are to each other, as a factor: what is told apart between two is told by interpolation.
const NEAREST: f64 = 1.06;

/// How far the rates reach beyond the arms' capacities, as a factor either way: the search is as noisy as a round.
const BEYOND: f64 = 1.2;

/// Rates at which an arm is tried first, over all that it might take.
const COARSE: usize = 6;

/// Rates at which it is tried around what these say.
const FINE: usize = 7;

/// How far those reach, as a factor either way.
const FINE_REACH: f64 = 1.4;

/// How often rates are tried around what the others say, until what all of them say lies well within those.
const PASSES: usize = 3;

/// The lowest share of what an arm can take that is tried.
const LEAST_SHARE: f64 = 0.05;

/// Who tries rates.
pub trait Prober {
    /// How many arms there are; the reference is number 0.
    fn arms(&self) -> usize;

    /// The lowest rate at which a round has enough messages for the objective, in messages per second.
    fn lowest(&self) -> f64;

    /// Offers an arm far more than it can take; returns how many messages it answers a second.
    ///
    /// # Errors
    /// When it cannot be measured.
    fn saturate(&mut self, arm: usize) -> anyhow::Result<f64>;

    /// Offers an arm so many messages a second; returns its response time as a share of what the objective allows.
    ///
    /// # Errors
    /// When it cannot be measured.
    fn response(&mut self, arm: usize, rate: f64) -> anyhow::Result<f64>;
}

/// The rates that were found.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// Messages per second, in ascending order.
    pub rates: Vec<f64>,
    /// How many of them lie below all that tell where a capacity is.
    pub below: usize,
}

/// Finds the rates for an objective: about so many in all, but no fewer than tell where the capacities are.
///
/// # Errors
/// The prober's; or that no arm meets the objective at any rate that was tried, with these.
pub fn find_rates(prober: &mut impl Prober, about: usize) -> anyhow::Result<Ladder> {
    let arms = 0..prober.arms();
    let saturations: Vec<f64> =
        arms.clone().map(|arm| prober.saturate(arm)).collect::<anyhow::Result<_>>()?;
    let knees: Vec<Option<f64>> =
        arms.map(|arm| knee(prober, arm, saturations[arm])).collect::<anyhow::Result<_>>()?;
    let found = || knees.iter().flatten().copied();
    let (Some(low), Some(high)) = (found().reduce(f64::min), found().reduce(f64::max)) else {
        let tried = saturations.iter().map(|it| lowest_tried(prober, *it)).fold(f64::INFINITY, f64::min);
        anyhow::bail!(
            "no arm meets the objective, not even at {tried:.0} messages/s, the lowest rate that a round can measure"
        )
    };
    let reference = knees.first().copied().flatten().unwrap_or(low);
    let shares = SHARES.map(|share| share * reference);
    let rungs = about.saturating_sub(SHARES.len()).clamp(RUNGS.0, RUNGS.1);
    let around = around(low / BEYOND, high * BEYOND, rungs);
    let rates = merge(&around, &shares);
    let below = rates.iter().filter(|rate| **rate < around[0].round()).count();
    Ok(Ladder { rates, below })
}

/// Finds where an arm ceases to meet the objective, between nothing and what it can take; `None` where it never does.
///
/// From all rounds together, as a contest's blocks do it: one in which the machine stood still does not send the search astray.
fn knee(prober: &mut impl Prober, arm: usize, saturation: f64) -> anyhow::Result<Option<f64>> {
    let lowest = lowest_tried(prober, saturation);
    if lowest >= saturation {
        return Ok(None);
    }
    let mut tried = Tried::default();
    // The lowest is tried twice: where it is missed by one round alone, that may be the machine's.
    tried.at(prober, arm, &[lowest])?;
    tried.at(prober, arm, &spread(lowest, saturation, COARSE))?;
    for _ in 0..PASSES {
        let Some(found) = tried.capacity() else { return Ok(None) };
        let (from, to) = ((found / FINE_REACH).max(lowest), (found * FINE_REACH).min(saturation));
        tried.at(prober, arm, &spread(from, to, FINE))?;
        let again = tried.capacity().unwrap_or(lowest);
        if (again / found).ln().abs() < FINE_REACH.sqrt().ln() {
            break;
        }
    }
    Ok(tried.capacity())
}

/// What an arm answered at rates that were tried.
#[derive(Default)]
struct Tried(Vec<(f64, f64)>);

impl Tried {
    fn at(&mut self, prober: &mut impl Prober, arm: usize, rates: &[f64]) -> anyhow::Result<()> {
        for rate in rates {
            self.0.push((*rate, prober.response(arm, *rate)?));
        }
        self.0.sort_by(|one, other| one.0.total_cmp(&other.0));
        Ok(())
    }

    /// What all rounds together say; `None` where not even the lowest rate meets the objective.
    fn capacity(&self) -> Option<f64> {
        match capacity(&self.0, 1.0)? {
            Capacity::Below(_) => None,
            found => Some(found.rate()),
        }
    }
}

/// The lowest rate that is tried of an arm that can take so much.
fn lowest_tried(prober: &impl Prober, saturation: f64) -> f64 {
    (saturation * LEAST_SHARE).max(prober.lowest())
}

/// So many rates at equal factors from one to another; fewer where they would be nearer than that tells anything.
fn around(low: f64, high: f64, rungs: usize) -> Vec<f64> {
    let fitting = ((high / low).ln() / NEAREST.ln()).floor() as usize + 1;
    spread(low, high, rungs.min(fitting).max(2))
}

/// So many rates, two or more, at equal factors from one to another.
fn spread(low: f64, high: f64, count: usize) -> Vec<f64> {
    let steps = (count - 1) as f64;
    (0..count).map(|step| low * (high / low).powf(step as f64 / steps)).collect()
}

/// Both together in ascending order, whole, without those that are near to one of the first.
fn merge(rungs: &[f64], shares: &[f64]) -> Vec<f64> {
    let is_near = |rate: f64| rungs.iter().any(|rung| (rate / rung).ln().abs() < NEAREST.ln());
    let apart = shares.iter().copied().filter(|rate| !is_near(*rate));
    let mut rates: Vec<f64> = rungs.iter().copied().chain(apart).map(|rate| rate.round().max(1.0)).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arms that meet the objective up to a share of what they can take.
    struct Arms {
        saturations: Vec<f64>,
        share: f64,
        /// Whether the machine stands still in each fifth round.
        stalls: bool,
        tried: usize,
    }

    impl Prober for Arms {
        fn arms(&self) -> usize {
            self.saturations.len()
        }

        fn lowest(&self) -> f64 {
            459.0
        }

        fn saturate(&mut self, arm: usize) -> anyhow::Result<f64> {
            Ok(self.saturations[arm])
        }

        fn response(&mut self, arm: usize, rate: f64) -> anyhow::Result<f64> {
            assert!(rate >= self.lowest(), "no round can measure {rate}");
            self.tried += 1;
            let stalled = self.stalls && self.tried.is_multiple_of(5);
            Ok(if stalled || rate > self.saturations[arm] * self.share { 3.0 } else { 0.3 })
        }
    }

    #[test]
    fn rates_lie_around_all_knees_and_at_the_shares_of_the_reference() {
        let mut arms =
            Arms { saturations: vec![40_000.0, 50_000.0, 25_000.0], share: 0.8, stalls: false, tried: 0 };
        let ladder = find_rates(&mut arms, 12).unwrap();
        for arm in 0..3 {
            let saturation = arms.saturations[arm];
            let knee = knee(&mut arms, arm, saturation).unwrap().unwrap();
            assert!((knee / (saturation * 0.8)).ln().abs() < 0.06, "{knee}");
        }
        let rates = &ladder.rates;
        assert!(
            rates[0] < 0.11 * 32_000.0 && rates.windows(2).all(|two| two[1] > two[0] * 1.05),
            "{rates:?}"
        );
        assert!(
            *rates.last().unwrap() > 40_000.0 * 1.1 && rates.iter().any(|it| *it < 20_000.0),
            "{rates:?}"
        );
        assert!((6..=13).contains(&rates.len()) && ladder.below == 1, "{ladder:?}");
        assert_eq!(arms.tried, 2 * 3 * (1 + COARSE + FINE), "once for the rates, and once for the knees");
    }

    #[test]
    fn moments_in_which_the_machine_stands_still_do_not_lead_astray() {
        for offset in 0..5 {
            let mut arms = Arms { saturations: vec![40_000.0], share: 0.8, stalls: true, tried: offset };
            let knee = knee(&mut arms, 0, 40_000.0).unwrap().unwrap();
            assert!((knee / 32_000.0).ln().abs() < 0.2, "{knee}");
        }
    }

    #[test]
    fn an_objective_that_nobody_meets_is_told_with_the_lowest_rate() {
        let mut arms = Arms { saturations: vec![40_000.0, 50_000.0], share: 0.0, stalls: false, tried: 0 };
        let told = find_rates(&mut arms, 12).unwrap_err().to_string();
        assert_eq!(
            told,
            "no arm meets the objective, not even at 2000 messages/s, the lowest rate that a round can measure"
        );
    }

    #[test]
    fn no_rate_is_tried_at_which_a_round_has_too_few_messages() {
        let mut arms = Arms { saturations: vec![6_000.0, 400.0], share: 0.8, stalls: false, tried: 0 };
        let ladder = find_rates(&mut arms, 12).unwrap();
        assert!(ladder.rates.iter().any(|it| (it / 4_800.0).ln().abs() < 0.2), "{ladder:?}");
        let mut arms = Arms { saturations: vec![6_000.0, 400.0], share: 0.0, stalls: false, tried: 0 };
        let told = find_rates(&mut arms, 12).unwrap_err().to_string();
        assert!(told.contains("not even at 459 messages/s"), "{told}");
    }

    #[test]
    fn one_that_everybody_meets_lies_around_what_they_can_take() {
        let mut arms = Arms { saturations: vec![40_000.0, 50_000.0], share: 1.0, stalls: false, tried: 0 };
        let ladder = find_rates(&mut arms, 12).unwrap();
        assert!(*ladder.rates.last().unwrap() > 50_000.0, "{ladder:?}");
    }
}
