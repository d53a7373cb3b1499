//! Records with known answers.

use proptest::prelude::*;

use super::*;
use crate::{
    agent::Cost,
    environment::Environment,
    load::{LatencyHistogram, LoadRun, OpenRun},
    net::PortLimit,
    placement::Placement,
    record::{
        Arrivals, EncodedHistogram, Line, OpenLine, Place, RoundLine, RunLine, SCHEMA, Schedule, Setup,
    },
    round::Flag,
    stats::Verdict,
};

pub(crate) const EPOCHS: usize = 8;

fn arm(name: &str, copy: bool) -> Arm {
    Arm {
        name: name.to_owned(),
        server: "mio".to_owned(),
        client: "mio".to_owned(),
        server_workers: None,
        client_workers: None,
        copy,
        burn_ns: 0,
        server_cpus: None,
        void: None,
    }
}

/// A record of a reference, an arm and a second copy, in which `level` says what an arm does in an epoch and a block.
fn record(level: impl Fn(&str, usize, usize) -> Option<f64>) -> Record {
    record_of(&["reference", "arm"], level)
}

/// The same with these arms, the reference first.
pub(crate) fn record_of(names: &[&str], level: impl Fn(&str, usize, usize) -> Option<f64>) -> Record {
    let named = names.iter().map(|name| arm(name, false));
    let arms: Vec<Arm> = named.chain([arm("again", true)]).collect();
    let mut lines = Vec::new();
    for (epoch, block) in (0..EPOCHS).flat_map(|epoch| [(epoch, 0), (epoch, 1)]) {
        for (turn, arm) in arms.iter().enumerate() {
            let place = Place {
                schema: SCHEMA,
                workload: "session".to_owned(),
                view: View::Own,
                class: Class::Single,
                arm: arm.name.clone(),
                epoch,
                block,
                turn,
                step: None,
            };
            lines.push(match level(&arm.name, epoch, block) {
                Some(level) => Line::Round(Box::new(round(place, level))),
                None => Line::Failed { place, error: "gone".to_owned() },
            });
        }
    }
    let setup = Setup {
        schema: SCHEMA,
        began: String::new(),
        command_line: Vec::new(),
        seed: 3,
        server_exec: None,
        server_address: None,
        client_exec: Vec::new(),
        contests: vec![Contest {
            workload: Workload::default(),
            arrivals: Arrivals::Closed,
            schedule: Schedule::Rounds { blocks: 2 },
            view: View::Own,
            class: Class::Single,
            placement: Placement { server: None, client: None },
            arms,
        }],
        contestants: BTreeMap::new(),
        skipped: BTreeMap::new(),
        warnings: Vec::new(),
        environment: Environment::default(),
        elsewhere: BTreeMap::new(),
    };
    Record { setup, lines, footprint: None, damage: None }
}

/// A second in which so many thousand messages were answered, each in as much less time.
pub(crate) fn round(place: Place, level: f64) -> RoundLine {
    let mut histogram = LatencyHistogram::new();
    histogram.record(std::time::Duration::from_secs_f64(1e-3 / level));
    let messages = (level * 1000.0).round() as u64;
    let run = LoadRun {
        sessions: messages / 8,
        messages,
        messages_in_all: messages,
        window_s: 1.0,
        elapsed_s: 1.0,
        connect: LatencyHistogram::new(),
        round_trip: histogram.clone(),
        session: histogram,
        close: LatencyHistogram::new(),
        unfinished: LatencyHistogram::new(),
        failures: 0,
        first_failure: None,
        port_limit: PortLimit::towards(&[]),
        open: None,
    };
    RoundLine {
        place,
        run: RunLine::new(&run),
        server: Cost { user_s: 0.5, ..Cost::default() },
        client: Cost { user_s: 0.5, ..Cost::default() },
        slices: Vec::new(),
        server_switches_per_message: None,
        steal: None,
        others: None,
        cpu_pressure: None,
        throttled: None,
        flags: Vec::new(),
        excluded: Vec::new(),
        client_bound: false,
        open: None,
        worker_spread: None,
        timer_lateness: EncodedHistogram::default(),
        begun_apart: None,
        idle_kernel_bytes: None,
    }
}

/// What a machine does to all arms alike, and a little that it doesn't.
fn mood(name: &str, epoch: usize, block: usize) -> f64 {
    let grain = (name.len() * 7 + epoch * 5 + block * 3) % 11;
    (100.0 + epoch as f64 * 10.0) * (1.0 + grain as f64 * 1e-4)
}

fn result(record: &Record, name: &str) -> ArmResult {
    let contests = analyse(record).unwrap().contests;
    contests[0].arms.iter().find(|result| result.arm.name == name).unwrap().clone()
}

#[test]
fn a_known_ratio_is_found_through_drift() {
    let record =
        record(|name, epoch, block| Some(mood(name, epoch, block) * if name == "arm" { 0.9 } else { 1.0 }));
    let arm = result(&record, "arm");
    let throughput = arm.comparisons[&Measure::Throughput];
    assert!((throughput.ratio - 0.9).abs() < 0.002, "{throughput:?}");
    assert_eq!(throughput.verdict, Verdict::Worse);
    assert_eq!(arm.comparisons[&Measure::RoundTripP50].verdict, Verdict::Worse);
    assert_eq!((arm.rank(), result(&record, "reference").rank()), (Some(2), Some(1)));
    assert_eq!(
        result(&record, "again").comparisons[&Measure::Throughput].verdict,
        Verdict::Indistinguishable
    );
}

#[test]
fn the_order_of_lines_decides_nothing() {
    let one = record(|name, epoch, block| Some(mood(name, epoch, block)));
    let mut other = one.clone();
    other.lines.reverse();
    let json = |record: &Record| serde_json::to_string(&analyse(record).unwrap()).unwrap();
    assert_eq!(json(&one), json(&other));
}

#[test]
fn copies_that_differ_are_an_alarm_and_no_more() {
    let of = |factor: f64| {
        record(move |name, epoch, block| {
            Some(mood(name, epoch, block) * if name == "again" { factor } else { 1.0 })
        })
    };
    let alarms = |record: &Record| analyse(record).unwrap().contests[0].alarms.clone();
    assert!(alarms(&of(1.0)).is_empty());
    let told = alarms(&of(1.1));
    let throughput = told.iter().find(|alarm| alarm.measure == Measure::Throughput).unwrap();
    assert!((throughput.ratio - 1.1).abs() < 0.002 && throughput.p < 0.01, "{throughput:?}");
    assert!(throughput.low < throughput.ratio && throughput.ratio < throughput.high);
    let again = result(&of(1.1), "again");
    assert_eq!(again.comparisons[&Measure::Throughput].verdict, Verdict::Better);
    assert!(again.ranks.is_empty(), "a copy is never ranked");
    // The arm is as fast as the first copy, and half of the reference is the other.
    let arm = result(&of(1.1), "arm").comparisons[&Measure::Throughput];
    assert!((arm.ratio - 1.1_f64.powf(-0.5)).abs() < 0.002, "{arm:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranks_and_verdicts_of_a_record_agree_whatever_the_order_of_its_lines(
        levels in proptest::collection::vec(proptest::option::weighted(0.97, 0.5f64..2.0), EPOCHS * 6),
        seed in any::<u64>(),
    ) {
        let arms = ["reference", "arm", "again"];
        let place = |name: &str, epoch: usize, block: usize| {
            arms.iter().position(|is| *is == name).unwrap_or(0) + 3 * (epoch * 2 + block)
        };
        let one = record(|name, epoch, block| levels[place(name, epoch, block)]);
        let mut other = one.clone();
        other.lines.rotate_left(seed as usize % one.lines.len());
        other.lines.reverse();
        let [one, other] = [one, other].map(|record| analyse(&record).unwrap());
        prop_assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
        let arms = &one.contests[0].arms;
        let find = |name: &str| arms.iter().find(|arm| arm.arm.name == name).unwrap();
        let (reference, arm) = (find("reference"), find("arm"));
        for (measure, found) in &arm.comparisons {
            let ranks = (reference.ranks[measure], arm.ranks[measure]);
            prop_assert_eq!(ranks, match found.verdict {
                Verdict::Better => (2, 1),
                Verdict::Worse => (1, 2),
                _ => (1, 1),
            });
        }
        // Whoever divides two levels of a table finds the ratio that stands there.
        for arm in [arm, find("again")] {
            for (measure, found) in &arm.comparisons {
                let divided = arm.levels[measure] / reference.levels[measure];
                prop_assert!((divided / found.ratio - 1.0).abs() < 1e-9, "{measure:?}: {divided}, {found:?}");
            }
        }
    }
}

#[test]
fn more_than_a_tenth_excluded_is_no_verdict_and_says_why() {
    let lost = |epochs: usize| {
        record(move |name, epoch, block| {
            (name != "arm" || block == 1 || epoch >= epochs).then(|| mood(name, epoch, block))
        })
    };
    // One of sixteen rounds, then two.
    assert_eq!(result(&lost(1), "arm").no_verdict, None);
    let barred = result(&lost(2), "arm");
    assert_eq!(
        barred.no_verdict.as_deref(),
        Some("2 of 16 rounds were excluded, most for this: failed: gone")
    );
    assert!(barred.comparisons.is_empty() && barred.ranks.is_empty());
    assert_eq!(barred.rounds, 14);
}

#[test]
fn without_the_reference_or_its_copy_nobody_gets_a_verdict() {
    for compared_with in ["reference", "again"] {
        let record = record(|name, epoch, block| (name != compared_with).then(|| mood(name, epoch, block)));
        let why = result(&record, "arm").no_verdict.unwrap();
        assert!(
            why.starts_with(&format!("nothing to compare with: {compared_with}: 16 of 16 rounds")),
            "{why}"
        );
    }
}

#[test]
fn what_was_not_measured_has_no_level() {
    let record = record(|name, epoch, block| Some(mood(name, epoch, block)));
    let arm = result(&record, "arm");
    assert!(!arm.levels.contains_key(&Measure::ConnectP50), "no connect was recorded: {:?}", arm.levels);
    assert!(arm.levels.contains_key(&Measure::SessionP50));
}

#[test]
fn two_rounds_in_one_place_are_an_error() {
    let mut record = record(|name, epoch, block| Some(mood(name, epoch, block)));
    record.lines.push(record.lines[0].clone());
    let error = analyse(&record).unwrap_err().to_string();
    assert_eq!(error, "reference has two rounds in block 0 of epoch 0");
}

#[test]
fn a_change_between_records_is_one_of_the_ratio_and_not_of_the_level() {
    let of = |speed: f64, ratio: f64| {
        record(move |name, epoch, block| {
            Some(mood(name, epoch, block) * speed * if name == "arm" { ratio } else { 1.0 })
        })
    };
    let throughput = |old: &Record, new: &Record| {
        let changes = changes(old, new).unwrap();
        changes.into_iter().find(|change| change.measure == Measure::Throughput).unwrap().comparison
    };
    let (old, faster_machine, faster_arm) = (of(1.0, 0.8), of(1.5, 0.8), of(1.0, 0.9));
    assert_eq!(throughput(&old, &faster_machine).verdict, Verdict::Indistinguishable);
    let changed = throughput(&old, &faster_arm);
    assert!((changed.ratio - 0.9 / 0.8).abs() < 0.003, "{changed:?}");
    assert_eq!(changed.verdict, Verdict::Better);
}

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
    assert!(why.contains("meets the objective at 8000/s too, the highest rate"), "{why}");
    assert_eq!(met[0].arms[0].levels.get(&Measure::Capacity), None);
    let missed = analyse(&at_rates(|_, _, _, _| 9.0)).unwrap().contests;
    let why = missed[0].arms[0].no_verdict.clone().unwrap();
    assert!(why.contains("misses the objective at 1000/s too, the lowest rate"), "{why}");
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
    assert_eq!(
        why("arm"),
        "it meets the objective at 2000/s too, and at 4000/s and above the client is late"
    );
    assert!(why("reference").contains("meets the objective at 8000/s too"), "{}", why("reference"));
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
