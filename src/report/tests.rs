//! A small fixed record in every format.

use std::path::Path;

use super::*;
use crate::{analysis::analyse, record::Record};

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
