//! Known answers, and what holds of any duel, however strange.

use proptest::prelude::*;

use super::{bootstrap::trimmed_mean, *};

/// Judges arms against a reference that has a second copy.
fn judged(reference: &Series, copy: Option<&Series>, others: &[Series], better: Better) -> Judgement {
    let measured = Measured { reference: reference.clone(), copy: copy.cloned(), others: others.to_vec() };
    Judgement::of(&measured, better, &Draws::new(1))
}

/// A series of which each value is so many times the other's.
fn times(series: &Series, factor: f64) -> Series {
    series.iter().map(|blocks| blocks.iter().map(|it| it.map(|it| it * factor)).collect()).collect()
}

fn steps(epochs: usize, blocks: usize) -> Series {
    (1..=epochs).map(|epoch| vec![Some(epoch as f64); blocks]).collect()
}

#[test]
fn a_fifth_is_trimmed_at_each_end() {
    assert_eq!(trimmed_mean(&[1.0, 2.0, 3.0, 4.0, 1000.0]), 3.0);
    assert_eq!(trimmed_mean(&[5.0]), 5.0);
    assert_eq!(trimmed_mean(&[1.0, 2.0, 3.0, 4.0]), 2.5, "a fifth of four is none");
    assert!(trimmed_mean(&[]).is_nan());
}

#[test]
fn a_level_is_of_the_middle_of_the_logarithms() {
    let of = |values: &[f64]| level(values.iter().copied());
    let near = |value: Option<f64>, is: f64| assert!((value.unwrap() / is - 1.0).abs() < 1e-12, "{value:?}");
    near(of(&[1.0, 10.0, 100.0]), 10.0);
    near(of(&[2.0, 2.0, 2.0, 2.0, 1e9]), 2.0);
    near(of(&[3.0, 0.0]), 3.0);
    near(of(&[2.0, 2.0, 2.0, 2.0, f64::INFINITY]), 2.0);
    assert_eq!(of(&[2.0, 2.0, 2.0, f64::INFINITY]), None, "of four none is left out");
    assert_eq!((of(&[0.0, 0.0]), of(&[])), (Some(0.0), None));
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
    let reference = steps(6, 3);
    let double = times(&reference, 2.0);
    let found = judged(&reference, Some(&reference), std::slice::from_ref(&double), Better::More)
        .comparison(1, 0)
        .unwrap();
    assert!((found.ratio - 2.0).abs() < 1e-12 && (found.low - found.high).abs() < 1e-9, "{found:?}");
    assert_eq!((found.verdict, found.blocks), (Verdict::Better, 18));
    let slower = judged(&reference, Some(&reference), &[double], Better::Less).comparison(1, 0).unwrap();
    assert_eq!(slower.verdict, Verdict::Worse);
}

#[test]
fn the_copies_of_the_reference_are_one() {
    let reference = steps(6, 3);
    let copy = times(&reference, 1.21);
    let arm = times(&reference, 1.1);
    let found = judged(&reference, Some(&copy), std::slice::from_ref(&arm), Better::More);
    let compared = found.comparison(1, 0).unwrap();
    assert!((compared.ratio - 1.0).abs() < 1e-12 && compared.blocks == 18, "{compared:?}");
    let (copies, p) = found.copy(1).unwrap();
    assert!((copies.ratio - 1.21).abs() < 1e-12 && copies.verdict == Verdict::Better && p < 0.01);
    // By many measures together it takes more to be an alarm than by one.
    let drawn = |percent: i32| {
        let noise = |epoch: usize, block: usize| {
            1.0 + 0.01 * f64::from((7 * epoch as i32 + 3 * block as i32) % 5 - 2)
        };
        let blocks = |(epoch, blocks): (usize, &Vec<Option<f64>>)| {
            let of = |(block, value): (usize, &Option<f64>)| value.map(|value| value * noise(epoch, block));
            blocks.iter().enumerate().map(of).collect()
        };
        let noisy: Series = reference.iter().enumerate().map(blocks).collect();
        let copy = times(&noisy, 1.0 + f64::from(percent) / 1000.0);
        judged(&reference, Some(&copy), std::slice::from_ref(&arm), Better::More)
    };
    let is_alarm =
        |percent, measures| drawn(percent).copy(measures).is_some_and(|(found, _)| found.verdict.is_told());
    let least = |measures| (0..100).find(|percent| is_alarm(*percent, measures)).unwrap();
    assert!(least(1) > 0 && least(13) > least(1), "{} and {}", least(1), least(13));
    // A block that one copy lacks is compared with the other.
    let missing: Series = copy.iter().map(|blocks| vec![None; blocks.len()]).collect();
    let alone = judged(&reference, Some(&missing), &[arm], Better::More);
    assert!((alone.comparison(1, 0).unwrap().ratio - 1.1).abs() < 1e-12 && alone.copy(1).is_none());
}

#[test]
fn too_few_epochs_say_nothing() {
    let two: Series = vec![vec![Some(1.0); 50]; 2];
    let excluded: Series = vec![vec![None; 5]; 10];
    let none: Series = Vec::new();
    for series in [two, excluded, none] {
        let found = judged(&series, Some(&series), std::slice::from_ref(&series), Better::More);
        assert!(
            found.comparison(1, 0).is_none() && found.copy(1).is_none() && found.ranks(|_| true).is_empty()
        );
    }
}

#[test]
fn a_block_in_ten_that_is_ten_times_slower_moves_no_ratio_by_a_hundredth() {
    let reference = steps(8, 10);
    let mut arm = times(&reference, 0.9);
    arm.iter_mut().enumerate().for_each(|(epoch, blocks)| blocks[epoch] = blocks[epoch].map(|it| it / 10.0));
    let found = judged(&reference, None, &[arm], Better::More).comparison(1, 0).unwrap();
    assert!((found.ratio / 0.9 - 1.0).abs() < 0.01 && found.verdict == Verdict::Worse, "{found:?}");
}

#[test]
fn a_change_between_two_runs_adds_their_errors() {
    let estimate = |centre, error, freedom| Estimate { centre, error, freedom, blocks: 10 };
    let changed = change(estimate(0.1, 0.03, 9.0), estimate(0.3, 0.04, 9.0));
    assert!((changed.centre - 0.2).abs() < 1e-12 && (changed.error - 0.05).abs() < 1e-12);
    // Welch's degrees of freedom are between the least and the sum.
    assert!(changed.freedom > 9.0 && changed.freedom < 18.0, "{changed:?}");
    assert_eq!((changed.blocks, change(changed, changed).centre), (20, 0.0));
}

/// A duel of up to 12 arms, with what can go wrong in one: blocks that are missing, outliers, ties, series that are constant or
/// have nothing, few epochs.
fn duels() -> impl Strategy<Value = (Measured, Better)> {
    let value = prop_oneof![
        1 => Just(None),
        1 => Just(Some(1.0)),
        1 => prop_oneof![Just(Some(0.0)), Just(Some(f64::MAX)), Just(Some(f64::MIN_POSITIVE)), Just(Some(1e6))],
        12 => (0.97f64..1.03).prop_map(Some),
    ];
    let shape = (0usize..12, 1usize..11, 1usize..4, any::<bool>(), any::<bool>());
    shape.prop_flat_map(move |(arms, epochs, blocks, has_copy, more)| {
        let series = proptest::collection::vec(proptest::collection::vec(value.clone(), blocks), epochs);
        let arm = (series.clone(), 0u8..10, 0.8f64..1.25).prop_map(|(series, kind, level)| match kind {
            0 => series.iter().map(|blocks| vec![Some(level); blocks.len()]).collect(),
            1 => series.iter().map(|blocks| vec![None; blocks.len()]).collect(),
            2..6 => times(&series, level),
            _ => series,
        });
        let copy = series.clone().prop_map(move |copy| has_copy.then_some(copy));
        let better = if more { Better::More } else { Better::Less };
        (series, copy, proptest::collection::vec(arm, arms))
            .prop_map(move |(reference, copy, others)| (Measured { reference, copy, others }, better))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranks_marks_and_intervals_never_contradict_each_other((measured, better) in duels()) {
        let judgement = Judgement::of(&measured, better, &Draws::new(7));
        let ranks = judgement.ranks(|_| true);
        let rank = |arm: usize| ranks.iter().find(|(is, _)| *is == arm).map(|(_, rank)| *rank);
        for (&(arm, own), place) in ranks.iter().zip(0..) {
            prop_assert!(!judgement.is_better(arm, arm), "claims lead back to {arm}");
            prop_assert!(place == 0 || ranks[place - 1].1 <= own, "not in order");
            for &(other, others) in &ranks {
                let Some(found) = judgement.comparison(arm, other) else { continue };
                // Mirrored, and with additive centres.
                let mirrored = judgement.comparison(other, arm).unwrap();
                prop_assert!((found.ratio.ln() + mirrored.ratio.ln()).abs() < 1e-9);
                prop_assert_eq!(found.verdict.is_told(), mirrored.verdict.is_told());
                // Whoever is told worse ranks behind, whoever is told better before.
                prop_assert!(found.verdict != Verdict::Worse || own > others, "{arm} {other} {ranks:?}");
                prop_assert!(found.verdict != Verdict::Better || own < others, "{arm} {other} {ranks:?}");
                agrees_with_itself(&found)?;
            }
        }
        prop_assert_eq!(rank(0).is_some(), !ranks.is_empty());
        // Of some, whoever is left out counts for nothing, and the same holds.
        let some = judgement.ranks(|arm| arm % 2 == 1);
        for &(arm, own) in &some {
            prop_assert!(arm % 2 == 1);
            prop_assert_eq!(own, 1 + some.iter().filter(|(other, _)| judgement.is_better(*other, arm)).count());
            prop_assert!(some.iter().all(|(other, others)| !judgement.is_better(*other, arm) || *others < own));
        }
        if let Some((copies, _)) = judgement.copy(1) {
            agrees_with_itself(&copies)?;
        }
    }

    #[test]
    fn the_order_of_arms_decides_nothing((measured, better) in duels()) {
        let turned = Measured { others: measured.others.iter().rev().cloned().collect(), ..measured.clone() };
        let arms = measured.others.len();
        let number = |arm: usize| if arm == 0 { 0 } else { arms + 1 - arm };
        let judge = |measured| Judgement::of(measured, better, &Draws::new(7));
        let (one, other) = (judge(&measured), judge(&turned));
        let sorted = |ranks: Vec<(usize, usize)>| {
            let mut ranks = ranks;
            ranks.sort_unstable();
            ranks
        };
        let renamed = other.ranks(|_| true).into_iter().map(|(arm, rank)| (number(arm), rank)).collect();
        prop_assert_eq!(sorted(one.ranks(|_| true)), sorted(renamed));
    }
}

/// A verdict is a ratio beyond what was needed, on its own side; a mark agrees with its interval.
fn agrees_with_itself(found: &Comparison) -> Result<(), TestCaseError> {
    let effect = (found.ratio - 1.0).abs();
    let rounding = 1e-9 * (1.0 + found.ratio);
    if found.verdict.is_told() {
        prop_assert!(effect >= found.needed - rounding, "{found:?}");
    } else {
        prop_assert!(effect <= found.needed + rounding, "{found:?}");
    }
    let leaves_out = found.low > 1.0 || found.high < 1.0;
    prop_assert_eq!(leaves_out, found.verdict != Verdict::Indistinguishable, "{:?}", found);
    Ok(())
}
