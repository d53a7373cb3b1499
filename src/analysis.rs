//! What a record says: lines in, levels, comparisons and ranks out; pure.

mod field;
mod ledger;
mod measure;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    load::Workload,
    record::{Arm, Class, Contest, Record, Schedule, View},
    round::Neighbours,
    stats::{Comparison, Estimate, change, judge},
};

pub use field::Field;
pub use measure::{Measure, SessionTime};

/// What a record says.
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// Each contest, in the order of the setup.
    pub contests: Vec<ContestResult>,
}

/// What a contest says.
#[derive(Clone, Debug, Serialize)]
pub struct ContestResult {
    /// The workload's name.
    pub workload: String,
    /// The workload, whole.
    pub shape: Workload,
    /// How its arms took turns.
    pub schedule: Schedule,
    /// The most that others took of the machine in any of its rounds.
    pub neighbours: Neighbours,
    /// The view.
    pub view: View,
    /// The class.
    pub class: Class,
    /// The name of the arm that the others are compared with.
    pub reference: String,
    /// The arms by their ranks by throughput and then by their ratios, the best first; the second copy of the reference last.
    pub arms: Vec<ArmResult>,
    /// What tells the reference from its second copy, which is the same program: this contest is not to be trusted in that.
    pub alarms: Vec<Alarm>,
}

/// A measure by which the reference and its second copy are told apart, with p < 1%.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Alarm {
    /// The measure.
    pub measure: Measure,
    /// The ratio of the second copy to the reference.
    pub ratio: f64,
    /// The lower end of its 95% interval.
    pub low: f64,
    /// The upper end of that.
    pub high: f64,
    /// The probability of a ratio this far from 1, if nothing distinguished the two.
    pub p: f64,
}

impl Alarm {
    fn new(measure: Measure, found: &Comparison, p: f64) -> Self {
        Self { measure, ratio: found.ratio, low: found.low, high: found.high, p }
    }
}

impl ContestResult {
    /// The measures that a short table shows: where sessions are short, their time is what a client waits for, and a round
    /// trip is only a part of it, which is the shorter the longer a connection waits before its first.
    pub fn shown(&self) -> [Measure; 4] {
        let of_sessions = self.arms.iter().any(|arm| arm.levels.contains_key(&Measure::SessionP50));
        let [median, tail] = if of_sessions {
            [Measure::SessionP50, Measure::SessionP99]
        } else {
            [Measure::RoundTripP50, Measure::RoundTripP99]
        };
        [Measure::Throughput, median, tail, Measure::ServerCpu]
    }
}

/// What is known of an arm.
#[derive(Clone, Debug, Serialize)]
pub struct ArmResult {
    /// The arm.
    pub arm: Arm,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds that were excluded or failed, and how many for each reason.
    pub excluded: BTreeMap<String, usize>,
    /// Why there is no verdict, where there is none.
    pub no_verdict: Option<String>,
    /// Whether the client was the bottleneck in most rounds: the server could have done more.
    pub client_bound: bool,
    /// Its rank among the arms but the copy, by each measure; ties share one.
    pub ranks: BTreeMap<Measure, usize>,
    /// What was measured over all its rounds.
    pub levels: BTreeMap<Measure, f64>,
    /// Where the time of a session goes, where sessions count.
    pub session_time: Option<SessionTime>,
    /// The longest round trip, in µs: also of one that had not ended when its window closed.
    pub longest_us: f64,
    /// How it compares with the reference; nothing for the reference itself.
    pub comparisons: BTreeMap<Measure, Comparison>,
}

impl ArmResult {
    /// Its rank by throughput.
    pub fn rank(&self) -> Option<usize> {
        self.ranks.get(&Measure::Throughput).copied()
    }
}

/// Analyses a record; the same record gives the same analysis, whatever the order of its lines.
///
/// # Errors
/// When a histogram cannot be decoded, or two rounds claim the same place.
pub fn analyse(record: &Record) -> anyhow::Result<Analysis> {
    Ok(Analysis { contests: each_contest(record, |field| field.result())? })
}

/// Reads each contest of a record and looks at it, several at a time; what came of them is in the order of the setup.
///
/// # Errors
/// As [`analyse`].
pub fn each_contest<'a, T: Send>(
    record: &'a Record,
    look: impl Fn(Field<'a>) -> T + Sync,
) -> anyhow::Result<Vec<T>> {
    let contests = record.setup.contests.par_iter();
    contests.map(|contest| Ok(look(Field::read(contest, record)?))).collect()
}

/// How the ratio of an arm to its reference changed from one run to another.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The workload's name.
    pub workload: String,
    /// The view.
    pub view: View,
    /// The class.
    pub class: Class,
    /// The arm's name.
    pub arm: String,
    /// What is compared.
    pub measure: Measure,
    /// The new ratio to the old one.
    pub comparison: Comparison,
}

/// Compares two records arm by arm, each arm by its ratio to the reference: levels drift with the machine from one run to the
/// next. Whether their designs allow that is for [`crate::record::Setup::differences`] to say.
///
/// # Errors
/// When a histogram cannot be decoded, or the records have no contest with the same reference in common.
pub fn changes(old: &Record, new: &Record) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for contest in &new.setup.contests {
        let same = |other: &&Contest| other.is_same(contest) && other.arms.first() == contest.arms.first();
        let Some(before) = old.setup.contests.iter().find(same) else { continue };
        let (was, is) = (Field::read(before, old)?, Field::read(contest, new)?);
        for measure in Measure::ALL {
            changes.extend(changes_by(measure, &was, &is));
        }
    }
    anyhow::ensure!(
        !changes.is_empty(),
        "the two runs have no arm with the same reference and enough epochs in common; a record of format 1 has no classes, and \
         none in common with a later one"
    );
    Ok(changes)
}

/// Compares the arms that two runs of a contest have in common, by one measure.
fn changes_by(measure: Measure, was: &Field<'_>, is: &Field<'_>) -> Vec<Change> {
    let contest = is.contest();
    let before =
        |arm: usize| was.arms().into_iter().find(|old| was.contest().arms[*old] == contest.arms[arm]);
    let pairs: Vec<(usize, usize)> =
        is.arms().into_iter().filter(|arm| *arm > 0).filter_map(|arm| Some((before(arm)?, arm))).collect();
    let both = |(old, new): &(usize, usize)| was.estimate(measure, *old).zip(is.estimate(measure, *new));
    let estimates: Vec<Option<Estimate>> =
        pairs.iter().map(|pair| both(pair).map(|(old, new)| change(old, new))).collect();
    let found = judge(&estimates, measure.better());
    let named = pairs.iter().zip(found).filter_map(|((_, arm), comparison)| {
        Some(Change {
            workload: contest.workload.name.clone(),
            view: contest.view,
            class: contest.class,
            arm: contest.arms[*arm].name.clone(),
            measure,
            comparison: comparison?,
        })
    });
    named.collect()
}

#[cfg(test)]
mod tests;
