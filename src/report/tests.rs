//! A small fixed record in every format.

use std::path::Path;

use super::*;
use crate::{
    analysis::{analyse, tests::record_of},
    record::Record,
};

/// A small record: three backends, two workloads, both views, a matrix, a round set aside and one that failed.
pub(super) fn small() -> Record {
    let record = Record::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/small")).unwrap();
    assert_eq!(record.damage, None);
    record
}

#[test]
fn what_a_terminal_shows_fits_into_it() {
    let record = small();
    let analysis = analyse(&record).unwrap();
    for columns in [60, 80, 100, 200] {
        let shown = text(&record.setup, &analysis, columns);
        let widest = shown.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(columns.min(100)), "{shown}");
        insta::assert_snapshot!(format!("text-{columns}"), shown);
    }
}

#[test]
fn every_format_stays_as_it_is() {
    let record = small();
    let analysis = analyse(&record).unwrap();
    let pretty = |value| serde_json::to_string_pretty(&value).unwrap();
    insta::assert_snapshot!("markdown", markdown(&record.setup, &analysis));
    insta::assert_snapshot!("csv", csv(&analysis));
    insta::assert_snapshot!("bmf", pretty(bencher(&analysis)));
    insta::assert_snapshot!("github-action-benchmark", pretty(github_action_benchmark(&analysis)));
}

#[test]
fn a_comparison_that_never_began_is_a_sentence_without_a_table() {
    let mut record = small();
    let mut never = record.setup.contests[0].clone();
    never.workload.name = "never".to_owned();
    record.setup.contests.push(never);
    let analysis = analyse(&record).unwrap();
    for shown in [text(&record.setup, &analysis, 100), markdown(&record.setup, &analysis)] {
        let parts: Vec<&str> =
            shown.split("Not measured: the duel ended before this comparison began.").collect();
        assert_eq!(parts.len(), 2, "{shown}");
        let next = parts[1].lines().find(|line| !line.is_empty()).unwrap();
        let is_table = next.trim_start().starts_with("rank") || next.starts_with('|');
        assert!(!is_table && !parts[1].contains("no verdict"), "{shown}");
    }
}

#[test]
fn backends_without_a_verdict_for_one_reason_share_a_sentence() {
    let record = record_of(&["reference", "one", "other", "sound"], |name, epoch, block| {
        let is_lost = ["one", "other"].contains(&name);
        (!is_lost).then_some(100.0 + (epoch + block) as f64)
    });
    let analysis = analyse(&record).unwrap();
    let said = words::no_verdict_words(&analysis.contests[0]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("one and other have no verdict: "), "{said:?}");
}
