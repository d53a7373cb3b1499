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

mod rates;

pub(crate) use rates::{at_rates, queue};

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
        ksoftirqd: None,
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
    assert_eq!(barred.no_verdict.as_deref(), Some("2 of 16 rounds are excluded: failed: gone"));
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
