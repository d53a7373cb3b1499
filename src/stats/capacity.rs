//! The highest rate at which an objective is met, from one response time at each of some rates.

/// By how much a response time may count as shorter or longer than its limit, as a factor: what is not answered at all is as
/// long as this, and a round that the machine spoilt does not outweigh all others.
const MOST: f64 = 6.0;

/// Where a capacity lies among the rates that were offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    /// At so much, between two of them.
    At(f64),
    /// The objective is met at the highest of them.
    AtLeast(f64),
    /// The objective is not met at the lowest of them.
    Below(f64),
}

impl Capacity {
    /// The number: where it lies beyond the rates, the one at that end.
    pub fn rate(self) -> f64 {
        match self {
            Self::At(rate) | Self::AtLeast(rate) | Self::Below(rate) => rate,
        }
    }

    /// The lower of two: of one arm under two objectives.
    pub fn min(self, other: Self) -> Self {
        if other.rate() < self.rate() || (other.rate() == self.rate() && matches!(other, Self::Below(_))) {
            other
        } else {
            self
        }
    }
}

/// Finds the capacity: the response times, made to rise with the rate (isotonic regression of their logarithms), cross the limit
/// there. Between two rates their reciprocals go straight: so they do in a queue whose responses are s / (1 − λs) for a service time
/// s and a rate λ (M/M/1; L. Kleinrock, Queueing Systems 1, 1975, section 3.2). Straight logarithms found 3% too little
/// in simulated searches (METHODOLOGY.md, "Loads at a rate").
///
/// `points` are rates, in ascending order, and response times; infinite for what was not answered. `None` without any.
pub fn capacity(points: &[(f64, f64)], limit: f64) -> Option<Capacity> {
    let excess = |response: f64| (response / limit).clamp(1.0 / MOST, MOST).ln();
    let rising = isotonic(&points.iter().map(|(_, response)| excess(*response)).collect::<Vec<_>>());
    // The first rate at which it is not met, and at no higher one either: they rise.
    let missed = rising.iter().position(|excess| *excess > 0.0);
    Some(match missed {
        None => Capacity::AtLeast(points.last()?.0),
        Some(0) => Capacity::Below(points.first()?.0),
        Some(index) => {
            // The limit over the response time: 1 where the limit is crossed.
            let (below, above) = ((-rising[index - 1]).exp(), (-rising[index]).exp());
            let share = (below - 1.0) / (below - above);
            let (from, to) = (points[index - 1].0, points[index].0);
            Capacity::At(from + share * (to - from))
        }
    })
}

/// The rising numbers that are nearest to others by their squares: neighbours that fall are pooled until none does (M. Ayer and
/// others, Annals of Mathematical Statistics 26(4), 1955).
fn isotonic(values: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::with_capacity(values.len());
    for value in values {
        let mut pool = (*value, 1);
        while let Some((before, count)) = pools.last().copied().filter(|(before, _)| *before > pool.0) {
            pools.pop();
            let all = count + pool.1;
            pool = ((before * count as f64 + pool.0 * pool.1 as f64) / all as f64, all);
        }
        pools.push(pool);
    }
    pools.into_iter().flat_map(|(value, count)| std::iter::repeat_n(value, count)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_limit_is_crossed_between_two_rates() {
        let points = [(1000.0, 0.001), (2000.0, 0.001), (4000.0, 0.004)];
        // Reciprocals fall from twice that of the limit to half of it: two thirds of the way to it.
        let Some(Capacity::At(rate)) = capacity(&points, 0.002) else { panic!("it is crossed") };
        assert!((rate - 2000.0 * 5.0 / 3.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn that_of_a_queue_is_found_exactly_between_rates_that_it_can_take() {
        // A service time of 10 µs: the response is 50 µs at 80,000 a second.
        let response = |rate: f64| 1e-5 / (1.0 - rate * 1e-5);
        for step in [1.05, 1.1, 1.2] {
            let points = [80_000.0 / step, 80_000.0 * (step + 1.0) / 2.0].map(|rate| (rate, response(rate)));
            let found = capacity(&points, 5e-5).unwrap().rate();
            assert!((found / 80_000.0 - 1.0).abs() < 1e-9, "{found}");
        }
    }

    #[test]
    fn beyond_the_rates_it_is_told_so() {
        let points = [(1000.0, 0.001), (2000.0, 0.002)];
        assert_eq!(capacity(&points, 0.003), Some(Capacity::AtLeast(2000.0)));
        assert_eq!(capacity(&points, 0.0005), Some(Capacity::Below(1000.0)));
        assert_eq!(capacity(&[(1000.0, f64::INFINITY)], 0.01), Some(Capacity::Below(1000.0)));
        assert_eq!(capacity(&[], 0.01), None);
    }

    #[test]
    fn a_stall_at_one_rate_is_pooled_with_its_neighbours() {
        let calm: Vec<(f64, f64)> = (1..=8).map(|n| (f64::from(n) * 1e3, 0.0005)).collect();
        let mut stalled = calm.clone();
        stalled[2].1 = 0.05;
        assert_eq!(capacity(&stalled, 0.002), Some(Capacity::AtLeast(8000.0)));
    }

    proptest! {
        #[test]
        fn what_comes_out_rises_and_has_the_same_sum(values in prop::collection::vec(-5.0..5.0_f64, 1..20)) {
            let rising = isotonic(&values);
            prop_assert!(rising.windows(2).all(|two| two[0] <= two[1]));
            let sum = |values: &[f64]| values.iter().sum::<f64>();
            prop_assert!((sum(&rising) - sum(&values)).abs() < 1e-9);
        }

        #[test]
        fn a_longer_response_never_raises_the_capacity(
            responses in prop::collection::vec(0.0001..0.02_f64, 2..12), which in 0..12_usize,
        ) {
            let points = |responses: &[f64]| -> Vec<(f64, f64)> {
                responses.iter().enumerate().map(|(n, response)| (1000.0 * (n + 1) as f64, *response)).collect()
            };
            let mut longer = responses.clone();
            let place = which % longer.len();
            longer[place] *= 2.0;
            let rate = |responses: &[f64]| capacity(&points(responses), 0.002).unwrap().rate();
            prop_assert!(rate(&longer) <= rate(&responses) + 1e-6);
        }
    }
}
