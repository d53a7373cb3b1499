//! The interleaved comparison: its schedule, and running it.
//!
//! All arms of a contest are alive. One runs for some milliseconds, a **slice**, while the others rest, in an order drawn
//! anew for each **block**, which is one turn of all; an **epoch** is some blocks with the same processes, and the next
//! has fresh ones. With every block runs a second copy of the reference, so that the reference is known as well as two can
//! tell it. Where arms can't be stopped and continued, on other machines, each runs whole rounds in its turn instead.

mod contest;
mod ladder;
mod runner;
mod schedule;

use std::time::{Duration, Instant};

use crate::{
    load::Workload,
    record::{Arrivals, Contest, Line, Place, SCHEMA, Schedule},
    round::paced_window_ms,
};

pub use contest::{ContestPlan, Participant, contest, copy_of, handicapped};
pub use ladder::{Ladder, Prober, find_rates};
pub use runner::{AgentRunner, pair_plan};
use schedule::EPOCHS_IN_TIME;
pub use schedule::{fit, order, slices, turns};

/// What a duel is to be.
#[derive(Clone, Debug)]
pub struct DuelPlan {
    /// What is compared.
    pub contests: Vec<Contest>,
    /// The seed of the order.
    pub seed: u64,
    /// When it is over.
    pub until: Until,
}

/// What an arm's processes take to be started, to get into steady state, and to be ended.
const AROUND_AN_EPOCH: Duration = Duration::from_millis(100);

/// What they take at least: two processes, of which one serves and one has begun to drive.
const LEAST_AROUND: Duration = Duration::from_millis(10);

impl DuelPlan {
    /// The least that an epoch takes: what its processes take to be started, and a slice or round of each arm.
    pub fn least(&self) -> Duration {
        let of_an_arm = |contest: &Contest| match contest.schedule {
            Schedule::Slices { warm_ms, slice_ms, .. } => Duration::from_millis(warm_ms + slice_ms),
            Schedule::Rounds { .. } => block_of_rounds(contest, 0),
        };
        let least = |contest: &Contest| {
            (of_an_arm(contest) + LEAST_AROUND + idle_takes(contest)) * contest.arms.len() as u32
        };
        self.contests.iter().map(least).sum()
    }

    /// How long it takes, roughly; nothing is known of the machine yet.
    pub fn estimate(&self) -> Duration {
        match self.until {
            Until::Time(time) => time,
            Until::Epochs(epochs) => self.epoch() * u32::try_from(epochs).unwrap_or(u32::MAX),
        }
    }

    /// How long an epoch of all contests takes, roughly.
    pub fn epoch(&self) -> Duration {
        self.contests.iter().map(epoch_takes).sum()
    }
}

/// How long an epoch of a contest takes, roughly.
fn epoch_takes(contest: &Contest) -> Duration {
    let of_an_arm = match contest.schedule {
        Schedule::Slices { warm_ms, slice_ms, blocks } => {
            Duration::from_millis((warm_ms + slice_ms) * blocks as u64)
        }
        Schedule::Rounds { blocks } => (0..blocks).map(|block| block_of_rounds(contest, block)).sum(),
    };
    let arms = u32::try_from(contest.arms.len()).unwrap_or(u32::MAX);
    (of_an_arm + AROUND_AN_EPOCH + idle_takes(contest)) * arms
}

/// How long a block takes each arm in whole rounds: one, or one at each rate that it has.
fn block_of_rounds(contest: &Contest, block: usize) -> Duration {
    let Workload { ramp_ms, window_ms, connections, .. } = contest.workload;
    let Arrivals::Open { rates, objectives, .. } = &contest.arrivals else {
        return Duration::from_millis(ramp_ms + window_ms);
    };
    // The pacer opens its connections for each, and waits for the last replies.
    let around = EACH_CONNECTION * u32::try_from(connections).unwrap_or(u32::MAX) + AROUND_A_RATE;
    let round = |step: usize| {
        let window_ms = paced_window_ms(rates[step], objectives, window_ms).unwrap_or(window_ms);
        Duration::from_millis(ramp_ms + window_ms) + around
    };
    let of_one_arm = turns(0, contest, 0, block).into_iter().filter(|(arm, _)| *arm == 0);
    of_one_arm.filter_map(|(_, step)| step).map(round).sum()
}

/// Takes blocks off the epochs of a load at rates, so that there are enough epochs in its time.
pub fn fit_blocks(contest: &mut Contest, time: Duration) {
    let Schedule::Rounds { blocks } = contest.schedule else { return };
    let arms = u32::try_from(contest.arms.len()).unwrap_or(u32::MAX);
    let epoch = time / EPOCHS_IN_TIME;
    let first = (block_of_rounds(contest, 0) + AROUND_AN_EPOCH) * arms;
    let other = block_of_rounds(contest, 1) * arms;
    let more = epoch.saturating_sub(first).as_secs_f64() / other.as_secs_f64().max(f64::MIN_POSITIVE);
    contest.schedule = Schedule::Rounds { blocks: blocks.min(1 + more as usize) };
}

/// What a round at a rate takes beside its time: drawing the plan, the questions, and the last replies.
const AROUND_A_RATE: Duration = Duration::from_millis(5);

/// How long it takes to open a connection and exchange one message on it, roughly: a session of eight messages, alone, takes 70 to
/// 170 µs by the records in `results/` (workload `solo`, `epoll`), and this is about half of the least.
const EACH_CONNECTION: Duration = Duration::from_micros(40);

/// How long it takes to open the silent connections of an arm, one after the other.
fn idle_takes(contest: &Contest) -> Duration {
    EACH_CONNECTION * u32::try_from(contest.workload.idle).unwrap_or(u32::MAX)
}

/// How often a round at a rate is tried that the machine spoils: a moment in which it stands still costs a try, and no block. In
/// `handler`, far from the pacer's limit, 10 of 2,000 rounds were spoilt in three minutes, and in `database`, near it, 474 of 1,232.
pub const TRIES: usize = 3;

/// When a duel is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// After so many epochs.
    Epochs(usize),
    /// At a time, or before, when the caller has seen enough.
    Time(Duration),
}

impl Until {
    /// Whether that time has come.
    pub fn is_past(self, elapsed: Duration) -> bool {
        matches!(self, Self::Time(time) if elapsed >= time)
    }
}

/// Where rounds are fought: agents, or a stand-in that lets the whole be tested without waiting.
pub trait Runner {
    /// Measures what is measured in a few epochs alone, by processes of its own, before those of the epoch are started.
    fn idle(&mut self, contest: &Contest, place: Place) -> Option<Line>;

    /// Starts fresh processes for every arm of a contest; an arm that cannot be started fails by itself in its rounds.
    fn begin_epoch(&mut self, contest: &Contest, epoch: usize);

    /// Lets an arm run for one slice, in this turn of its block.
    fn slice(&mut self, contest: &Contest, arm: usize, turn: usize);

    /// Says what all slices of an arm since the begin of the epoch came to.
    fn sliced_round(&mut self, contest: &Contest, arm: usize, place: Place) -> Line;

    /// Fights one whole round of an arm.
    fn round(&mut self, contest: &Contest, arm: usize, place: Place) -> Line;

    /// Ends the processes.
    fn end_epoch(&mut self);
}

/// Who follows a duel.
pub trait Observer {
    /// Takes the lines of some blocks; the next begin when this returns. Returns whether to go on.
    ///
    /// # Errors
    /// When the lines cannot be kept; the duel ends.
    fn lines(&mut self, lines: Vec<Line>, elapsed: Duration) -> anyhow::Result<Next>;

    /// Whether somebody wants the duel to end after the block at hand.
    fn is_interrupted(&self) -> bool;
}

/// Whether a duel goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It does.
    GoOn,
    /// Enough was seen, or somebody interrupted.
    Stop,
}

/// Epochs in which idle connections are measured. What they cost is the same to a few bytes each time.
const IDLE_EPOCHS: usize = 3;

/// Fights a duel: epoch by epoch, in each one contest after the other.
///
/// # Errors
/// The observer's.
pub fn fight(plan: &DuelPlan, runner: &mut impl Runner, observer: &mut impl Observer) -> anyhow::Result<()> {
    let begun = Instant::now();
    for epoch in 0.. {
        if plan.until.is_past(begun.elapsed()) || plan.until == Until::Epochs(epoch) {
            break;
        }
        for contest in &plan.contests {
            if plan.until.is_past(begun.elapsed()) {
                return Ok(());
            }
            let mut fight = Fight { plan, contest, epoch, begun };
            let idle = fight.idle(runner);
            runner.begin_epoch(contest, epoch);
            let next = match contest.schedule {
                Schedule::Slices { blocks, .. } => fight.slices(blocks, idle, runner, observer),
                Schedule::Rounds { blocks } => fight.rounds(blocks, idle, runner, observer),
            };
            runner.end_epoch();
            if next? == Next::Stop {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// One epoch of a contest.
struct Fight<'a> {
    plan: &'a DuelPlan,
    contest: &'a Contest,
    epoch: usize,
    begun: Instant,
}

impl Fight<'_> {
    fn idle(&self, runner: &mut impl Runner) -> Vec<Line> {
        if self.epoch >= IDLE_EPOCHS {
            return Vec::new();
        }
        let turns = self.order(0).into_iter().enumerate();
        turns.filter_map(|(turn, arm)| runner.idle(self.contest, self.place(arm, 0, turn))).collect()
    }

    /// Fights blocks of slices. Their lines are written when the last is over: what they came to is known only then.
    fn slices(
        &mut self,
        blocks: usize,
        mut lines: Vec<Line>,
        runner: &mut impl Runner,
        observer: &mut impl Observer,
    ) -> anyhow::Result<Next> {
        let mut fought = 0;
        while fought < blocks && !observer.is_interrupted() && !self.is_past() {
            for (turn, arm) in self.order(fought).into_iter().enumerate() {
                runner.slice(self.contest, arm, turn);
            }
            fought += 1;
        }
        if fought == 0 {
            return Ok(Next::Stop);
        }
        let arms = 0..self.contest.arms.len();
        lines.extend(arms.map(|arm| runner.sliced_round(self.contest, arm, self.place(arm, 0, 0))));
        self.tell(lines, observer)
    }

    fn rounds(
        &mut self,
        blocks: usize,
        mut lines: Vec<Line>,
        runner: &mut impl Runner,
        observer: &mut impl Observer,
    ) -> anyhow::Result<Next> {
        for block in 0..blocks {
            if self.is_past() {
                return Ok(Next::Stop);
            }
            for (turn, (arm, step)) in self.turns(block).into_iter().enumerate() {
                let place = Place { step, ..self.place(arm, block, turn) };
                self.round(arm, &place, &mut lines, runner);
            }
            if self.tell(std::mem::take(&mut lines), observer)? == Next::Stop {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::GoOn)
    }

    /// Fights a round of an arm; one at a rate again, with the same plan, while the machine spoils it. Each try is a line.
    fn round(&self, arm: usize, place: &Place, lines: &mut Vec<Line>, runner: &mut impl Runner) {
        let tries = if place.step.is_some() { TRIES } else { 1 };
        for _ in 0..tries {
            let line = runner.round(self.contest, arm, place.clone());
            let again = matches!(&line, Line::Round(round) if round.may_be_tried_again());
            lines.push(line);
            if !again {
                return;
            }
        }
    }

    fn tell(&self, lines: Vec<Line>, observer: &mut impl Observer) -> anyhow::Result<Next> {
        observer.lines(lines, self.begun.elapsed())
    }

    fn is_past(&self) -> bool {
        self.plan.until.is_past(self.begun.elapsed())
    }

    fn order(&self, block: usize) -> Vec<usize> {
        order(self.plan.seed, self.contest, self.epoch, block)
    }

    fn turns(&self, block: usize) -> Vec<(usize, Option<usize>)> {
        turns(self.plan.seed, self.contest, self.epoch, block)
    }

    fn place(&self, arm: usize, block: usize, turn: usize) -> Place {
        Place {
            schema: SCHEMA,
            workload: self.contest.workload.name.clone(),
            view: self.contest.view,
            class: self.contest.class,
            arm: self.contest.arms[arm].name.clone(),
            epoch: self.epoch,
            block,
            turn,
            step: None,
        }
    }
}

#[cfg(test)]
mod tests;
