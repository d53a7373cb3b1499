//! Records of loads at rates, and what is said of capacities.

use super::*;

/// A record of rates, in which an arm answers in `response` milliseconds at one of them in an epoch and a block; infinite for
/// not at all.
pub(crate) fn at_rates(response: impl Fn(&str, f64, usize, usize) -> f64) -> Record {
    let rates = vec![1000.0, 2000.0, 4000.0, 8000.0];
    let mut record = record(|name, epoch, block| Some(mood(name, epoch, block)));
    let objectives = vec!["p99 < 2ms".parse().unwrap()];
    record.setup.contests[0].arrivals = Arrivals::Open { rates: rates.clone(), once: 0, objectives };
    record.setup.contests[0].view = View::Server;
    let closed = std::mem::take(&mut record.lines);
    for line in closed {
        let Line::Round(round) = line else { continue };
        for (step, rate) in rates.iter().enumerate() {
            let mut round = round.clone();
            round.place.step = Some(step);
            round.place.view = View::Server;
            let ms = response(&round.place.arm, *rate, round.place.epoch, round.place.block);
            let mut responses = LatencyHistogram::new();
            if ms.is_finite() {
                (0..500).for_each(|_| responses.record(std::time::Duration::from_secs_f64(ms / 1e3)));
            }
            let unfinished = if ms.is_finite() { 0 } else { 500 };
            let open = OpenRun { planned: 500, response: responses, unfinished, ..OpenRun::default() };
            round.open = Some(OpenLine::new(*rate, &open));
            record.lines.push(Line::Round(round));
        }
    }
    record
}

/// A queue that can take so many thousand a second.
pub(crate) fn queue(most: f64, rate: f64) -> f64 {
    let free = 1.0 - rate / 1000.0 / most;
    if free > 0.0 { 0.3 / free } else { f64::INFINITY }
}

#[test]
fn capacities_are_compared_as_any_measure_and_each_rate_by_itself() {
    let most = |name: &str| if name == "arm" { 4.5 } else { 6.0 };
    let grain = |epoch: usize, block: usize| 1.0 + ((epoch * 5 + block * 3) % 7) as f64 * 1e-3;
    let record = at_rates(|name, rate, epoch, block| queue(most(name), rate) * grain(epoch, block));
    let contests = analyse(&record).unwrap().contests;
    assert_eq!(contests[0].headline, Measure::Capacity);
    assert_eq!(contests[0].title, "session, capacity at p99 < 2ms");
    let arm = contests[0].arms.iter().find(|it| it.arm.name == "arm").unwrap();
    // It takes three quarters. Its rates are doubled from one to the next, far coarser than a duel's, and the highest is not answered at
    // all: so the ratio is not exact.
    let found = &arm.comparisons[&Measure::Capacity];
    assert!((0.55..0.95).contains(&found.ratio) && found.verdict == Verdict::Worse, "{found:?}");
    assert_eq!(arm.rank(), Some(2));
    for contest in &contests[1..] {
        assert!(contest.rate.is_some() && contest.headline == Measure::ResponseP99);
        assert!(contest.title.starts_with("session at "), "{}", contest.title);
    }
}

#[test]
fn what_an_epoch_has_once_stands_for_each_of_its_blocks() {
    // The limit is crossed between the highest rate that an epoch has once and the lowest that each block has.
    let most = |name: &str| if name == "arm" { 3.2 } else { 3.6 };
    let grain = |epoch: usize, block: usize| 1.0 + ((epoch * 5 + block * 3) % 7) as f64 * 1e-3;
    let each = at_rates(|name, rate, epoch, block| {
        queue(most(name), rate) * if rate < 4000.0 { grain(epoch, 0) } else { grain(epoch, block) }
    });
    let mut once = each.clone();
    let Arrivals::Open { once: lowest, .. } = &mut once.setup.contests[0].arrivals else {
        panic!("of rates")
    };
    *lowest = 2;
    once.lines.retain(|line| {
        let Place { block, step, .. } = line.place();
        *block == 0 || *step >= Some(2)
    });
    assert!(once.lines.len() < each.lines.len());
    let said = |record: &Record| {
        let arms = analyse(record).unwrap().contests.swap_remove(0).arms;
        let of_arm = |it: &ArmResult| {
            let against = it.comparisons.get(&Measure::Capacity);
            (it.levels[&Measure::Capacity], against.map(|it| (it.ratio, it.low, it.high)))
        };
        arms.iter().map(of_arm).collect::<Vec<_>>()
    };
    let (each, once) = (said(&each), said(&once));
    assert_eq!(each, once);
    assert!(each.iter().any(|(_, against)| against.is_some_and(|(ratio, ..)| ratio < 0.99)), "{each:?}");
}

#[test]
fn a_moment_in_which_the_machine_stood_still_is_not_an_arms() {
    let calm = at_rates(|_, rate, _, _| queue(6.0, rate));
    let stalled = at_rates(|name, rate, epoch, block| {
        let stall =
            if (name.len() + epoch * 3 + block + rate as usize / 1000).is_multiple_of(6) { 5.0 } else { 0.0 };
        queue(6.0, rate) + if block == 0 { stall } else { 0.0 }
    });
    let level = |record: &Record| analyse(record).unwrap().contests[0].arms[0].levels[&Measure::Capacity];
    // Of one block in two some rate is spoilt; the rate at which most cross the limit is the same.
    assert!((level(&stalled) / level(&calm) - 1.0).abs() < 0.35, "{} {}", level(&stalled), level(&calm));
}

#[test]
fn a_capacity_beyond_the_rates_gives_no_verdict_and_says_where_it_lies() {
    let met = analyse(&at_rates(|_, _, _, _| 1.0)).unwrap().contests;
    let why = met[0].arms[0].no_verdict.clone().unwrap();
    assert!(why.contains("the objective is met at 8000/s too, the highest rate"), "{why}");
    assert_eq!(met[0].arms[0].levels.get(&Measure::Capacity), None);
    let missed = analyse(&at_rates(|_, _, _, _| 9.0)).unwrap().contests;
    let why = missed[0].arms[0].no_verdict.clone().unwrap();
    assert!(why.contains("the objective is missed at 1000/s too, the lowest rate"), "{why}");
}

/// The same record, in which the client of an arm was late from a rate on.
fn late_from(mut record: Record, step: usize) -> Record {
    for line in &mut record.lines {
        let Line::Round(round) = line else { continue };
        if round.place.arm == "arm" && round.place.step >= Some(step) {
            round.excluded = vec![Flag::PACER_LATE.to_owned()];
        }
    }
    record
}

#[test]
fn a_capacity_beyond_what_the_client_can_offer_says_so() {
    let contests = analyse(&late_from(at_rates(|_, _, _, _| 1.0), 2)).unwrap().contests;
    let why = |name: &str| {
        let arm = contests[0].arms.iter().find(|it| it.arm.name == name);
        arm.unwrap().no_verdict.clone().unwrap()
    };
    assert_eq!(why("arm"), "the objective is met at 2000/s too, and at 4000/s and above the client is late");
    assert!(why("reference").contains("the objective is met at 8000/s too"), "{}", why("reference"));
}

#[test]
fn a_client_that_is_late_beyond_the_capacity_takes_nothing_from_it() {
    let grain = |epoch: usize, block: usize| 1.0 + ((epoch * 5 + block * 3) % 7) as f64 * 1e-3;
    // The limit is crossed between 1000 and 2000.
    let record = at_rates(|_, rate, epoch, block| queue(2.1, rate) * grain(epoch, block));
    let said = |record: &Record| {
        let contests = analyse(record).unwrap().contests;
        let arm = contests[0].arms.iter().find(|it| it.arm.name == "arm").unwrap().clone();
        let against = &arm.comparisons[&Measure::Capacity];
        (arm.no_verdict, arm.levels[&Measure::Capacity], against.ratio, against.low, against.high)
    };
    let late = said(&late_from(record.clone(), 2));
    assert_eq!(late.0, None);
    assert_eq!(late, said(&record));
}

#[test]
fn rates_that_an_epoch_has_once_are_no_capacity_by_themselves() {
    let mut record = late_from(at_rates(|_, rate, _, _| queue(2.1, rate)), 2);
    let Arrivals::Open { once, .. } = &mut record.setup.contests[0].arrivals else { panic!("of rates") };
    *once = 2;
    let contests = analyse(&record).unwrap().contests;
    let arm = contests[0].arms.iter().find(|it| it.arm.name == "arm").unwrap();
    assert_eq!(arm.levels.get(&Measure::Capacity), None);
    assert!(arm.no_verdict.is_some());
}

/// The same record, in which the machine spoilt the first tries of every third round of an arm.
fn tried_again(mut record: Record) -> Record {
    let mut rounds = 0;
    let spoilt = |line: Line| {
        let Line::Round(round) = &line else { return vec![line] };
        rounds += usize::from(round.place.arm == "arm");
        if round.place.arm != "arm" || !rounds.is_multiple_of(3) {
            return vec![line];
        }
        let because = |reason: &str| {
            let mut first = round.clone();
            first.excluded = vec![reason.to_owned()];
            Line::Round(first)
        };
        vec![because(Flag::PACER_STOOD_STILL), because(Flag::PACER_LATE), line]
    };
    record.lines = std::mem::take(&mut record.lines).into_iter().flat_map(spoilt).collect();
    record
}

#[test]
fn a_round_that_counts_when_it_is_tried_again_is_not_lost() {
    let grain = |epoch: usize, block: usize| 1.0 + ((epoch * 5 + block * 3) % 7) as f64 * 1e-3;
    let record = at_rates(|name, rate, epoch, block| {
        queue(if name == "arm" { 5.0 } else { 6.0 }, rate) * grain(epoch, block)
    });
    let said = |record: &Record| {
        let contests = analyse(record).unwrap().contests;
        let of_arm = |contest: ContestResult| {
            let arm = contest.arms.into_iter().find(|it| it.arm.name == "arm").unwrap();
            (arm.no_verdict, format!("{:?}", arm.comparisons), arm.rounds, arm.excluded)
        };
        contests.into_iter().map(of_arm).collect::<Vec<_>>()
    };
    let again = said(&tried_again(record.clone()));
    assert!(again[0].0.is_none(), "{:?}", again[0].0);
    for (again, once) in again.iter().zip(said(&record)) {
        assert_eq!((&again.0, &again.1, again.2), (&once.0, &once.1, once.2));
        assert!(once.3.is_empty());
        assert_eq!(
            again.3.keys().collect::<Vec<_>>(),
            [Flag::PACER_LATE, Flag::PACER_STOOD_STILL],
            "the tries are told"
        );
    }
}
