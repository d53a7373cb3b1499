//! The interleaved comparison: its schedule, and running it.
//!
//! Rounds are short. Each block runs every arm once, in an order drawn anew; an epoch is some blocks with the same
//! processes, and the next has fresh ones. With every block runs a second copy of the reference: what it shows is the
//! noise. Absent from here: what the rounds say ([`crate::analysis`]), and printing.

mod arena;
mod schedule;

use std::time::{Duration, Instant};

use crate::record::{Arm, Contest, Line, Place, SCHEMA, View};

pub use arena::AgentArena;
pub use schedule::order;

/// What a duel is to be.
#[derive(Clone, Debug)]
pub struct DuelPlan {
    /// What is compared.
    pub contests: Vec<Contest>,
    /// The seed of the order.
    pub seed: u64,
    /// Blocks in an epoch.
    pub blocks: usize,
    /// When it is over.
    pub until: Until,
}

/// When a duel is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// After so many epochs.
    Epochs(usize),
    /// At a time, or before, when the caller has seen enough.
    Time(Duration),
}

impl Until {
    fn is_past(self, elapsed: Duration) -> bool {
        matches!(self, Self::Time(time) if elapsed >= time)
    }
}

/// Where rounds are fought: agents, or a stand-in that lets the whole be tested without waiting.
pub trait Arena {
    /// Starts fresh processes for every arm of a contest; an arm that cannot be started fails by itself in its rounds.
    fn begin_epoch(&mut self, contest: &Contest);

    /// Fights one round of an arm.
    fn round(&mut self, contest: &Contest, arm: usize, place: Place) -> Line;

    /// Measures what only needs measuring once an epoch.
    fn idle(&mut self, contest: &Contest, arm: usize, place: Place) -> Option<Line>;

    /// Ends the processes.
    fn end_epoch(&mut self);
}

/// Who follows a duel.
pub trait Witness {
    /// Takes the lines of a block; the next begins when this returns. Returns whether to go on.
    ///
    /// # Errors
    /// When the lines cannot be kept; the duel ends.
    fn block(&mut self, lines: Vec<Line>, elapsed: Duration) -> anyhow::Result<Next>;
}

/// Whether a duel goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It does.
    GoOn,
    /// Enough was seen, or somebody interrupted.
    Stop,
}

/// Fights a duel: epoch by epoch, in each one contest after the other.
///
/// # Errors
/// The witness's.
pub fn fight(plan: &DuelPlan, arena: &mut impl Arena, witness: &mut impl Witness) -> anyhow::Result<()> {
    let begun = Instant::now();
    for epoch in 0.. {
        if plan.until.is_past(begun.elapsed()) || plan.until == Until::Epochs(epoch) {
            break;
        }
        for contest in &plan.contests {
            arena.begin_epoch(contest);
            let next = fight_epoch(plan, contest, epoch, begun, arena, witness);
            arena.end_epoch();
            if next? == Next::Stop {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn fight_epoch(
    plan: &DuelPlan,
    contest: &Contest,
    epoch: usize,
    begun: Instant,
    arena: &mut impl Arena,
    witness: &mut impl Witness,
) -> anyhow::Result<Next> {
    // First, on servers that have held nothing yet.
    let turns = order(plan.seed, contest, epoch, plan.blocks).into_iter().enumerate();
    let idle = turns.filter_map(|(turn, arm)| arena.idle(contest, arm, place(contest, arm, epoch, 0, turn)));
    let mut lines: Vec<Line> = idle.collect();
    for block in 0..plan.blocks {
        if plan.until.is_past(begun.elapsed()) {
            return Ok(Next::Stop);
        }
        for (turn, arm) in order(plan.seed, contest, epoch, block).into_iter().enumerate() {
            lines.push(arena.round(contest, arm, place(contest, arm, epoch, block, turn)));
        }
        if witness.block(std::mem::take(&mut lines), begun.elapsed())? == Next::Stop {
            return Ok(Next::Stop);
        }
    }
    Ok(Next::GoOn)
}

fn place(contest: &Contest, arm: usize, epoch: usize, block: usize, turn: usize) -> Place {
    Place {
        schema: SCHEMA,
        workload: contest.workload.clone(),
        view: contest.view,
        arm: contest.arms[arm].name.clone(),
        epoch,
        block,
        turn,
    }
}

/// Makes the second copy of an arm.
pub fn copy_of(arm: &Arm) -> Arm {
    Arm { name: format!("{} again", arm.name), copy: true, ..arm.clone() }
}

/// Makes a copy of an arm whose server burns CPU time for each message.
pub fn handicapped(arm: &Arm, burn_ns: u64) -> Arm {
    Arm { name: format!("{} handicapped by {burn_ns} ns", arm.name), burn_ns, ..arm.clone() }
}

/// Makes a contest of backends under a workload: the arms that its view asks for, the reference first, its copy last.
pub fn contest(
    workload: &str,
    view: View,
    backends: &[String],
    neutral: &str,
    workers: Option<usize>,
) -> Contest {
    let arm = |name: String, server: &str, client: &str| Arm {
        name,
        server: server.to_owned(),
        client: client.to_owned(),
        workers,
        copy: false,
        burn_ns: 0,
    };
    let mut arms: Vec<Arm> = match view {
        View::Own => backends.iter().map(|name| arm(name.clone(), name, name)).collect(),
        View::Server => backends.iter().map(|name| arm(name.clone(), name, neutral)).collect(),
        View::Matrix => {
            let pairs =
                backends.iter().flat_map(|client| backends.iter().map(move |server| (client, server)));
            pairs.map(|(client, server)| arm(format!("{client} to {server}"), server, client)).collect()
        }
    };
    arms.extend(arms.first().map(copy_of));
    Contest { workload: workload.to_owned(), view, arms }
}

#[cfg(test)]
mod tests;
