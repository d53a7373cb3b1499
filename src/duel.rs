//! The interleaved comparison: its schedule, and running it.
//!
//! Rounds are short. Each block runs every arm once, in an order drawn anew; an epoch is some blocks with the same
//! processes, and the next has fresh ones. With every block runs a second copy of the reference: what it shows is the
//! noise. Absent from here: what the rounds say ([`crate::analysis`]), and printing.

mod arena;
mod schedule;

use std::time::{Duration, Instant};

use crate::{
    backend::Threading,
    placement::Placement,
    record::{Arm, Class, Contest, Line, Place, SCHEMA, View},
};

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
        class: contest.class,
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

/// One who may take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its name.
    pub name: String,
    /// How many threads it runs on.
    pub threading: Threading,
}

/// What the arms of a contest have in common.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The workload's name.
    pub workload: String,
    /// What differs between the arms.
    pub view: View,
    /// How many threads they run on.
    pub class: Class,
    /// Worker threads of every contender that has such.
    pub workers: usize,
    /// Where server and client run.
    pub placement: Placement,
}

impl Terms {
    fn workers_of(&self, contender: &Contender) -> Option<usize> {
        contender.threading.has_free_workers().then_some(self.workers)
    }
}

/// Makes a contest of contenders whom its class admits: the arms that its view asks for, the reference first, its copy last.
pub fn contest(terms: &Terms, contenders: &[Contender], neutral: &Contender) -> Contest {
    let arm = |name: String, server: &Contender, client: &Contender| Arm {
        name,
        server: server.name.clone(),
        client: client.name.clone(),
        server_workers: terms.workers_of(server),
        client_workers: terms.workers_of(client),
        copy: false,
        burn_ns: 0,
    };
    let mut arms: Vec<Arm> = match terms.view {
        View::Own => contenders.iter().map(|it| arm(it.name.clone(), it, it)).collect(),
        View::Server => contenders.iter().map(|it| arm(it.name.clone(), it, neutral)).collect(),
        View::Matrix => {
            let pairs =
                contenders.iter().flat_map(|client| contenders.iter().map(move |server| (client, server)));
            pairs
                .map(|(client, server)| arm(format!("{} to {}", client.name, server.name), server, client))
                .collect()
        }
    };
    arms.extend(arms.first().map(copy_of));
    let Terms { workload, view, class, placement, .. } = terms.clone();
    Contest { workload, view, class, placement, arms }
}

#[cfg(test)]
mod tests;
