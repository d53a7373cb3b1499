//! A contest whose rounds were read: any arm compared with any other, all by the same estimates.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use super::{
    Alarm, ArmResult, ContestResult, Ranked,
    arm_rounds::{ArmRounds, Scope},
    measure::Measure,
};
use crate::{
    backend::Maintenance,
    contestant::Description,
    load::{LatencyHistogram, Objective},
    record::{Arm, Arrivals, Contest, Record},
    round::{BegunApart, Neighbours},
    stats::{Comparison, Draws, Estimate, Judgement, Measured, Series, level, mean_with_interval},
};

/// A response time at a rate.
#[derive(Clone, Copy, Debug)]
pub struct ResponsePoint {
    /// What was offered, in messages per second.
    pub rate: f64,
    /// The geometric mean of all epochs, in µs.
    pub level_us: f64,
    /// The lower end of its 95% interval.
    pub low_us: f64,
    /// The upper end of that.
    pub high_us: f64,
}

/// The arms of a contest with all that was measured of them. Arms are named by their number, the reference's is 0.
pub struct Compared<'a> {
    contest: &'a Contest,
    scope: Scope,
    rounds_of: Vec<ArmRounds<'a>>,
    neighbours: Neighbours,
    begun_apart: Option<BegunApart>,
    idle_kernel_bytes: Option<f64>,
    /// Why nothing can be said of an arm, for each.
    barred: Vec<Option<String>>,
    /// Which arms are loops by hand, and not ranked; none where everyone is.
    floors: Vec<bool>,
    /// Which arms' servers rest on what is actively maintained.
    maintained: Vec<bool>,
    draws: Draws,
    /// What was judged already, by measure.
    judged: RefCell<BTreeMap<Measure, Arc<Judgement>>>,
}

impl<'a> Compared<'a> {
    /// Reads all rounds of a contest: those of a closed loop together; of a load at rates first what they say of the capacity,
    /// where there is an objective, and then those at each rate.
    ///
    /// # Errors
    /// When a histogram cannot be decoded, or two rounds claim the same place.
    pub fn read_all(contest: &'a Contest, record: &Record) -> anyhow::Result<Vec<Self>> {
        let scopes = match &contest.arrivals {
            Arrivals::Closed => vec![Scope::Closed],
            Arrivals::Open { rates, objectives, .. } => {
                let capacity = (!objectives.is_empty()).then_some(Scope::Capacity);
                capacity.into_iter().chain((0..rates.len()).map(Scope::Rate)).collect()
            }
        };
        scopes.into_iter().map(|scope| Self::read(contest, record, scope)).collect()
    }

    /// Reads the rounds of a contest that are looked at together.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all).
    pub fn read(contest: &'a Contest, record: &Record, scope: Scope) -> anyhow::Result<Self> {
        let rounds_of = ArmRounds::read_all(contest, record, scope)?;
        let barred = barred(&rounds_of);
        Ok(Self {
            contest,
            scope,
            rounds_of,
            neighbours: ArmRounds::neighbours(contest, record),
            begun_apart: ArmRounds::begun_apart(contest, record),
            idle_kernel_bytes: ArmRounds::idle_kernel_bytes(contest, record),
            barred,
            floors: contest.arms.iter().map(|arm| is_floor(arm, record)).collect(),
            maintained: contest.arms.iter().map(|arm| is_maintained(arm, record)).collect(),
            draws: Draws::new(record.setup.seed),
            judged: RefCell::default(),
        })
    }

    /// The same with these ranked.
    pub fn ranked_as(mut self, ranked: Ranked) -> Self {
        if ranked == Ranked::Everyone {
            self.floors.fill(false);
        }
        self
    }

    /// Whether an arm is not ranked: a loop by hand, where at least two others are there to be ranked.
    pub fn is_floor(&self, arm: usize) -> bool {
        let ranked = self.arms().into_iter().filter(|other| !self.floors[*other]).count();
        self.floors[arm] && !self.contest.arms[arm].copy && ranked >= 2
    }

    /// Which of its rounds these are.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The rate that was offered in these rounds, in messages per second; `None` where it is none, or all.
    pub fn rate(&self) -> Option<f64> {
        match (&self.contest.arrivals, self.scope) {
            (Arrivals::Open { rates, .. }, Scope::Rate(step)) => rates.get(step).copied(),
            _ => None,
        }
    }

    /// The measure that arms are ranked by, unless another is asked for.
    pub fn headline(&self) -> Measure {
        match self.scope {
            Scope::Closed => Measure::Throughput,
            Scope::Rate(_) => Measure::ResponseP99,
            Scope::Capacity => Measure::Capacity,
        }
    }

    /// The response times of an arm at each rate, by the first objective's quantile. They end before the rate at which
    /// half of the epochs had none.
    pub fn response_curve(&self, arm: usize) -> Vec<ResponsePoint> {
        let finite = |responses: &[f64]| responses.iter().filter(|it| it.is_finite()).count();
        let by_rate = self.rounds_of[arm].responses().into_iter();
        let answered = by_rate.take_while(|(_, responses)| finite(responses) * 2 > responses.len());
        let point = |(rate, responses): (f64, Vec<f64>)| {
            let log_us = responses.iter().filter(|it| it.is_finite()).map(|it| (it * 1e6).ln());
            let (mean, half) = mean_with_interval(log_us)?;
            let [level_us, low_us, high_us] = [mean, mean - half, mean + half].map(f64::exp);
            Some(ResponsePoint { rate, level_us, low_us, high_us })
        };
        answered.filter_map(point).collect()
    }

    /// The contest.
    pub fn contest(&self) -> &'a Contest {
        self.contest
    }

    /// The arms that are compared and ranked: all but the second copy of the reference, and those without a verdict.
    pub fn arms(&self) -> Vec<usize> {
        let judged = |arm: &usize| self.barred[*arm].is_none() && !self.arm(*arm).copy;
        (0..self.rounds_of.len()).filter(judged).collect()
    }

    fn arm(&self, arm: usize) -> &'a Arm {
        self.rounds_of[arm].arm
    }

    /// The second copy of the reference, unless it has no verdict.
    fn copy(&self) -> Option<usize> {
        (1..self.rounds_of.len()).find(|arm| self.arm(*arm).copy && self.barred[*arm].is_none())
    }

    /// What an arm measured in each block.
    pub fn series(&self, measure: Measure, arm: usize) -> Series {
        self.rounds_of[arm].series(measure)
    }

    /// What each whole round of an arm measured, by epoch and block.
    pub fn rounds(&self, measure: Measure, arm: usize) -> Series {
        self.rounds_of[arm].rounds_series(measure)
    }

    /// The round trips of all rounds of an arm that count.
    pub fn round_trip(&self, arm: usize) -> &LatencyHistogram {
        self.rounds_of[arm].round_trip()
    }

    /// What was measured over all rounds of an arm that has a verdict, named as in the contest.
    pub fn level(&self, measure: Measure, name: &str) -> Option<f64> {
        let arm = self.arms().into_iter().find(|arm| self.arm(*arm).name == name)?;
        self.level_of(measure, arm)
    }

    /// What was measured over all rounds of an arm: the level of the reference by both of its copies, and that of others by their ratio
    /// to it. So any two levels differ by the ratio that is told of them. An arm that is not compared has its own.
    fn level_of(&self, measure: Measure, arm: usize) -> Option<f64> {
        let ratio = match arm {
            0 => Some(1.0),
            _ if self.copy() == Some(arm) => {
                self.judgement(measure).copy_estimate().map(|estimate| estimate.centre.exp())
            }
            _ => self.estimate(measure, arm).map(|estimate| estimate.centre.exp()),
        };
        let by_ratio = || Some(ratio? * self.reference_level(measure)?);
        by_ratio().or_else(|| self.rounds_of[arm].level(measure))
    }

    /// The geometric mean of the levels of the reference and of its second copy, as ratios are to both.
    fn reference_level(&self, measure: Measure) -> Option<f64> {
        let copies = [Some(0), self.copy()].into_iter().flatten();
        level(copies.filter_map(|arm| self.rounds_of[arm].level(measure)))
    }

    /// Whether the client was the limit in most rounds of an arm.
    pub fn client_bound(&self, arm: usize) -> bool {
        self.rounds_of[arm].client_bound()
    }

    /// Rounds of an arm that were set aside or failed, each by its epoch and block.
    pub fn lost(&self, arm: usize) -> &[(usize, usize)] {
        &self.rounds_of[arm].lost
    }

    /// What is said by one measure of the arms that are compared, which go by their places in [`Compared::arms`].
    fn judgement(&self, measure: Measure) -> Arc<Judgement> {
        let make = || {
            let measured = Measured {
                reference: self.arms().first().map_or_else(Series::new, |arm| self.series(measure, *arm)),
                copy: self.copy().map(|copy| self.series(measure, copy)),
                others: self.arms().iter().skip(1).map(|arm| self.series(measure, *arm)).collect(),
            };
            Arc::new(Judgement::of(&measured, measure.better(), &self.draws))
        };
        Arc::clone(self.judged.borrow_mut().entry(measure).or_insert_with(make))
    }

    /// The place of an arm among those that are compared. The reference's is 0: without it, there are none.
    fn place(&self, arm: usize) -> Option<usize> {
        self.arms().into_iter().position(|is| is == arm)
    }

    /// Estimates the log ratio of an arm to the reference.
    pub fn estimate(&self, measure: Measure, arm: usize) -> Option<Estimate> {
        self.judgement(measure).estimate(self.place(arm)?, 0)
    }

    /// Compares arms with one of them, each by its number, by one measure.
    pub fn comparisons(&self, measure: Measure, reference: usize) -> Vec<(usize, Comparison)> {
        let Some(to) = self.place(reference) else { return Vec::new() };
        let judgement = self.judgement(measure);
        let arms = self.arms().into_iter().enumerate();
        arms.filter_map(|(place, arm)| Some((arm, judgement.comparison(place, to)?))).collect()
    }

    /// By how many measures the second copy of the reference is compared with it.
    fn measures_of_copy(&self) -> usize {
        Measure::ALL.into_iter().filter(|measure| self.judgement(*measure).copy_estimate().is_some()).count()
    }

    /// The arms by one measure, by their ratios to the reference, the best first.
    pub fn order(&self, measure: Measure) -> Vec<usize> {
        let arms = self.arms();
        self.judgement(measure).order().into_iter().map(|place| arms[place]).collect()
    }

    /// Ranks the arms but the floors by one measure, the best first, each by its number and with its rank; ties share one.
    pub fn ranks(&self, measure: Measure) -> Vec<(usize, usize)> {
        let arms = self.arms();
        let ranks = self.judgement(measure).ranks(|place| !self.is_floor(arms[place]));
        ranks.into_iter().map(|(place, rank)| (arms[place], rank)).collect()
    }

    /// Whether an arm is told better than another, directly or by way of others.
    pub fn is_better(&self, measure: Measure, arm: usize, than: usize) -> bool {
        let places = self.place(arm).zip(self.place(than));
        places.is_some_and(|(arm, than)| self.judgement(measure).is_better(arm, than))
    }

    /// What is known of each arm, compared with the first.
    pub fn result(&self) -> ContestResult {
        let mut arms: Vec<ArmResult> = (0..self.rounds_of.len()).map(|arm| self.arm_result(arm)).collect();
        let mut alarms = Vec::new();
        let of_copy = self.measures_of_copy();
        for measure in Measure::ALL {
            for (arm, found) in self.comparisons(measure, 0) {
                arms[arm].comparisons.insert(measure, found);
            }
            for (arm, rank) in self.ranks(measure) {
                arms[arm].ranks.insert(measure, rank);
            }
            for arm in self.arms() {
                let worse = self.arms().into_iter().filter(|other| self.is_better(measure, arm, *other));
                let worse: Vec<String> = worse.map(|other| self.arm(other).name.clone()).collect();
                if !worse.is_empty() {
                    arms[arm].better_than.insert(measure, worse);
                }
            }
            if let Some((copy, (found, p))) = self.copy().zip(self.judgement(measure).copy(of_copy)) {
                arms[copy].comparisons.insert(measure, found);
                alarms.extend(found.verdict.is_told().then(|| Alarm::new(measure, &found, p)));
            }
        }
        // The floors stand behind those that are ranked, by their ratios.
        let ranked = self.ranks(self.headline()).into_iter().map(|(arm, _)| arm);
        let order: Vec<usize> =
            ranked.chain(self.order(self.headline()).into_iter().filter(|arm| self.is_floor(*arm))).collect();
        let place = |arm: usize| order.iter().position(|is| *is == arm).unwrap_or(usize::MAX);
        let mut arms: Vec<(usize, ArmResult)> = arms.into_iter().enumerate().collect();
        arms.sort_by_key(|(number, arm)| (arm.arm.copy, place(*number), arm.arm.name.clone()));
        let reference = self.contest.arms.first().map_or_else(String::new, |arm| arm.name.clone());
        let Contest { workload, schedule, view, class, .. } = self.contest;
        ContestResult {
            workload: workload.name.clone(),
            shape: workload.clone(),
            schedule: *schedule,
            neighbours: self.neighbours,
            begun_apart: self.begun_apart,
            idle_kernel_bytes: self.idle_kernel_bytes,
            view: *view,
            class: *class,
            headline: self.headline(),
            rate: self.rate(),
            objectives: self.objectives(),
            title: self.title(),
            reference,
            arms: arms.into_iter().map(|(_, arm)| arm).collect(),
            scaling: self.scaling(),
            alarms,
        }
    }

    /// The workload's name, and what tells this from other contests of it: the rate that was offered, or the objective.
    pub fn title(&self) -> String {
        let name = &self.contest.workload.name;
        let objectives: Vec<String> = self.objectives().iter().map(ToString::to_string).collect();
        match self.rate() {
            Some(rate) => format!("{name} at {rate:.0}/s"),
            None if objectives.is_empty() => name.clone(),
            None => format!("{name}, capacity at {}", objectives.join(" and ")),
        }
    }

    /// What the capacity is the highest rate of; nothing where these rounds are not looked at for it.
    fn objectives(&self) -> Vec<Objective> {
        match &self.contest.arrivals {
            Arrivals::Open { objectives, .. } if self.scope == Scope::Capacity => objectives.clone(),
            _ => Vec::new(),
        }
    }

    /// The levels of an arm by all measures that were measured.
    fn levels(&self, arm: usize) -> BTreeMap<Measure, f64> {
        Measure::ALL.into_iter().filter_map(|measure| Some((measure, self.level_of(measure, arm)?))).collect()
    }

    fn arm_result(&self, arm: usize) -> ArmResult {
        let arm_rounds = &self.rounds_of[arm];
        ArmResult {
            arm: arm_rounds.arm.clone(),
            headline: self.headline(),
            class: self.contest.class,
            floor: self.is_floor(arm),
            maintained: self.maintained[arm],
            rounds: arm_rounds.rounds(),
            excluded: arm_rounds.excluded.clone(),
            no_verdict: self.barred[arm].clone(),
            client_bound: self.client_bound(arm),
            ranks: BTreeMap::new(),
            better_than: BTreeMap::new(),
            levels: self.levels(arm),
            session_time: arm_rounds.session_time(),
            response_time: arm_rounds.response_time(),
            longest_us: arm_rounds.longest_us(),
            comparisons: BTreeMap::new(),
        }
    }
}

/// Whether an arm's server is a loop by hand, as the record says what each is.
fn is_floor(arm: &Arm, record: &Record) -> bool {
    record.setup.contestants.get(&arm.server).is_some_and(Description::is_floor)
}

/// Whether what an arm's server rests on is actively maintained, as far as the record says.
fn is_maintained(arm: &Arm, record: &Record) -> bool {
    let server = record.setup.contestants.get(&arm.server);
    server.is_none_or(|it| it.maintenance == Maintenance::Active)
}

/// Why nothing can be said of each arm: its own reason, or that the reference or its second copy was not measured well enough.
fn barred(rounds_of: &[ArmRounds<'_>]) -> Vec<Option<String>> {
    let own: Vec<Option<String>> = rounds_of.iter().map(ArmRounds::no_verdict).collect();
    let is_reference = |arm: &usize| *arm == 0 || rounds_of[*arm].arm.copy;
    let lost = (0..rounds_of.len())
        .filter(is_reference)
        .find_map(|arm| Some((rounds_of[arm].arm, own[arm].clone()?)));
    let Some((arm, why)) = lost else { return own };
    let all = || format!("nothing to compare with: {}: {why}", arm.name);
    own.into_iter().map(|own| Some(own.unwrap_or_else(all))).collect()
}
