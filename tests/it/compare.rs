//! `ioduel compare` of synthetic records: what changed, what did not, and what cannot be compared.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ioduel::record::{Line, Record, RecordWriter, RoundLine, SCHEMA, Setup};
use serde_json::Value;

use crate::results::Results;

/// Writes a record of eight epochs of two blocks, made of the first round of each arm of the small one. `level` says by how
/// much more an arm does, and `change` what else is different about the run.
fn record(results: &Results, day: &str, level: impl Fn(&str) -> f64, change: impl Fn(&mut Setup)) -> PathBuf {
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/small");
    let mut record = Record::read(&small).unwrap();
    record.setup.schema = SCHEMA;
    record.setup.contests.truncate(1);
    let contest = record.setup.contests[0].clone();
    change(&mut record.setup);
    let mut writer = RecordWriter::create(&results.0, day, &record.setup).unwrap();
    for arm in &contest.arms {
        let is_of_arm = |round: &&RoundLine| {
            let place = &round.place;
            place.arm == arm.name
                && (&place.workload, place.view) == (&contest.workload.name, contest.view)
                && round.excluded.is_empty()
        };
        let rounds = record.lines.iter().filter_map(|line| match line {
            Line::Round(round) => Some(&**round),
            _ => None,
        });
        let one = rounds.into_iter().find(is_of_arm).unwrap();
        for (epoch, block) in (0..8).flat_map(|epoch| [(epoch, 0), (epoch, 1)]) {
            let grain = (arm.name.len() * 7 + epoch * 5 + block * 3 + day.len()) % 11;
            let mut round = one.clone();
            round.place.schema = SCHEMA;
            (round.place.epoch, round.place.block) = (epoch, block);
            let times = level(&arm.name) * (1.0 + grain as f64 * 1e-3);
            round.run.messages = (1e6 * times) as u64;
            writer.append(&[Line::Round(Box::new(round))]).unwrap();
        }
    }
    writer.folder().to_owned()
}

fn compare(old: &Path, new: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ioduel")).arg("compare").args([old, new]).args(words).output().unwrap()
}

fn json(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

/// The verdicts on messages/s, by arm.
fn verdicts(changes: &Value) -> Vec<(&str, &str)> {
    let all = changes["changes"].as_array().unwrap().iter();
    let of_rate = all.filter(|change| change["measure"] == "throughput");
    of_rate.map(|it| (it["arm"].as_str().unwrap(), it["verdict"].as_str().unwrap_or("none"))).collect()
}

#[test]
fn a_slower_arm_is_told_and_fails_ci_and_a_slower_machine_is_not() {
    let results = Results::new("compare-worse");
    let same = |_: &mut Setup| {};
    let old = record(&results, "2026-01-01", |_| 1.0, same);
    let slower_machine = record(&results, "2026-01-02", |_| 0.7, same);
    let slower_arm = record(&results, "2026-01-03", |arm| if arm == "tokio" { 0.9 } else { 1.0 }, same);

    let output = compare(&old, &slower_machine, &["--json", "--fail-on", "worse"]);
    assert_eq!(output.status.code(), Some(0));
    let changes = json(&output);
    assert_eq!(
        verdicts(&changes),
        [("tokio", "indistinguishable"), ("threads", "indistinguishable")],
        "{changes}"
    );

    let output = compare(&old, &slower_arm, &["--json", "--fail-on", "worse"]);
    assert_eq!(output.status.code(), Some(1));
    let changes = json(&output);
    assert_eq!(verdicts(&changes), [("tokio", "worse"), ("threads", "indistinguishable")], "{changes}");
    let tokio = &changes["changes"][0];
    let number = |name: &str| tokio[name].as_f64().unwrap();
    assert!((number("ratio") - 0.9).abs() < 0.01 && number("low") < 0.9 && number("high") > 0.89, "{tokio}");
    assert!(number("needed") < 0.1, "{tokio}");
    assert_eq!(compare(&old, &slower_arm, &[]).status.code(), Some(0), "nothing was to fail");
    assert_eq!(
        compare(&slower_arm, &old, &["--fail-on", "worse"]).status.code(),
        Some(0),
        "better is no worse"
    );
}

#[test]
fn another_kernel_is_a_possible_cause_and_another_window_another_design() {
    let results = Results::new("compare-design");
    let old = record(&results, "2026-01-01", |_| 1.0, |_| {});
    let kernel = record(
        &results,
        "2026-01-02",
        |_| 1.0,
        |setup| {
            setup.environment.kernel = Some("9.9".to_owned());
            setup.environment.crates.insert("tokio".to_owned(), "9.9.9".to_owned());
            setup.warnings.push("a warning is no difference".to_owned());
        },
    );
    let output = compare(&old, &kernel, &["--json"]);
    let changes = json(&output);
    assert_eq!(changes["design_differences"], serde_json::json!([]));
    let causes = changes["possible_causes"].as_array().unwrap();
    let names: Vec<&str> = causes.iter().map(|cause| cause["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["crates.tokio", "kernel"]);
    assert_eq!(verdicts(&changes)[0], ("tokio", "indistinguishable"));
    let told = compare(&old, &kernel, &[]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("possible cause: kernel was "));

    let window = record(&results, "2026-01-03", |_| 1.0, |setup| setup.contests[0].workload.window_ms += 100);
    let output = compare(&old, &window, &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let changes = json(&output);
    assert_eq!(changes["design_differences"][0]["name"], "session: window_ms");
    assert_eq!(verdicts(&changes)[0], ("tokio", "none"));
    let refused = compare(&old, &window, &["--fail-on", "worse"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the design of the two runs differs"));
}
