//! Who takes part in a duel, and against whom: one worker is never compared with several, unless that is what is asked.

use std::{collections::BTreeMap, path::Path};

use super::args::refuse_twice;
use crate::{
    backend::{self, Threading, Unavailable},
    cli::{Chosen, output, wrong_usage},
    conform::admit,
    contestant::{self, Contestant, Description},
    duel::{ContestPlan, Participant, contest},
    load::Workload,
    pacer,
    placement::Placement,
    record::{Arrivals, Class, Contest, View},
};

/// The neutral client: the leanest that the suite has.
const NEUTRAL: &str = "epoll";

/// The fewest arms, without the second copy of the reference, that are a comparison.
const FEWEST: usize = 2;

/// The workers of the multi class where there is one processor alone.
const FEWEST_WORKERS: usize = 2;

/// Who takes part.
pub(super) struct Participants {
    contestants: Vec<&'static Contestant>,
    /// Whether they were named, and are not all that there are.
    named: bool,
    /// Who could not, and why.
    pub(super) skipped: BTreeMap<String, String>,
}

impl Participants {
    /// Takes those who were named, or all who can run here.
    ///
    /// # Errors
    /// When one was named that can't, or twice.
    pub(super) fn new(named: &[Chosen], program: &Path) -> anyhow::Result<Self> {
        refuse_twice(named.iter().map(|chosen| chosen.name()))?;
        let mut participants =
            Self { contestants: Vec::new(), named: !named.is_empty(), skipped: BTreeMap::new() };
        for chosen in named {
            match admitted(chosen.0, program) {
                Ok(()) => participants.contestants.push(chosen.0),
                // What does not compile is no reason to do without the others.
                Err(why) if chosen.0.is_a_version() => {
                    participants.skipped.insert(chosen.name().to_owned(), why.to_string());
                }
                Err(why) => anyhow::bail!("{} cannot run here: {why}", chosen.name()),
            }
        }
        if participants.contestants.len() < FEWEST.min(named.len()) {
            let why = participants.skipped.iter().map(|(name, why)| format!("{name} cannot run here: {why}"));
            let why = why.collect::<Vec<_>>().join("; ");
            anyhow::bail!("fewer than two backends are left to compare. {why}");
        }
        for contestant in contestant::all().iter().filter(|_| named.is_empty()) {
            match admitted(contestant, program) {
                Ok(()) => participants.contestants.push(contestant),
                Err(why) => {
                    participants.skipped.insert(contestant.name().to_owned(), why.to_string());
                }
            }
        }
        if named.is_empty() {
            let left_out =
                backend::left_out().map(|name| (name.to_owned(), backend::not_built(name).to_string()));
            participants.skipped.extend(left_out);
        }
        Ok(participants)
    }

    /// Whether one that was named is a server alone: then one client drives all of them.
    pub(super) fn names_a_server_alone(&self) -> bool {
        self.named && self.contestants.iter().any(|contestant| contestant.is_alone())
    }

    /// Who takes part in a view and can't be stopped and continued.
    pub(super) fn not_sliceable(&self, view: View) -> Option<&'static str> {
        let mut arms = self.contestants.iter().filter(|it| view == View::Server || !it.is_alone());
        arms.find(|contestant| !contestant.is_sliceable()).map(|contestant| contestant.name())
    }

    /// The first of them that runs several threads, unless told otherwise.
    pub(super) fn with_several_threads(&self) -> Option<&'static str> {
        let mut multi = self.contestants.iter().filter(|it| Class::Multi.admits(it.threading(), None));
        multi.next().map(|it| it.name())
    }

    /// What each of them is, and the neutral client too.
    pub(super) fn descriptions(&self) -> BTreeMap<String, Description> {
        let neutral = contestant::find(NEUTRAL).into_iter();
        let all = self.contestants.iter().copied().chain(neutral);
        all.map(|contestant| (contestant.name().to_owned(), contestant.describe())).collect()
    }

    /// Those whom a class admits, where so many workers were asked for.
    fn of_class(&self, class: Class, asked: Option<usize>) -> Vec<Participant> {
        let admitted = self.contestants.iter().filter(|it| class.admits(it.threading(), asked));
        admitted.map(|contestant| participant(contestant)).collect()
    }

    /// The classes to fight in: those that were asked for; or where everybody was named, the one that all can be in; or
    /// all in which there is somebody to compare with.
    ///
    /// # Errors
    /// When there is nobody to compare with in any.
    pub(super) fn classes(&self, wanted: &[Class], workers: Option<usize>) -> anyhow::Result<Vec<Class>> {
        let mut possible = match workers {
            Some(workers) => vec![Class::of_workers(workers)],
            None => vec![Class::Single, Class::Multi],
        };
        possible.retain(|class| wanted.is_empty() || wanted.contains(class));
        if possible.is_empty() {
            return Err(wrong_usage("the single class has --workers 1, and the multi class has more"));
        }
        let admitted = |class: &Class| self.of_class(*class, workers).len();
        let all_in = possible.iter().find(|class| admitted(class) == self.contestants.len());
        if let (true, Some(class)) = (self.named && wanted.is_empty(), all_in) {
            return Ok(vec![*class]);
        }
        possible.retain(|class| admitted(class) >= FEWEST);
        if possible.is_empty() {
            let option = match (workers, wanted) {
                (Some(workers), _) => Some(format!("--workers {workers}")),
                (None, [class]) => Some(format!("--class {}", class.name())),
                _ => None,
            };
            let (why, advice) = option.map_or_else(
                || ("these backends have no class in common".to_owned(), "name two of one class".to_owned()),
                |option| {
                    (
                        format!("fewer than two of these backends can run with {option}"),
                        format!("name two that can run with {option}, or leave it out"),
                    )
                },
            );
            return Err(wrong_usage(format!(
                "{why}: {}; {advice} (single: one thread, multi: several)",
                self.contestants.iter().map(possible_classes).collect::<Vec<_>>().join(", ")
            )));
        }
        match self.contestants.iter().find(|it| !possible.iter().any(|c| c.admits(it.threading(), workers))) {
            Some(it) if self.named => {
                let classes: Vec<&str> = possible.iter().map(|class| class.name()).collect();
                Err(wrong_usage(format!(
                    "the backend {0} ({1}) cannot run in the {2} class, which --class or --workers asks for; remove it, or them",
                    it.name(),
                    it.threading(),
                    classes.join(" and ")
                )))
            }
            _ => Ok(possible),
        }
    }

    /// Refuses who was named and has no workers whose number can be chosen, where that is what is asked.
    ///
    /// # Errors
    /// When there is one.
    pub(super) fn refuse_fixed_workers(&self) -> anyhow::Result<()> {
        let is_free = |it: &&&Contestant| Class::Scaling.admits(it.threading(), None);
        match self.contestants.iter().find(|it| self.named && !is_free(it)) {
            Some(it) => Err(wrong_usage(format!(
                "{} ({}) has a fixed number of workers; leave this backend out",
                it.name(),
                it.threading()
            ))),
            None => Ok(()),
        }
    }

    /// Makes the contest of this plan, with the numbers of workers that were asked for.
    pub(super) fn contest(&self, plan: &ContestPlan, workers: &[usize]) -> anyhow::Result<Contest> {
        let neutral = match plan.arrivals {
            Arrivals::Closed => participant(contestant::find(NEUTRAL)?),
            Arrivals::Open { .. } => {
                Participant { name: pacer::NAME.to_owned(), threading: Threading::Single }
            }
        };
        let mut admitted = self.of_class(plan.class, workers.first().copied());
        if plan.view != View::Server {
            admitted.retain(|it| contestant::find(&it.name).is_ok_and(|it| !it.is_alone()));
        }
        for participant in &admitted {
            let served = contestant::find(&participant.name)?.can_serve(&plan.workload);
            if let (Err(why), true) = (served, self.named) {
                return Err(wrong_usage(format!("{}: {why}", participant.name)));
            }
        }
        admitted.retain(|it| contestant::find(&it.name).is_ok_and(|it| it.can_serve(&plan.workload).is_ok()));
        anyhow::ensure!(!admitted.is_empty(), "none of them can serve {}", plan.workload.name);
        Ok(contest(plan, &admitted, &neutral))
    }

    /// Who cannot serve a workload, and why.
    pub(super) fn unfit(&self, workload: &Workload) -> BTreeMap<String, String> {
        let unfit = self.contestants.iter().filter_map(|it| Some((it.name(), it.can_serve(workload).err()?)));
        unfit.map(|(name, why)| (name.to_owned(), format!("{}: {why}", workload.name))).collect()
    }
}

/// Gets a contestant ready, and puts it to the test, while the terminal shows what is built.
fn admitted(contestant: &Contestant, program: &Path) -> Result<(), Unavailable> {
    let admitted = admit(contestant, program, &output::building);
    output::progress("");
    admitted
}

/// The classes that a backend can run in.
fn possible_classes(contestant: &&'static Contestant) -> String {
    let can = |class: &Class| class.admits(contestant.threading(), None);
    let classes: Vec<&str> =
        [Class::Single, Class::Multi].iter().filter(|it| can(it)).map(|it| it.name()).collect();
    format!("`{}` is in class {} ({})", contestant.name(), classes.join(" and "), contestant.threading())
}

fn participant(contestant: &Contestant) -> Participant {
    Participant { name: contestant.name().to_owned(), threading: contestant.threading() }
}

/// The workers of a class, where a participant has such: those that were asked for, or what is usual.
pub(super) fn workers(class: Class, asked: &[usize], placement: &Placement) -> Vec<usize> {
    let processors = placement.server.as_ref().map_or(FEWEST_WORKERS, |cpus| cpus.count());
    match class {
        _ if !asked.is_empty() => asked.to_vec(),
        Class::Multi => vec![processors.max(FEWEST_WORKERS)],
        _ => vec![1],
    }
}
