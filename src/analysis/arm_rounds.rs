//! All that a record holds of one arm.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    balance::{Slices, Surpluses, balance, surplus},
    capacities::Capacities,
    measure::Measure,
    merged::{Counts, Figures, Merged, ResponseTime, SessionTime},
};
use crate::{
    load::{LatencyHistogram, Objective, Workload},
    record::{Arm, Arrivals, Contest, Line, Place, Record, RoundLine, Schedule},
    round::{BegunApart, Flag, Neighbours, reason_words},
    stats::{MIN_EPOCHS, Series, level},
};

/// The share of an arm's rounds or slices that may be excluded before it gets no verdict; one whole round may be.
const MOST_EXCLUDED: f64 = 0.10;

/// Which rounds of a contest are looked at together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of a closed loop: all of them.
    Closed,
    /// Those at one of the rates, by its number.
    Rate(usize),
    /// Those of a block at all rates, for the capacity that they come to.
    Capacity,
}

impl Scope {
    /// Whether a line tells of it.
    fn has(self, line: &Line) -> bool {
        match self {
            Self::Closed => true,
            Self::Rate(step) => line.place().step == Some(step),
            Self::Capacity => line.place().step.is_some(),
        }
    }
}

/// The rounds of one arm, read and merged.
pub(super) struct ArmRounds<'a> {
    pub(super) arm: &'a Arm,
    /// The figures of each round that counts, by epoch and block.
    rounds: BTreeMap<(usize, usize), Figures>,
    /// What each slice that counts counted, balanced, by epoch and block.
    slices: Slices,
    /// The surplus of sessions in each, where sessions count and were counted.
    surpluses: Surpluses,
    epochs: usize,
    blocks: usize,
    /// Blocks that a whole round is of.
    blocks_of_a_round: usize,
    messages: u32,
    connections: usize,
    counts_sessions: bool,
    merged: Merged,
    /// Rounds and slices that were excluded or failed, and how many for each reason.
    pub(super) excluded: BTreeMap<String, usize>,
    /// Slices that were excluded by themselves.
    excluded_slices: usize,
    /// Where the rounds were: epoch and block.
    pub(super) lost: Vec<(usize, usize)>,
    client_bound: usize,
    /// What an idle connection cost the server in each epoch, in bytes.
    idle: BTreeMap<usize, f64>,
    /// Rounds at a rate in which p99 is of a message without a reply.
    overloaded: usize,
    /// What rounds at all rates say, where they are looked at together.
    capacities: Option<Capacities>,
}

impl<'a> ArmRounds<'a> {
    /// Reads the rounds of all arms of a contest, in their order.
    ///
    /// # Errors
    /// When a histogram cannot be decoded, or two rounds claim the same place.
    pub(super) fn read_all(contest: &'a Contest, record: &Record, scope: Scope) -> anyhow::Result<Vec<Self>> {
        let of_scope = |line: &&Line| contest.has(line.place()) && scope.has(line);
        let lines: Vec<&Line> = record.lines.iter().filter(of_scope).collect();
        let all = contest.arms.iter().map(|arm| Self::read(contest, arm, &lines, scope));
        all.collect()
    }

    fn read(contest: &Contest, arm: &'a Arm, lines: &[&Line], scope: Scope) -> anyhow::Result<Self> {
        let epochs = lines.iter().map(|line| line.place().epoch + 1).max().unwrap_or(0);
        let blocks = |line: &&Line| match line {
            Line::Round(round) => round.place.block.saturating_add(round.slices.len().max(1)),
            line => line.place().block + 1,
        };
        let Workload { messages, connections, counts_sessions, .. } = contest.workload;
        let mut arm_rounds = Self {
            arm,
            rounds: BTreeMap::new(),
            slices: Slices::new(),
            surpluses: Surpluses::new(),
            epochs,
            blocks: lines.iter().map(blocks).max().unwrap_or(0),
            blocks_of_a_round: match contest.schedule {
                Schedule::Slices { blocks, .. } => blocks,
                Schedule::Rounds { .. } => 1,
            },
            messages,
            connections,
            counts_sessions,
            merged: Merged::default(),
            excluded: BTreeMap::new(),
            excluded_slices: 0,
            lost: Vec::new(),
            client_bound: 0,
            idle: BTreeMap::new(),
            overloaded: 0,
            capacities: match &contest.arrivals {
                Arrivals::Open { rates, once, objectives } if scope == Scope::Capacity => {
                    Some(Capacities::new(rates, *once, objectives))
                }
                _ => None,
            },
        };
        let mut mine = lines.iter().filter(|line| line.place().arm == arm.name);
        match arm_rounds.capacities.take() {
            None => mine.try_for_each(|line| arm_rounds.enter(line))?,
            Some(mut capacities) => {
                mine.try_for_each(|line| arm_rounds.enter_at_rate(line, &mut capacities))?;
                arm_rounds.conclude(capacities);
            }
        }
        arm_rounds.forget_tries();
        balance(&mut arm_rounds.slices, &arm_rounds.surpluses);
        Ok(arm_rounds)
    }

    /// Takes a round that is one of those at all rates.
    fn enter_at_rate(&mut self, line: &Line, capacities: &mut Capacities) -> anyhow::Result<()> {
        let Place { epoch, block, step, ref arm, .. } = *line.place();
        capacities.has_block(epoch, block);
        match line {
            Line::Round(round) if round.excluded.is_empty() => {
                let alone = Merged::of(round, self.connections, self.counts_sessions)?;
                let response = |objective: &Objective| alone.response_s(objective.quantile().share());
                let is_first = step.is_none_or(|step| capacities.enter(epoch, block, step, response));
                anyhow::ensure!(
                    is_first,
                    "{arm} has two rounds at one rate in block {block} of epoch {epoch}"
                );
            }
            Line::Round(round) => {
                if let Some(step) = step.filter(|_| round.excluded.iter().any(|why| why == Flag::PACER_LATE))
                {
                    capacities.client_was_late(epoch, block, step);
                }
                self.count_excluded(round.excluded.first().cloned().unwrap_or_default(), 1);
            }
            Line::Failed { error, .. } => self.count_excluded(format!("failed: {error}"), 1),
            // Of a load at rates the memory of the server is measured, not that of an idle connection.
            Line::Idle { .. } => {}
        }
        Ok(())
    }

    /// Takes the capacity of each block for what it measured.
    fn conclude(&mut self, capacities: Capacities) {
        for (place, found) in capacities.of_blocks() {
            match found {
                Some(found) => drop(self.rounds.insert(place, Figures::of_capacity(found.rate()))),
                None => self.lost.push(place),
            }
        }
        self.capacities = Some(capacities);
    }

    /// A round that counted when it was tried again is not lost.
    fn forget_tries(&mut self) {
        self.lost.retain(|place| !self.rounds.contains_key(place));
        self.lost.sort_unstable();
        self.lost.dedup();
    }

    /// Whether so many rounds at a rate were overloaded that the others alone would flatter the arm.
    fn overload(&self) -> Option<String> {
        let (overloaded, all) = (self.overloaded, self.rounds.len());
        (overloaded as f64 > MOST_EXCLUDED * all as f64).then(|| {
            format!("overloaded in {overloaded} of {all} rounds, whose p99 is longer than every other")
        })
    }

    /// The most that others took of the machine in any round of a contest, also of those that are excluded.
    pub(super) fn neighbours(contest: &Contest, record: &Record) -> Neighbours {
        let rounds =
            record.lines.iter().filter(|line| contest.has(line.place())).filter_map(|line| match line {
                Line::Round(round) => Some(round),
                Line::Failed { .. } | Line::Idle { .. } => None,
            });
        rounds.fold(Neighbours::default(), |most, round| Neighbours {
            steal: greatest(most.steal, round.steal),
            others: greatest(most.others, round.others),
            ksoftirqd: greatest(most.ksoftirqd, round.ksoftirqd),
            cpu_pressure: greatest(most.cpu_pressure, round.cpu_pressure),
            throttled: greatest(most.throttled, round.throttled),
        })
    }

    /// How far apart several clients of a contest began, in the round in which they did most.
    pub(super) fn begun_apart(contest: &Contest, record: &Record) -> Option<BegunApart> {
        let of_contest = record.lines.iter().filter(|line| contest.has(line.place()));
        let told = of_contest.filter_map(|line| match line {
            Line::Round(round) => round.begun_apart,
            Line::Failed { .. } | Line::Idle { .. } => None,
        });
        told.max_by(|one, other| one.us.total_cmp(&other.us))
    }

    /// What a silent connection took of the kernel's own memory in a contest, in the middle of all that were measured, in bytes.
    pub(super) fn idle_kernel_bytes(contest: &Contest, record: &Record) -> Option<f64> {
        let of_contest = record.lines.iter().filter(|line| contest.has(line.place()));
        let told = of_contest.filter_map(|line| match line {
            Line::Round(round) => round.idle_kernel_bytes,
            Line::Idle { kernel_bytes_per_connection, .. } => *kernel_bytes_per_connection,
            Line::Failed { .. } => None,
        });
        let mut told: Vec<f64> = told.collect();
        told.sort_unstable_by(f64::total_cmp);
        told.get(told.len() / 2).copied()
    }

    fn enter(&mut self, line: &Line) -> anyhow::Result<()> {
        match line {
            Line::Round(round) if round.excluded.is_empty() => {
                let alone = Merged::of(round, self.connections, self.counts_sessions)?;
                self.overloaded += usize::from(alone.response_s(0.99).is_infinite());
                let before = self.rounds.insert((round.place.epoch, round.place.block), alone.figures());
                let Place { epoch, block, arm, .. } = &round.place;
                anyhow::ensure!(before.is_none(), "{arm} has two rounds in block {block} of epoch {epoch}");
                self.merged.merge(&alone);
                self.client_bound += usize::from(round.client_bound);
                self.enter_slices(round);
            }
            Line::Round(round) => {
                // It is excluded once, for the first of its reasons, with all its slices.
                let reason = round.excluded.first().cloned().unwrap_or_default();
                self.lose(&round.place, reason, self.blocks_of_a_round);
            }
            Line::Failed { place, error } => {
                self.lose(place, format!("failed: {error}"), self.blocks_of_a_round);
            }
            Line::Idle { place, bytes_per_connection, .. } => {
                self.idle.insert(place.epoch, *bytes_per_connection);
            }
        }
        Ok(())
    }

    fn enter_slices(&mut self, round: &RoundLine) {
        let Place { epoch, block, .. } = round.place;
        for (index, slice) in round.slices.iter().enumerate() {
            match &slice.excluded {
                None => {
                    let surplus = surplus(slice, self.messages).filter(|_| self.counts_sessions);
                    self.surpluses.extend(surplus.map(|surplus| ((epoch, block + index), surplus)));
                    self.slices.insert((epoch, block + index), Counts::of_slice(slice));
                }
                Some(reason) => {
                    self.count_excluded(reason.clone(), 1);
                    self.excluded_slices += 1;
                }
            }
        }
    }

    fn count_excluded(&mut self, reason: String, times: usize) {
        *self.excluded.entry(reason).or_default() += times;
    }

    fn lose(&mut self, place: &Place, reason: String, times: usize) {
        self.count_excluded(reason, times);
        self.lost.push((place.epoch, place.block));
    }

    /// Rounds that count, or slices where rounds are cut into such.
    pub(super) fn rounds(&self) -> usize {
        if self.slices.is_empty() { self.rounds.len() } else { self.slices.len() }
    }

    /// Where the time of a session goes, where sessions count.
    pub(super) fn session_time(&self) -> Option<SessionTime> {
        self.merged.session_time(self.messages)
    }

    /// Where the time of a message goes, at a rate.
    pub(super) fn response_time(&self) -> Option<ResponseTime> {
        self.merged.response_time()
    }

    /// The longest round trip, in µs.
    pub(super) fn longest_us(&self) -> f64 {
        self.merged.longest_us()
    }

    /// Whether the client was the bottleneck in most rounds.
    pub(super) fn client_bound(&self) -> bool {
        self.client_bound * 2 > self.rounds.len()
    }

    /// The response times by the first objective's quantile at each rate: in each epoch, in seconds.
    pub(super) fn responses(&self) -> Vec<(f64, Vec<f64>)> {
        self.capacities.as_ref().map_or_else(Vec::new, Capacities::responses)
    }

    /// The round trips of all rounds that count.
    pub(super) fn round_trip(&self) -> &LatencyHistogram {
        self.merged.round_trip()
    }

    /// What was measured in each block: counts in each slice, where there are such, and what a histogram tells once a
    /// round. What an idle connection costs is measured once an epoch, in its first block.
    pub(super) fn series(&self, measure: Measure) -> Series {
        let mut series = self.all_values(measure);
        series.iter_mut().flatten().for_each(|value| *value = value.filter(|it| it.is_finite()));
        series
    }

    /// The same with the response times of who did not keep up, which are infinite.
    fn all_values(&self, measure: Measure) -> Series {
        let at = |epoch, block| {
            if measure == Measure::IdleMemory {
                return self.idle.get(&epoch).copied().filter(|_| block == 0);
            }
            let of_slice = || measure.of_slice(self.slices.get(&(epoch, block))?);
            let sliced = !self.slices.is_empty() && measure.of_slice(&Counts::default()).is_some();
            if sliced { of_slice() } else { self.rounds.get(&(epoch, block)).map(|it| measure.of_round(it)) }
        };
        let measured = |value: Option<f64>| value.filter(|value| !value.is_nan());
        (0..self.epochs)
            .map(|epoch| (0..self.blocks).map(|block| measured(at(epoch, block))).collect())
            .collect()
    }

    /// What a whole round measured, by epoch and block; once an epoch where rounds are cut into slices.
    pub(super) fn rounds_series(&self, measure: Measure) -> Series {
        let blocks = if self.slices.is_empty() { self.blocks } else { 1 };
        let at = |place| self.rounds.get(&place).map(|it| measure.of_round(it)).filter(|it| it.is_finite());
        (0..self.epochs).map(|epoch| (0..blocks).map(|block| at((epoch, block))).collect()).collect()
    }

    /// What was measured over all rounds, by itself.
    pub(super) fn level(&self, measure: Measure) -> Option<f64> {
        match (measure, &self.capacities) {
            (Measure::Capacity, capacities) => capacities.as_ref()?.level(),
            // Of rounds at many rates together nothing else means anything.
            (_, Some(_)) => None,
            (_, None) => level(self.all_values(measure).iter().flatten().flatten().copied()),
        }
    }

    /// Why nothing can be said of it, if so.
    pub(super) fn no_verdict(&self) -> Option<String> {
        let excluded: usize = self.excluded.values().sum();
        let all = excluded + self.rounds();
        let too_many = |lost: usize, of: usize| lost as f64 > MOST_EXCLUDED * of as f64;
        let lost = self.lost.len();
        let slices = self.excluded_slices;
        let barred = lost > 1 && too_many(lost, lost + self.rounds.len())
            || too_many(slices, slices + self.slices.len());
        let epochs = self.rounds.keys().map(|(epoch, _)| epoch).collect::<BTreeSet<_>>().len();
        if all == 0 {
            Some("not measured".to_owned())
        } else if let Some(capacities) = self.capacities.as_ref().filter(|_| barred) {
            let blocks = lost + self.rounds.len();
            let too_few = || format!("{lost} of {blocks} blocks had too few rounds that count");
            Some(capacities.client_is_the_limit().unwrap_or_else(too_few))
        } else if barred {
            let most = self.excluded.iter().max_by_key(|(_, count)| **count);
            let why = most.map_or_else(String::new, |(reason, most)| {
                let mostly = if *most == excluded { "" } else { ", most of them for this" };
                format!("{mostly}: {}", reason_words(reason))
            });
            let what = if slices > 0 || !self.slices.is_empty() { "slices" } else { "rounds" };
            Some(format!("{excluded} of {all} {what} are excluded{why}"))
        } else if epochs < MIN_EPOCHS {
            Some(format!("too few epochs: {epochs} measured, {MIN_EPOCHS} needed"))
        } else {
            self.overload().or_else(|| self.capacities.as_ref()?.beyond_the_rates())
        }
    }
}

fn greatest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

pub(super) fn median<'v>(values: impl Iterator<Item = &'v f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.copied().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
