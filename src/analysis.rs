//! What a record says: lines in, levels, comparisons and ranks out; pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    load::LatencyHistogram,
    record::{Arm, Contest, Line, Place, Record, RoundLine, View},
    stats::{Better, Comparison, Estimate, MIN_EPOCHS, Series, change, estimate, judge, ranks},
};

/// The share of an arm's rounds that may be set aside before it gets no verdict.
const MOST_SET_ASIDE: f64 = 0.10;

/// Something that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Messages answered per second.
    Throughput,
    /// Half of the round trips do not exceed it.
    RoundTripP50,
    /// 90% do not.
    RoundTripP90,
    /// 99% do not.
    RoundTripP99,
    /// Half of the sessions do not exceed it.
    SessionP50,
    /// Half of the connects do not exceed it.
    ConnectP50,
    /// The server's CPU time per message.
    ServerCpu,
    /// The client's CPU time per message.
    ClientCpu,
    /// The server's context switches per message.
    ServerSwitches,
}

impl Measure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Throughput,
        Self::RoundTripP50,
        Self::RoundTripP90,
        Self::RoundTripP99,
        Self::SessionP50,
        Self::ConnectP50,
        Self::ServerCpu,
        Self::ClientCpu,
        Self::ServerSwitches,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "messages/s",
            Self::RoundTripP50 => "round trip p50",
            Self::RoundTripP90 => "round trip p90",
            Self::RoundTripP99 => "round trip p99",
            Self::SessionP50 => "session p50",
            Self::ConnectP50 => "connect p50",
            Self::ServerCpu => "server CPU per message",
            Self::ClientCpu => "client CPU per message",
            Self::ServerSwitches => "server switches per message",
        }
    }

    /// Its unit; empty for a plain number.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Throughput => "1/s",
            Self::ServerSwitches => "",
            _ => "µs",
        }
    }

    /// Which way is the better.
    pub fn better(self) -> Better {
        if self == Self::Throughput { Better::More } else { Better::Less }
    }

    /// Its value in one round.
    fn of(self, round: &Figures) -> f64 {
        let per_message = |value: f64| value / round.messages_in_all.max(1.0);
        match self {
            Self::Throughput => round.messages / round.window_s,
            Self::RoundTripP50 => round.round_trip[0],
            Self::RoundTripP90 => round.round_trip[1],
            Self::RoundTripP99 => round.round_trip[2],
            Self::SessionP50 => round.session_p50,
            Self::ConnectP50 => round.connect_p50,
            Self::ServerCpu => per_message(round.server_cpu_us),
            Self::ClientCpu => per_message(round.client_cpu_us),
            Self::ServerSwitches => per_message(round.server_switches),
        }
    }
}

/// The figures of a round, or of several merged: counts added up, percentiles of merged histograms.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    messages: f64,
    messages_in_all: f64,
    window_s: f64,
    round_trip: [f64; 3],
    session_p50: f64,
    connect_p50: f64,
    server_cpu_us: f64,
    client_cpu_us: f64,
    server_switches: f64,
}

/// Rounds being merged.
#[derive(Default)]
struct Merged {
    figures: Figures,
    round_trip: LatencyHistogram,
    session: LatencyHistogram,
    connect: LatencyHistogram,
}

impl Merged {
    fn add(&mut self, round: &RoundLine) -> anyhow::Result<()> {
        let run = &round.run;
        self.round_trip.merge(&run.round_trip.decode()?);
        self.session.merge(&run.session.decode()?);
        self.connect.merge(&run.connect.decode()?);
        let figures = &mut self.figures;
        figures.messages += run.messages as f64;
        figures.messages_in_all += run.messages_in_all as f64;
        figures.window_s += run.window_ns as f64 / 1e9;
        figures.server_cpu_us += round.server.cpu_s() * 1e6;
        figures.client_cpu_us += round.client.cpu_s() * 1e6;
        figures.server_switches +=
            (round.server.voluntary_switches + round.server.involuntary_switches) as f64;
        Ok(())
    }

    fn figures(&self) -> Figures {
        let us = |histogram: &LatencyHistogram, share| match histogram.count() {
            // Nothing was measured, and 0 would be the best of all.
            0 => f64::NAN,
            _ => histogram.quantile(share).as_nanos() as f64 / 1e3,
        };
        Figures {
            round_trip: [0.5, 0.9, 0.99].map(|share| us(&self.round_trip, share)),
            session_p50: us(&self.session, 0.5),
            connect_p50: us(&self.connect, 0.5),
            ..self.figures
        }
    }
}

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
    /// The view.
    pub view: View,
    /// The name of the arm that the others are compared with.
    pub reference: String,
    /// The arms, the best throughput first; the second copy of the reference last.
    pub arms: Vec<ArmResult>,
}

/// What is known of an arm.
#[derive(Clone, Debug, Serialize)]
pub struct ArmResult {
    /// The arm.
    pub arm: Arm,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds that were set aside or failed, and how many for each reason.
    pub set_aside: BTreeMap<String, usize>,
    /// Why there is no verdict, where there is none.
    pub no_verdict: Option<String>,
    /// Whether the client was the bottleneck in most rounds: the server could have done more.
    pub client_bound: bool,
    /// Its rank in throughput among the arms but the copy; ties share one.
    pub rank: Option<usize>,
    /// What was measured over all its rounds.
    pub levels: BTreeMap<Measure, f64>,
    /// How it compares with the reference; nothing for the reference itself.
    pub comparisons: BTreeMap<Measure, Comparison>,
    /// What an idle connection costs the server, in bytes: the median of all epochs.
    pub idle_bytes: Option<f64>,
}

/// Analyses a record; the same record gives the same analysis, whatever the order of its lines.
///
/// # Errors
/// When a histogram cannot be decoded.
pub fn analyse(record: &Record) -> anyhow::Result<Analysis> {
    let contests = record.setup.contests.iter().map(|contest| analyse_contest(contest, record));
    Ok(Analysis { contests: contests.collect::<anyhow::Result<_>>()? })
}

fn analyse_contest(contest: &Contest, record: &Record) -> anyhow::Result<ContestResult> {
    let ledgers = Ledger::read_all(contest, record)?;
    let seed = record.setup.seed;
    let mut results: Vec<ArmResult> = ledgers.iter().map(Ledger::result).collect();
    bar_all_without_a_witness(&ledgers, &mut results);
    for measure in Measure::ALL {
        compare_by(measure, &ledgers, &mut results, seed);
    }
    rank(&ledgers, &mut results, seed);
    results
        .sort_by_key(|result| (result.arm.copy, result.rank.unwrap_or(usize::MAX), result.arm.name.clone()));
    let reference = contest.arms.first().map_or_else(String::new, |arm| arm.name.clone());
    Ok(ContestResult { workload: contest.workload.clone(), view: contest.view, reference, arms: results })
}

/// How the ratio of an arm to its reference changed from one run to another.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The workload's name.
    pub workload: String,
    /// The view.
    pub view: View,
    /// The arm's name.
    pub arm: String,
    /// What is compared.
    pub measure: Measure,
    /// The new ratio to the old one.
    pub comparison: Comparison,
}

/// Compares two records arm by arm, each arm by its ratio to the reference: levels change with the machine's mood, and
/// two runs had theirs at different times.
///
/// # Errors
/// When a histogram cannot be decoded, or the records have no contest with the same reference in common.
pub fn changes(old: &Record, new: &Record) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for contest in &new.setup.contests {
        let same = |other: &&Contest| {
            other.workload == contest.workload
                && other.view == contest.view
                && other.arms.first() == contest.arms.first()
        };
        let Some(before) = old.setup.contests.iter().find(same) else { continue };
        let (was, is) = (Ledger::read_all(before, old)?, Ledger::read_all(contest, new)?);
        for measure in Measure::ALL {
            changes.extend(changes_by(measure, contest, &was, &is, new.setup.seed));
        }
    }
    anyhow::ensure!(
        !changes.is_empty(),
        "the two runs have no arm with the same reference and enough epochs in common"
    );
    Ok(changes)
}

/// Compares the arms that two runs of a contest have in common, by one measure.
fn changes_by(
    measure: Measure,
    contest: &Contest,
    was: &[Ledger<'_>],
    is: &[Ledger<'_>],
    seed: u64,
) -> Vec<Change> {
    let reference = |all: &[Ledger<'_>]| {
        all.first().filter(|ledger| ledger.no_verdict().is_none()).map(|l| l.series(measure))
    };
    let (Some(old_reference), Some(new_reference)) = (reference(was), reference(is)) else {
        return Vec::new();
    };
    let usable = |ledger: &&Ledger<'_>| !ledger.arm.copy && ledger.no_verdict().is_none();
    let pairs: Vec<(&Ledger<'_>, &Ledger<'_>)> = is
        .iter()
        .skip(1)
        .filter(usable)
        .filter_map(|arm| Some((was.iter().filter(usable).find(|before| before.arm == arm.arm)?, arm)))
        .collect();
    let estimates: Vec<Estimate> = pairs
        .iter()
        .map(|(before, arm)| {
            let old = estimate(&before.series(measure), &old_reference, seed);
            change(old, estimate(&arm.series(measure), &new_reference, seed))
        })
        .collect();
    let noise = noise(measure, was, seed).max(noise(measure, is, seed));
    let found = judge(&estimates, noise, measure.better());
    let named = pairs.iter().zip(found).filter_map(|((_, arm), comparison)| {
        Some(Change {
            workload: contest.workload.clone(),
            view: contest.view,
            arm: arm.arm.name.clone(),
            measure,
            comparison: comparison?,
        })
    });
    named.collect()
}

/// Bars every verdict where the reference, or its second copy, is no witness.
fn bar_all_without_a_witness(ledgers: &[Ledger<'_>], results: &mut [ArmResult]) {
    let witnesses = ledgers
        .iter()
        .zip(results.iter())
        .enumerate()
        .filter(|(index, (ledger, _))| *index == 0 || ledger.arm.copy);
    let lost = witnesses
        .filter_map(|(_, (ledger, result))| Some((ledger.arm.name.clone(), result.no_verdict.clone()?)));
    if let Some((name, why)) = lost.into_iter().next() {
        for result in results.iter_mut().filter(|result| result.no_verdict.is_none()) {
            result.no_verdict = Some(format!("{name} is no witness: {why}"));
        }
    }
}

/// What the second copy of the reference shows, on the log scale.
fn noise(measure: Measure, ledgers: &[Ledger<'_>], seed: u64) -> f64 {
    let copy = ledgers.iter().find(|ledger| ledger.arm.copy).zip(ledgers.first());
    let shown =
        copy.and_then(|(copy, reference)| estimate(&copy.series(measure), &reference.series(measure), seed));
    shown.map_or(0.0, |(interval, _)| interval.centre.abs())
}

/// Compares all arms with the reference by one measure. The copy is judged by itself: it is the noise of the others.
fn compare_by(measure: Measure, ledgers: &[Ledger<'_>], results: &mut [ArmResult], seed: u64) {
    let Some(reference) = ledgers.first().map(|ledger| ledger.series(measure)) else { return };
    let noise = noise(measure, ledgers, seed);
    for (copies, noise) in [(true, 0.0), (false, noise)] {
        let usable =
            |index: &usize| ledgers[*index].arm.copy == copies && results[*index].no_verdict.is_none();
        let indices: Vec<usize> = (1..ledgers.len()).filter(usable).collect();
        let estimates: Vec<Estimate> = indices
            .iter()
            .map(|&index| estimate(&ledgers[index].series(measure), &reference, seed))
            .collect();
        for (index, found) in indices.into_iter().zip(judge(&estimates, noise, measure.better())) {
            results[index].comparisons.extend(found.map(|found| (measure, found)));
        }
    }
}

/// Ranks the arms but the copy by throughput.
fn rank(ledgers: &[Ledger<'_>], results: &mut [ArmResult], seed: u64) {
    let series: Vec<Series> = ledgers.iter().map(|ledger| ledger.series(Measure::Throughput)).collect();
    let ranked = |index: &usize| !ledgers[*index].arm.copy && results[*index].no_verdict.is_none();
    let indices: Vec<usize> = (0..ledgers.len()).filter(ranked).collect();
    let arms: Vec<&Series> = indices.iter().map(|&index| &series[index]).collect();
    let noise = noise(Measure::Throughput, ledgers, seed);
    for (index, rank) in indices.iter().zip(ranks(&arms, noise, Measure::Throughput.better(), seed)) {
        results[*index].rank = rank;
    }
}

/// All that a record holds of one arm.
struct Ledger<'a> {
    arm: &'a Arm,
    /// The figures of each round that counts, by epoch and block.
    rounds: BTreeMap<(usize, usize), Figures>,
    epochs: usize,
    blocks: usize,
    merged: Merged,
    set_aside: BTreeMap<String, usize>,
    client_bound: usize,
    idle: Vec<f64>,
}

impl<'a> Ledger<'a> {
    /// Reads the ledgers of all arms of a contest, in their order.
    fn read_all(contest: &'a Contest, record: &Record) -> anyhow::Result<Vec<Self>> {
        let of_contest = |line: &&Line| {
            let place = line.place();
            place.workload == contest.workload && place.view == contest.view
        };
        let lines: Vec<&Line> = record.lines.iter().filter(of_contest).collect();
        contest.arms.iter().map(|arm| Self::read(arm, &lines)).collect()
    }

    fn read(arm: &'a Arm, lines: &[&Line]) -> anyhow::Result<Self> {
        let most =
            |number: fn(&crate::record::Place) -> usize| lines.iter().map(|line| number(line.place())).max();
        let count = |number| most(number).map_or(0, |most| most + 1);
        let (epochs, blocks) = (count(|place| place.epoch), count(|place| place.block));
        let mut ledger = Self {
            arm,
            rounds: BTreeMap::new(),
            epochs,
            blocks,
            merged: Merged::default(),
            set_aside: BTreeMap::new(),
            client_bound: 0,
            idle: Vec::new(),
        };
        for line in lines.iter().filter(|line| line.place().arm == arm.name) {
            ledger.enter(line)?;
        }
        Ok(ledger)
    }

    fn enter(&mut self, line: &Line) -> anyhow::Result<()> {
        match line {
            Line::Round(round) if round.set_aside.is_empty() => {
                let mut alone = Merged::default();
                alone.add(round)?;
                let before = self.rounds.insert((round.place.epoch, round.place.block), alone.figures());
                let Place { epoch, block, arm, .. } = &round.place;
                anyhow::ensure!(before.is_none(), "{arm} has two rounds in block {block} of epoch {epoch}");
                self.merged.add(round)?;
                self.client_bound += usize::from(round.client_bound);
            }
            Line::Round(round) => {
                // One round is set aside once, for the first of its reasons.
                let reason = round.set_aside.first().cloned().unwrap_or_default();
                *self.set_aside.entry(reason).or_default() += 1;
            }
            Line::Failed { error, .. } => *self.set_aside.entry(format!("failed: {error}")).or_default() += 1,
            Line::Idle { bytes_per_connection, .. } => self.idle.push(*bytes_per_connection),
        }
        Ok(())
    }

    fn series(&self, measure: Measure) -> Series {
        let value = |figures| Some(measure.of(figures)).filter(|value| value.is_finite());
        let at = |epoch, block| self.rounds.get(&(epoch, block)).and_then(value);
        (0..self.epochs).map(|epoch| (0..self.blocks).map(|block| at(epoch, block)).collect()).collect()
    }

    fn result(&self) -> ArmResult {
        let figures = self.merged.figures();
        let levels = Measure::ALL.map(|measure| (measure, measure.of(&figures)));
        let has_rounds = !self.rounds.is_empty();
        ArmResult {
            arm: self.arm.clone(),
            rounds: self.rounds.len(),
            set_aside: self.set_aside.clone(),
            no_verdict: self.no_verdict(),
            client_bound: self.client_bound * 2 > self.rounds.len(),
            rank: None,
            levels: levels.into_iter().filter(|(_, level)| has_rounds && level.is_finite()).collect(),
            comparisons: BTreeMap::new(),
            idle_bytes: median(&self.idle),
        }
    }

    fn no_verdict(&self) -> Option<String> {
        let set_aside: usize = self.set_aside.values().sum();
        let all = set_aside + self.rounds.len();
        let epochs =
            self.rounds.keys().map(|(epoch, _)| epoch).collect::<std::collections::BTreeSet<_>>().len();
        if all == 0 {
            Some("it was not measured".to_owned())
        } else if set_aside as f64 > MOST_SET_ASIDE * all as f64 {
            let most = self.set_aside.iter().max_by_key(|(_, count)| **count);
            let reason = most.map_or("", |(reason, _)| reason.as_str());
            Some(format!("{set_aside} of {all} rounds were set aside, most for this: {reason}"))
        } else if epochs < MIN_EPOCHS {
            Some(format!("{epochs} epochs say nothing of how epochs differ; {MIN_EPOCHS} are needed"))
        } else {
            None
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests;
