//! What a record says: lines in, levels, comparisons and ranks out; pure.

mod arm_rounds;
mod balance;
mod capacities;
mod compared;
mod measure;
mod merged;
mod scaling;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    load::{Objective, SHARES, Workload},
    record::{Arm, Class, Contest, Record, Schedule, View},
    round::{BegunApart, Neighbours},
    stats::{Comparison, Estimate, change, judge},
};

pub use arm_rounds::Scope;
#[cfg(test)]
pub(crate) use capacities::Capacities;
pub use compared::{Compared, ResponsePoint};
pub use measure::Measure;
pub use merged::{ResponseTime, SessionTime};
pub use scaling::ScalingPoint;

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
    /// How far apart several clients began in the round in which they did most; absent for one.
    pub begun_apart: Option<BegunApart>,
    /// What a silent connection took of the kernel's own memory, both ends together, in bytes; absent where that is not known.
    pub idle_kernel_bytes: Option<f64>,
    /// The view.
    pub view: View,
    /// The class.
    pub class: Class,
    /// The measure that its arms are ranked by.
    pub headline: Measure,
    /// The rate that was offered, in messages per second; absent where it is none, or all of the contest's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The workload's name, and what tells this from other contests of it: the rate that was offered, or the objective.
    pub title: String,
    /// What the capacity is the highest rate of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<Objective>,
    /// The name of the arm that the others are compared with.
    pub reference: String,
    /// The arms by their ranks by the headline and then by their ratios, the best first; the second copy of the reference last.
    pub arms: Vec<ArmResult>,
    /// What more workers are worth, where arms differ by them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scaling: Vec<ScalingPoint>,
    /// What tells the reference from its second copy, which is the same program: this contest is not to be trusted in that.
    pub alarms: Vec<Alarm>,
}

/// A measure by which the reference and its second copy are told apart, with p < 1% after correction for the number of measures.
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
    /// Whether any round of it was run, were it one that does not count.
    pub fn is_measured(&self) -> bool {
        self.arms.iter().any(|arm| arm.rounds > 0 || !arm.excluded.is_empty())
    }

    /// The measures that a short table shows, the headline first. Where sessions are short, their time is what a client waits
    /// for, and a round trip is only a part of it, which is the shorter the longer a connection waits before its first.
    pub fn shown(&self) -> Vec<Measure> {
        let has = |measure: &Measure| self.arms.iter().any(|arm| arm.levels.contains_key(measure));
        match self.headline {
            Measure::Capacity => vec![Measure::Capacity],
            Measure::ResponseP99 => {
                let all =
                    [Measure::ResponseP99, Measure::ResponseP50, Measure::ServerCpu, Measure::ServerMemory];
                all.into_iter().chain([Measure::TimerP50].into_iter().filter(has)).collect()
            }
            _ if has(&Measure::SessionP50) => {
                vec![Measure::Throughput, Measure::SessionP50, Measure::SessionP99, Measure::ServerCpu]
            }
            _ => vec![Measure::Throughput, Measure::RoundTripP50, Measure::RoundTripP99, Measure::ServerCpu],
        }
    }

    /// The measure of the slowest hundredth that a short table shows beside its headline; nothing where arms are ranked by it, or
    /// it was not measured.
    pub fn tail(&self) -> Option<Measure> {
        let is_tail = |measure: &Measure| matches!(measure, Measure::SessionP99 | Measure::RoundTripP99);
        let is_compared =
            |measure: &Measure| self.arms.iter().any(|arm| arm.comparisons.contains_key(measure));
        self.shown().into_iter().filter(is_tail).find(is_compared)
    }
}

/// What is known of an arm.
#[derive(Clone, Debug, Serialize)]
pub struct ArmResult {
    /// The arm.
    pub arm: Arm,
    /// The measure that it is ranked by.
    #[serde(skip)]
    pub headline: Measure,
    /// The class of its contest.
    #[serde(skip)]
    pub class: Class,
    /// Whether it is not ranked, and shown apart: a loop by hand, which no service can depend on.
    pub floor: bool,
    /// Whether what its server rests on is actively maintained, as far as the record says.
    pub maintained: bool,
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
    /// The arms that it is told better than, by each measure, directly or by way of others.
    pub better_than: BTreeMap<Measure, Vec<String>>,
    /// What was measured over all its rounds.
    pub levels: BTreeMap<Measure, f64>,
    /// Where the time of a session goes, where sessions count.
    pub session_time: Option<SessionTime>,
    /// Where the time of a message goes, at a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_time: Option<ResponseTime>,
    /// The longest round trip, in µs: also of one that had not ended when its window closed.
    pub longest_us: f64,
    /// How it compares with the reference; nothing for the reference itself.
    pub comparisons: BTreeMap<Measure, Comparison>,
}

impl ArmResult {
    /// Its rank by the headline of its contest; none where arms differ by their workers, and more are no better a backend.
    pub fn rank(&self) -> Option<usize> {
        self.ranks.get(&self.headline).copied().filter(|_| self.class != Class::Scaling)
    }
}

/// Who is ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranked {
    /// What a service can depend on: all but the loops by hand, where there are two others at least.
    #[default]
    Dependable,
    /// Everyone.
    Everyone,
}

/// Analyses a record; the same record gives the same analysis, whatever the order of its lines.
///
/// # Errors
/// When a histogram cannot be decoded, or two rounds claim the same place.
pub fn analyse(record: &Record) -> anyhow::Result<Analysis> {
    analyse_as(record, Ranked::default())
}

/// Analyses a record, with these ranked.
///
/// # Errors
/// As [`analyse`].
pub fn analyse_as(record: &Record, ranked: Ranked) -> anyhow::Result<Analysis> {
    Ok(Analysis { contests: each_contest(record, ranked, |compared| compared.result())? })
}

/// Reads each contest of a record and looks at it, several at a time; what came of them is in the order of the setup.
///
/// # Errors
/// As [`analyse`].
pub fn each_contest<'a, T: Send>(
    record: &'a Record,
    ranked: Ranked,
    look: impl Fn(Compared<'a>) -> T + Sync,
) -> anyhow::Result<Vec<T>> {
    let contests = record.setup.contests.par_iter();
    let looked: Vec<Vec<T>> = contests
        .map(|contest| {
            let each_compared =
                Compared::read_all(contest, record)?.into_iter().map(|compared| compared.ranked_as(ranked));
            Ok(shown(each_compared.collect()).into_iter().map(&look).collect())
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(looked.into_iter().flatten().collect())
}

/// Of a load at many rates those that are shown: the capacity, and the rates that are nearest to the usual shares of what the
/// reference can take.
fn shown(each_compared: Vec<Compared<'_>>) -> Vec<Compared<'_>> {
    let Some(capacity) = each_compared.iter().find(|compared| compared.scope() == Scope::Capacity) else {
        return each_compared;
    };
    let reference = capacity.contest().arms.first().map(|arm| arm.name.clone()).unwrap_or_default();
    let Some(level) = capacity.level(Measure::Capacity, &reference) else { return each_compared };
    let off =
        |compared: &Compared<'_>, share: f64| compared.rate().map(|rate| (rate / (share * level)).ln().abs());
    let nearest = |share: f64| {
        let of_rates =
            each_compared.iter().filter_map(|compared| Some((off(compared, share)?, compared.scope())));
        of_rates.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, scope)| scope)
    };
    let chosen: Vec<Scope> = SHARES.into_iter().filter_map(nearest).chain([Scope::Capacity]).collect();
    each_compared.into_iter().filter(|compared| chosen.contains(&compared.scope())).collect()
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
        let (was, is) = (Compared::read_all(before, old)?, Compared::read_all(contest, new)?);
        for is in &is {
            let same = |was: &&Compared<'_>| (was.scope(), was.rate()) == (is.scope(), is.rate());
            let Some(was) = was.iter().find(same) else { continue };
            Measure::ALL.iter().for_each(|measure| changes.extend(changes_by(*measure, was, is)));
        }
    }
    anyhow::ensure!(
        !changes.is_empty(),
        "no backend was measured in both runs against the same reference for enough epochs (a record of format 1 has no \
         classes, so it shares none with a later one)"
    );
    Ok(changes)
}

/// Compares the arms that two runs of a contest have in common, by one measure.
fn changes_by(measure: Measure, was: &Compared<'_>, is: &Compared<'_>) -> Vec<Change> {
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
pub(crate) mod tests;
