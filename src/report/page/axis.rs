//! From values to places on a drawing, and the values that stand along an axis.

/// A logarithmic axis: equal ratios are equal lengths.
#[derive(Clone, Copy)]
pub(super) struct LogAxis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl LogAxis {
    /// An axis that shows all of some positive values, from one place to another.
    pub(super) fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let positive = values.filter(|value| *value > 0.0 && value.is_finite());
        let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Self { low: 1.0, high: 10.0, from, to };
        }
        // A little room at either end, and never an axis of no length.
        let room = (high / low).powf(0.04).max(1.02);
        Self { low: low / room, high: high * room, from, to }
    }

    /// The values at its ends.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// The place of a value; outside of the axis, its end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Round values along the axis, about as many as asked for at most.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        let finest = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9];
        let fine = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let middle = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0];
        let sets: [&[f64]; 6] = [&[1.0], &[1.0, 3.0], &[1.0, 2.0, 5.0], &middle, &fine, &finest];
        let within = |set: &[f64]| -> Vec<f64> {
            let decades = self.low.log10().floor() as i32 - 1..=self.high.log10().ceil() as i32;
            let all = decades.flat_map(|decade| set.iter().map(move |step| step * 10_f64.powi(decade)));
            all.filter(|value| (self.low..=self.high).contains(value)).collect()
        };
        let sets = sets.map(within);
        // Few enough, and nowhere so near to each other that what is written there would touch.
        let least = (self.to - self.from).abs() / (1.6 * most.max(1) as f64);
        let apart =
            |ticks: &[f64]| ticks.windows(2).all(|two| (self.at(two[1]) - self.at(two[0])).abs() >= least);
        let fits = |ticks: &&Vec<f64>| ticks.len() <= most && apart(ticks);
        let even = self.even_ticks(most);
        // Of as many those of equal ratios, which look the more even.
        let fitting = std::iter::once(&even).chain(&sets).filter(fits).max_by_key(|ticks| ticks.len());
        match fitting {
            Some(ticks) if ticks.len() >= 2 => ticks.clone(),
            _ => even,
        }
    }

    /// Round values at even distances, for an axis so short that it looks linear.
    fn even_ticks(&self, most: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / most.max(1) as f64;
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * decade);
        let first = (self.low / step).ceil();
        let count = ((self.high / step).floor() - first).max(0.0) as usize;
        (0..=count).map(|number| (first + number as f64) * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::numbers::short;

    #[test]
    fn values_are_placed_by_their_ratios() {
        let axis = LogAxis { low: 1.0, high: 100.0, from: 0.0, to: 200.0 };
        assert_eq!(
            [1.0, 10.0, 100.0, 1000.0].map(|value| axis.at(value).round()),
            [0.0, 100.0, 200.0, 200.0]
        );
    }

    #[test]
    fn ticks_are_round_few_and_at_least_two() {
        for (low, high) in [(0.45, 7.2), (0.97, 1.03), (0.5, 1.2), (13.0, 90_000.0), (1.0, 1.0), (0.8, 1.06)]
        {
            let axis = LogAxis::over([low, high].into_iter(), 0.0, 100.0);
            let ticks = axis.ticks(5);
            assert!((2..=6).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (axis.low..=axis.high).contains(tick)), "{ticks:?}");
        }
    }

    #[test]
    fn ticks_do_not_touch() {
        let axis = LogAxis::over([0.586, 1.366].into_iter(), 0.0, 100.0);
        let ticks: Vec<String> = axis.ticks(5).into_iter().map(short).collect();
        assert_eq!(ticks, ["0.6", "0.8", "1", "1.2", "1.4"], "1.1 and 1.3 would be too near to the others");
    }
}
