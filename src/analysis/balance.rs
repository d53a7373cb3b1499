//! Slices balanced: how many messages each would have answered with as many sessions as belong to them.
//!
//! Within some milliseconds a few more or fewer connections are opened and closed than messages need, as it happens, and the more
//! of them, the fewer messages are answered in the same time. In the long run both are in proportion: sessions × messages of a
//! session = messages. So any multiple of the difference can be added to the messages of each slice without moving their mean. It is
//! a control variate (S. S. Lavenberg and P. D. Welch, A Perspective on the Use of Control Variables to Increase the Efficiency of Monte Carlo
//! Simulations, Management Science 27(3), 1981, section 2). The multiple that leaves the least variance is found by regression. It is
//! about the share of a session's time in which it opens and closes its connection.

use std::collections::BTreeMap;

use super::merged::Counts;

/// What the slices of an arm counted, by epoch and block.
pub(super) type Slices = BTreeMap<(usize, usize), Counts>;

/// Balances the slices of all arms of a contest by one multiple, whose sessions have so many messages. Slices of which sessions were not
/// counted stay as they are.
pub(super) fn balance(arms: &mut [&mut Slices], messages: u32) {
    let multiple = multiple(arms, messages);
    for counts in arms.iter_mut().flat_map(|slices| slices.values_mut()) {
        if let Some(more) = surplus(counts, messages) {
            let factor = 1.0 + multiple * more;
            counts.messages *= factor;
            counts.messages_paid *= factor;
        }
    }
}

/// The share of its messages by which the sessions of a slice would make more than it answered; `None` where that is not known.
fn surplus(counts: &Counts, messages: u32) -> Option<f64> {
    let surplus = counts.sessions * f64::from(messages) / counts.messages - 1.0;
    surplus.is_finite().then_some(surplus)
}

/// By how much a surplus lowers the logarithm of the rate, by least squares over the slices of all arms, each against the mean of
/// its arm and epoch. It is a share of the work, and so from 0 to 1.
fn multiple(arms: &[&mut Slices], messages: u32) -> f64 {
    let mut points: BTreeMap<(usize, usize), Vec<(f64, f64)>> = BTreeMap::new();
    for (arm, slices) in arms.iter().enumerate() {
        for ((epoch, _), counts) in slices.iter() {
            let rate = (counts.messages / counts.window_s).ln();
            let surplus = surplus(counts, messages).filter(|_| rate.is_finite());
            points.entry((arm, *epoch)).or_default().extend(surplus.map(|surplus| (surplus, rate)));
        }
    }
    let (mut products, mut squares) = (0.0, 0.0);
    for points in points.values() {
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (surplus, rate) = (mean(|point| point.0), mean(|point| point.1));
        products += points.iter().map(|point| (point.0 - surplus) * (point.1 - rate)).sum::<f64>();
        squares += points.iter().map(|point| (point.0 - surplus).powi(2)).sum::<f64>();
    }
    if squares > 0.0 { (-products / squares).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

    use super::*;

    const MESSAGES: u32 = 8;
    /// What a message takes, and what opening and closing a connection takes, in µs.
    const MESSAGE_US: f64 = 25.0;
    const SESSION_US: f64 = 100.0;
    const WINDOW_S: f64 = 0.02;

    /// Slices in which `sessions` are opened and closed at full speed, and the rest of the window goes to messages. `speed` is the
    /// processor's, and slows both down.
    fn slices(sessions: impl Iterator<Item = f64>, mut speed: impl FnMut() -> f64) -> Slices {
        let mut slice = |sessions: f64| {
            let speed = speed();
            let messages = speed * (WINDOW_S * 1e6 - sessions * SESSION_US) / MESSAGE_US;
            let sessions = speed * sessions;
            Counts { messages, sessions, window_s: WINDOW_S, messages_paid: messages, ..Counts::default() }
        };
        sessions.enumerate().map(|(number, sessions)| ((number / 15, number % 15), slice(sessions))).collect()
    }

    /// As many sessions as belong to the messages of a window, more or less.
    fn sessions(rng: &mut Xoshiro256PlusPlus, count: usize) -> impl Iterator<Item = f64> + '_ {
        let mean = WINDOW_S * 1e6 / (f64::from(MESSAGES) * MESSAGE_US + SESSION_US);
        (0..count).map(move |_| mean * (0.9 + 0.2 * rng.random::<f64>()))
    }

    fn rates(slices: &Slices) -> Vec<f64> {
        slices.values().map(|counts| counts.messages / counts.window_s).collect()
    }

    fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, (square / values.len() as f64).sqrt() / mean)
    }

    #[test]
    fn where_only_sessions_differ_all_slices_come_to_one_rate() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut all = slices(sessions(&mut rng, 300), || 1.0);
        let (before, spread) = mean_and_deviation(&rates(&all));
        assert!(spread > 0.025, "{spread}");
        balance(&mut [&mut all], MESSAGES);
        let (after, left) = mean_and_deviation(&rates(&all));
        let true_rate = 1e6 / (MESSAGE_US + SESSION_US / f64::from(MESSAGES));
        assert!(left < spread / 20.0, "{left} of {spread} are left");
        assert!((after / true_rate - 1.0).abs() < 0.001, "{after} is not {true_rate}");
        assert!((before / true_rate - 1.0).abs() < 0.01, "{before} is not {true_rate}");
    }

    #[test]
    fn what_the_processor_does_stays_and_no_mean_moves() {
        let (mut plain, mut balanced) = (Vec::new(), Vec::new());
        for seed in 0..200 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let of_machine: Vec<f64> = (0..60).map(|_| if rng.random() { 1.1 } else { 0.9 }).collect();
            let mut speeds = of_machine.iter();
            let mut all = slices(sessions(&mut rng, 60), || speeds.next().copied().unwrap_or(1.0));
            let truth = of_machine.iter().sum::<f64>() / 60.0;
            let error = |slices: &Slices| mean_and_deviation(&rates(slices)).0 / truth;
            plain.push(error(&all));
            balance(&mut [&mut all], MESSAGES);
            balanced.push(error(&all));
        }
        let (plain, balanced) = (mean_and_deviation(&plain), mean_and_deviation(&balanced));
        assert!((plain.0 / balanced.0 - 1.0).abs() < 0.002, "{plain:?} and {balanced:?}");
        assert!(balanced.1 < plain.1, "{plain:?} and {balanced:?}");
    }

    #[test]
    fn slices_whose_sessions_were_not_counted_stay_as_they_are() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let mut counted = slices(sessions(&mut rng, 30), || 1.0);
        let mut uncounted = counted.clone();
        uncounted.values_mut().for_each(|counts| counts.sessions = f64::NAN);
        let before = rates(&uncounted);
        balance(&mut [&mut uncounted, &mut counted], MESSAGES);
        assert_eq!(rates(&uncounted), before);
        assert_ne!(rates(&counted), before);
        balance(&mut [], MESSAGES);
        balance(&mut [&mut Slices::new()], MESSAGES);
    }

    #[test]
    fn a_multiple_is_a_share() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let many: Vec<f64> = sessions(&mut rng, 30).collect();
        // The more sessions belong to a message, the more messages: nothing that opening and closing can do.
        let mean = many.iter().sum::<f64>() / 30.0;
        let mut speeds = many.iter().map(|sessions| (sessions / mean).powi(2));
        let mut all = slices(many.iter().copied(), || speeds.next().unwrap_or(1.0));
        let before = rates(&all);
        balance(&mut [&mut all], MESSAGES);
        assert_eq!(rates(&all), before);
    }
}
