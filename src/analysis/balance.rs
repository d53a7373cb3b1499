//! Slices balanced: what each would have measured with as many sessions as belong to its messages.
//!
//! Within some milliseconds a few more or fewer connections are opened and closed than messages need, as it happens. The more of
//! them, the fewer messages are answered in the same time, and the more processor time each takes. So a multiple of the surplus is
//! added to the logarithm of what a slice measured. It is a control variate (S. S. Lavenberg and P. D. Welch, A Perspective on the Use
//! of Control Variables to Increase the Efficiency of Monte Carlo Simulations, Management Science 27(3), 1981, section 2). The multiple
//! that leaves the least variance is found by regression, for each arm and measure alone. It is about the share of a session's work in
//! which it opens and closes its connection. A surplus counts by its difference from the arm's mean, so no mean of logarithms moves:
//! where connections go in step, the windows of an arm may hold more sessions than belong to their messages again and again.

use std::collections::BTreeMap;

use super::merged::Counts;
use crate::round::Slice;

/// What the slices of an arm counted, by epoch and block.
pub(super) type Slices = BTreeMap<(usize, usize), Counts>;

/// The surplus of sessions in slices of an arm, by epoch and block.
pub(super) type Surpluses = BTreeMap<(usize, usize), f64>;

/// The share of its messages by which the sessions of a slice, each of so many messages, would make more than it answered; `None` where
/// that is not known.
pub(super) fn surplus(slice: &Slice, messages: u32) -> Option<f64> {
    let surplus = slice.sessions? as f64 * f64::from(messages) / slice.messages as f64 - 1.0;
    surplus.is_finite().then_some(surplus)
}

/// What a slice has for what it takes: messages a second, and messages for the CPU time of either process.
const YIELDS: [fn(&Counts) -> f64; 3] = [
    |counts| counts.messages / counts.window_s,
    |counts| counts.messages_paid / counts.server_cpu_us,
    |counts| counts.messages_paid / counts.client_cpu_us,
];

/// Balances the slices of an arm; those whose surplus is not known stay as they are.
pub(super) fn balance(slices: &mut Slices, surpluses: &Surpluses) {
    let mean = surpluses.values().sum::<f64>() / surpluses.len() as f64;
    let multiples = YIELDS.map(|of| multiple(slices, surpluses, of));
    for (place, surplus) in surpluses {
        let Some(counts) = slices.get_mut(place) else { continue };
        let [rate, server, client] = multiples.map(|multiple| (multiple * (surplus - mean)).exp());
        counts.messages *= rate;
        counts.server_cpu_us /= server;
        counts.client_cpu_us /= client;
    }
}

/// By how much a surplus lowers the logarithm of a yield, by least squares over the slices of an arm, each against the mean of its
/// epoch. It is a share of the work, and so from 0 to 1.
fn multiple(slices: &Slices, surpluses: &Surpluses, of: fn(&Counts) -> f64) -> f64 {
    let mut points: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for (place, surplus) in surpluses {
        let measured = slices.get(place).map(|counts| of(counts).ln()).filter(|it| it.is_finite());
        points.entry(place.0).or_default().extend(measured.map(|measured| (*surplus, measured)));
    }
    let (mut products, mut squares) = (0.0, 0.0);
    for points in points.values() {
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (surplus, measured) = (mean(|point| point.0), mean(|point| point.1));
        products += points.iter().map(|point| (point.0 - surplus) * (point.1 - measured)).sum::<f64>();
        squares += points.iter().map(|point| (point.0 - surplus).powi(2)).sum::<f64>();
    }
    if squares > 0.0 { (-products / squares).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

    use super::*;

    const MESSAGES: f64 = 8.0;
    /// What a message takes, and what opening and closing a connection takes, in µs.
    const MESSAGE_US: f64 = 25.0;
    const SESSION_US: f64 = 100.0;
    const WINDOW_S: f64 = 0.02;
    /// The share of the server in the processor's time for a message, and in that for a session.
    const SERVER: (f64, f64) = (0.5, 0.8);

    /// Slices in which `sessions` are opened and closed at full speed, and the rest of the window goes to messages. `speed` is the
    /// processor's, and slows both down.
    fn slices(sessions: &[f64], speed: impl Fn(usize) -> f64) -> (Slices, Surpluses) {
        let (mut slices, mut surpluses) = (Slices::new(), Surpluses::new());
        for (number, sessions) in sessions.iter().enumerate() {
            let place = (number / 15, number % 15);
            let messages = (WINDOW_S * 1e6 - sessions * SESSION_US) / MESSAGE_US;
            surpluses.insert(place, sessions * MESSAGES / messages - 1.0);
            let server = SERVER.0 * messages * MESSAGE_US + SERVER.1 * sessions * SESSION_US;
            let messages = speed(number) * messages;
            slices.insert(
                place,
                Counts {
                    messages,
                    window_s: WINDOW_S,
                    messages_paid: messages,
                    server_cpu_us: server,
                    client_cpu_us: WINDOW_S * 1e6 - server,
                },
            );
        }
        (slices, surpluses)
    }

    /// As many sessions as belong to the messages of a window, but for a share of them, and more or less.
    fn sessions(seed: u64, share: f64, count: usize) -> Vec<f64> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mean = share * WINDOW_S * 1e6 / (MESSAGES * MESSAGE_US + SESSION_US);
        (0..count).map(|_| mean * (0.9 + 0.2 * rng.random::<f64>())).collect()
    }

    fn logarithms(slices: &Slices, of: fn(&Counts) -> f64) -> Vec<f64> {
        slices.values().map(|counts| of(counts).ln()).collect()
    }

    fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, (square / values.len() as f64).sqrt())
    }

    #[test]
    fn where_only_sessions_differ_all_slices_come_to_one_yield() {
        let (mut all, surpluses) = slices(&sessions(1, 1.0, 300), |_| 1.0);
        let before = YIELDS.map(|of| mean_and_deviation(&logarithms(&all, of)).1);
        balance(&mut all, &surpluses);
        let after = YIELDS.map(|of| mean_and_deviation(&logarithms(&all, of)).1);
        for (before, after) in before.into_iter().zip(after) {
            assert!(before > 0.01 && after < before / 20.0, "{after} of {before} is left");
        }
    }

    #[test]
    fn what_the_processor_does_stays_and_no_mean_moves_also_where_sessions_go_in_step() {
        for (seed, share) in [(1, 1.0), (2, 1.15), (3, 0.8)] {
            let speed = |number: usize| if number.is_multiple_of(2) { 1.1 } else { 0.9 };
            let (mut all, surpluses) = slices(&sessions(seed, share, 300), speed);
            let (still, _) = slices(&vec![sessions(seed, share, 1)[0]; 300], speed);
            let before = YIELDS.map(|of| mean_and_deviation(&logarithms(&all, of)));
            balance(&mut all, &surpluses);
            for (of, before) in YIELDS.into_iter().zip(before) {
                let after = mean_and_deviation(&logarithms(&all, of));
                let of_processor = mean_and_deviation(&logarithms(&still, of)).1;
                assert!((after.0 - before.0).abs() < 1e-9, "{after:?} is not {before:?}");
                assert!(
                    after.1 < before.1 && (after.1 / of_processor - 1.0).abs() < 0.01,
                    "{after:?} of {of_processor}"
                );
            }
        }
    }

    #[test]
    fn slices_whose_sessions_were_not_counted_stay_as_they_are_and_none_comes_to_nothing() {
        let (mut all, mut surpluses) = slices(&sessions(2, 1.0, 30), |_| 1.0);
        surpluses.remove(&(0, 3));
        // None of its sessions ended in this one.
        surpluses.insert((1, 4), -1.0);
        let before = all.clone();
        balance(&mut all, &surpluses);
        assert_eq!(all[&(0, 3)].messages, before[&(0, 3)].messages);
        assert_ne!(all[&(0, 4)].messages, before[&(0, 4)].messages);
        assert!(all.values().all(|counts| counts.messages > 0.0));
        balance(&mut all, &Surpluses::new());
        balance(&mut Slices::new(), &Surpluses::new());
    }

    #[test]
    fn a_multiple_is_a_share() {
        // The more sessions belong to a message, the more messages: nothing that opening and closing can do.
        let many = sessions(3, 1.0, 30);
        let (mut all, surpluses) = slices(&many, |number| (many[number] / many[0]).powi(2));
        let before = logarithms(&all, YIELDS[0]);
        balance(&mut all, &surpluses);
        assert_eq!(logarithms(&all, YIELDS[0]), before);
    }
}
