//! Known answers, and simulated duels with drift, outliers and autocorrelation.

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use super::*;

/// What a simulated machine does to rounds.
#[derive(Clone, Copy)]
struct Machine {
    epochs: usize,
    blocks: usize,
    /// Standard deviation between epochs, on the log scale.
    between: f64,
    /// Standard deviation within an epoch, on the log scale.
    within: f64,
    /// Correlation of a block with the next.
    correlation: f64,
    /// The share of rounds that something else slows down by half.
    outliers: f64,
    /// What the machine gains over the whole duel, on the log scale; both arms alike.
    drift: f64,
}

const QUIET: Machine = Machine {
    epochs: 10,
    blocks: 3,
    between: 0.0,
    within: 0.03,
    correlation: 0.0,
    outliers: 0.0,
    drift: 0.0,
};

struct Simulation(Xoshiro256PlusPlus);

impl Simulation {
    fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A normal deviate (G. E. P. Box and M. E. Muller, Annals of Mathematical Statistics 29(2), 1958).
    fn normal(&mut self) -> f64 {
        let (u, v): (f64, f64) = (1.0 - self.0.random::<f64>(), self.0.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// One arm's rounds, of a true level.
    fn arm(&mut self, machine: Machine, level: f64) -> Series {
        let total = (machine.epochs * machine.blocks) as f64;
        let mut done = 0.0;
        (0..machine.epochs)
            .map(|_| {
                let epoch = machine.between * self.normal();
                let mut previous = self.normal();
                (0..machine.blocks)
                    .map(|_| {
                        let fresh = (1.0 - machine.correlation.powi(2)).sqrt() * self.normal();
                        previous = machine.correlation * previous + fresh;
                        let spoilt = if self.0.random::<f64>() < machine.outliers { -0.7 } else { 0.0 };
                        done += 1.0;
                        let drift = machine.drift * done / total;
                        Some((level.ln() + epoch + machine.within * previous + spoilt + drift).exp())
                    })
                    .collect()
            })
            .collect()
    }
}

/// Judges one arm alone.
fn compare_one(arm: &Series, reference: &Series, noise: f64, better: Better) -> Option<Comparison> {
    judge(&[estimate(arm, reference, &Draws::new(1))], noise, better)[0]
}

const ROUGH: Machine = Machine { between: 0.02, correlation: 0.4, outliers: 0.05, drift: 0.3, ..QUIET };

#[test]
fn a_fifth_is_trimmed_at_each_end() {
    assert_eq!(trimmed_mean(&[1.0, 2.0, 3.0, 4.0, 1000.0]), 3.0);
    assert_eq!(trimmed_mean(&[5.0]), 5.0);
    assert_eq!(trimmed_mean(&[1.0, 2.0, 3.0, 4.0]), 2.5, "a fifth of four is none");
    assert!(trimmed_mean(&[]).is_nan());
}

#[test]
fn holm_is_what_it_is_in_the_paper() {
    let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
    let expected = [0.03, 0.06, 0.06, 0.02];
    assert!(corrected.iter().zip(expected).all(|(is, must)| (is - must).abs() < 1e-12), "{corrected:?}");
    assert_eq!(holm(&[]), Vec::<f64>::new());
    assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
}

#[test]
fn an_exact_ratio_is_found_exactly() {
    let reference: Series = (1..=6).map(|epoch| vec![Some(f64::from(epoch)); 3]).collect();
    let double: Series =
        reference.iter().map(|blocks| blocks.iter().map(|v| v.map(|v| v * 2.0)).collect()).collect();
    let found = compare_one(&double, &reference, 0.0, Better::More).unwrap();
    assert!((found.ratio - 2.0).abs() < 1e-12 && (found.low - found.high).abs() < 1e-9, "{found:?}");
    assert_eq!((found.verdict, found.blocks), (Verdict::Better, 18));
    let slower = compare_one(&double, &reference, 0.0, Better::Less).unwrap();
    assert_eq!(slower.verdict, Verdict::Worse);
}

#[test]
fn too_few_epochs_say_nothing() {
    let two: Series = vec![vec![Some(1.0); 50]; 2];
    assert_eq!(compare_one(&two, &two, 0.0, Better::More), None);
    let set_aside: Series = vec![vec![None; 5]; 10];
    assert_eq!(compare_one(&set_aside, &set_aside, 0.0, Better::More), None);
}

#[test]
fn an_effect_that_the_second_copy_shows_too_is_no_difference() {
    let mut simulation = Simulation::new(3);
    let reference = simulation.arm(QUIET, 100.0);
    let arm = simulation.arm(QUIET, 110.0);
    let verdict = |noise| compare_one(&arm, &reference, noise, Better::More).unwrap().verdict;
    assert_eq!(verdict(0.0), Verdict::Better);
    assert_eq!(verdict(0.12), Verdict::NoDifferenceSeen);
}

#[test]
fn the_order_of_records_decides_nothing_and_the_seed_everything() {
    let mut simulation = Simulation::new(5);
    let ratios = log_ratios(&simulation.arm(ROUGH, 1.03), &simulation.arm(ROUGH, 1.0));
    let mut turned: Vec<Vec<f64>> = ratios.iter().rev().cloned().collect();
    turned.iter_mut().for_each(|blocks| blocks.reverse());
    assert_eq!(bootstrap(&ratios, &Draws::new(9)), bootstrap(&turned, &Draws::new(9)));
    assert_ne!(bootstrap(&ratios, &Draws::new(9)), bootstrap(&ratios, &Draws::new(10)));
}

/// The share of simulated duels whose interval holds the true ratio, and of those with a verdict.
fn simulate(machine: Machine, ratio: f64, duels: u64) -> (f64, f64) {
    let (mut covered, mut told) = (0.0, 0.0);
    for duel in 0..duels {
        let mut simulation = Simulation::new(duel);
        let (arm, reference) = (simulation.arm(machine, ratio), simulation.arm(machine, 1.0));
        let found = judge(&[estimate(&arm, &reference, &Draws::new(duel))], 0.0, Better::More)[0].unwrap();
        covered += f64::from(u8::from((found.low..=found.high).contains(&ratio)));
        told += f64::from(u8::from(found.verdict != Verdict::NoDifferenceSeen));
    }
    (covered / duels as f64, told / duels as f64)
}

#[test]
fn intervals_hold_the_truth_in_93_to_97_of_100_duels() {
    let twenty = Machine { epochs: 20, blocks: 2, ..ROUGH };
    for machine in [QUIET, ROUGH, twenty, Machine { between: 0.05, ..QUIET }] {
        let (covered, _) = simulate(machine, 1.03, 1000);
        assert!((0.93..=0.97).contains(&covered), "{covered}");
    }
}

#[test]
fn intervals_of_few_epochs_are_wide_enough() {
    for (epochs, machine) in [3, 4, 6].into_iter().flat_map(|epochs| [(epochs, QUIET), (epochs, ROUGH)]) {
        let (covered, _) = simulate(Machine { epochs, blocks: 2, ..machine }, 1.03, 500);
        assert!(covered >= 0.93, "{epochs} epochs: {covered}");
    }
}

#[test]
fn same_against_same_gets_a_verdict_in_less_than_5_of_100_duels() {
    for machine in [QUIET, ROUGH] {
        let (_, told) = simulate(machine, 1.0, 1000);
        assert!(told <= 0.05, "{told}");
    }
}

#[test]
fn eight_copies_of_the_same_together_get_one_in_less_than_5_of_100_duels() {
    let told = (0..400)
        .filter(|&duel| {
            let mut simulation = Simulation::new(duel);
            let reference = simulation.arm(QUIET, 1.0);
            let arms: Vec<Estimate> = (0..8)
                .map(|_| estimate(&simulation.arm(QUIET, 1.0), &reference, &Draws::new(duel)))
                .collect();
            let found = judge(&arms, 0.0, Better::More);
            found.iter().flatten().any(|found| found.verdict != Verdict::NoDifferenceSeen)
        })
        .count();
    // 20 are expected at most; without the correction there would be some sixty.
    assert!(told <= 28, "{told} of 400");
}

#[test]
fn a_large_difference_is_found_in_spite_of_drift_and_outliers() {
    let (_, told) = simulate(ROUGH, 1.15, 200);
    assert!(told > 0.95, "{told}");
}

#[test]
fn a_change_between_two_runs_is_found_and_none_is_not() {
    let mut simulation = Simulation::new(21);
    let mut run =
        |level| estimate(&simulation.arm(QUIET, level), &simulation.arm(QUIET, 1.0), &Draws::new(1));
    let (old, new, same) = (run(0.9), run(1.0), run(0.9));
    let judged = |old, new| judge(&[change(old, new)], 0.0, Better::More)[0];
    let changed = judged(old, new).unwrap();
    assert_eq!(changed.verdict, Verdict::Better);
    assert!(changed.low < 1.0 / 0.9 && 1.0 / 0.9 < changed.high, "{changed:?}");
    assert_eq!(judged(old, same).unwrap().verdict, Verdict::NoDifferenceSeen);
    assert_eq!(judged(old, old).unwrap().verdict, Verdict::NoDifferenceSeen);
    assert_eq!(judged(None, new), None);
}

#[test]
fn arms_that_cannot_be_told_apart_share_a_rank() {
    let mut simulation = Simulation::new(11);
    let levels = [100.0, 80.0, 100.5, 60.0];
    let arms: Vec<Series> = levels.iter().map(|level| simulation.arm(QUIET, *level)).collect();
    let ranked = |better| {
        let apart = |arm: usize, first: usize| {
            told_apart(estimate(&arms[arm], &arms[first], &Draws::new(1)), arms.len(), 0.0, better)
        };
        ranks(&order(&arms, better), apart)
    };
    assert_eq!(ranked(Better::More), [(2, 1), (0, 1), (1, 3), (3, 4)]);
    assert_eq!(ranked(Better::Less), [(3, 1), (1, 2), (0, 3), (2, 3)]);
}

#[test]
fn the_same_estimate_the_other_way_round_is_mirrored() {
    let mut simulation = Simulation::new(13);
    let (arm, reference) = (simulation.arm(ROUGH, 1.1), simulation.arm(ROUGH, 1.0));
    let (interval, _) = estimate(&arm, &reference, &Draws::new(1)).unwrap();
    let (turned, _) = estimate(&reference, &arm, &Draws::new(1)).unwrap();
    let mirrored = interval.inverse();
    assert!((mirrored.centre - turned.centre).abs() < 1e-12);
    // The draws are others, so the errors are alike, not equal.
    assert!((mirrored.low - turned.low).abs() < 0.1 * interval.error, "{mirrored:?} {turned:?}");
}
