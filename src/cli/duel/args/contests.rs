//! The contests that come of what a duel is asked for: workloads, views and classes, each with its placement and schedule.

use super::{Args, PACED_BLOCKS, QUICK_SHARE, RATE_BLOCKS, ViewChoice, refuse_twice};
use crate::{
    cli::{
        duel::participants::{self, Participants},
        machines::Machines,
        millis, output, wrong_usage,
    },
    duel::{ContestPlan, fit, handicapped, slices},
    load::Workload,
    placement::{Cpus, Placement, WorkersOn},
    record::{Arrivals, Class, Contest, Schedule, View},
};

impl Args {
    pub(super) fn contests(&self, participants: &Participants) -> anyhow::Result<Vec<Contest>> {
        let workloads = self.workloads();
        refuse_twice(workloads.iter().map(|workload| workload.name.as_str()))?;
        let views = self.views(participants)?;
        refuse_twice(views.iter().map(|view| View::from(*view).name()))?;
        let asked: Vec<Class> = self.classes.iter().map(|class| Class::from(*class)).collect();
        refuse_twice(asked.iter().map(|class| class.name()))?;
        let (workers, classes) = match self.worker_counts()?.as_slice() {
            counts @ [_, _, ..] => {
                participants.refuse_fixed_workers()?;
                (counts.to_vec(), vec![Class::Scaling])
            }
            one => (one.to_vec(), participants.classes(&asked, one.first().copied())?),
        };
        let mut contests = Vec::new();
        for (workload, view) in
            workloads.iter().flat_map(|workload| views.iter().map(move |view| (workload, *view)))
        {
            for class in &classes {
                if workload.arrivals.is_some() && *class == Class::Multi && !self.has_room_for_several()? {
                    continue;
                }
                let is_paced = workload.arrivals.is_some();
                let (placement, on) = match class {
                    Class::Scaling => self.placement_for_workers(is_paced, &workers)?,
                    _ => {
                        let placement = self.placement(*class, is_paced)?;
                        let counts = participants::workers(*class, &workers, &placement);
                        (placement, counts.into_iter().map(WorkersOn::from).collect())
                    }
                };
                let plan = ContestPlan {
                    workload: workload.clone(),
                    arrivals: self.arrivals(workload),
                    schedule: self.schedule(workload, self.view(workload, view)?, participants),
                    view: self.view(workload, view)?,
                    class: *class,
                    workers: on,
                    placement,
                };
                contests.push(self.handicap(participants.contest(&plan, &workers)?));
            }
        }
        if contests.is_empty() {
            let instead = if self.classes.is_empty() { "" } else { " instead of --class" };
            let several = participants.with_several_threads().unwrap_or("tokio");
            let asking = match (!self.objectives.is_empty(), self.rate.is_some()) {
                (true, _) => "--objective",
                (_, true) => "--rate",
                _ => "this workload",
            };
            return Err(wrong_usage(format!(
                "{several} runs several threads. For such backends, {asking} needs two processors for the server and a third for the client, and \
                 fewer are available here. With --workers 1{instead}, two processors are enough"
            )));
        }
        // With a set time, enough epochs are worth more than long ones.
        if let (Some(time), None) = (self.time, self.until) {
            let share = time / u32::try_from(contests.len().max(1)).unwrap_or(u32::MAX);
            contests.iter_mut().for_each(|it| it.schedule = fit(it.schedule, it.arms.len(), share));
        }
        Ok(contests)
    }

    /// The numbers of workers that were asked for, in ascending order.
    fn worker_counts(&self) -> anyhow::Result<Vec<usize>> {
        let mut counts: Vec<usize> = self.workers.iter().copied().map(usize::from).collect();
        counts.sort_unstable();
        refuse_twice(counts.iter())?;
        if counts.len() > 1 && !self.classes.is_empty() {
            return Err(wrong_usage(
                "several numbers of --workers cannot be combined with --class: leave --class out",
            ));
        }
        Ok(counts)
    }

    /// The views that were asked for, or the one that all who are named can be in.
    fn views(&self, participants: &Participants) -> anyhow::Result<Vec<ViewChoice>> {
        let alone = participants.names_a_server_alone();
        let apart = |view: &ViewChoice| !matches!(view, ViewChoice::Server);
        if alone && self.workloads().iter().any(|it| it.arrivals.is_none()) && self.views.iter().any(apart) {
            return Err(wrong_usage("a server alone has no client of its own; --view server"));
        }
        if self.workers.len() > 1 {
            if self.views.iter().any(apart) {
                return Err(wrong_usage(
                    "with several numbers of --workers the same client drives all servers: leave --view out",
                ));
            }
            return Ok(vec![ViewChoice::Server]);
        }
        Ok(match (self.views.is_empty(), alone) {
            (false, _) => self.views.clone(),
            (true, true) => vec![ViewChoice::Server],
            (true, false) => vec![ViewChoice::Own],
        })
    }

    /// The workloads, with the window that was asked for.
    pub(super) fn workloads(&self) -> Vec<Workload> {
        let window_ms = self.window.map(millis);
        let asked = self.workloads.iter().map(|workload| {
            // An objective is of response times, which a closed loop does not have, and its rates are found.
            if self.objectives.is_empty() { workload.at(self.rate) } else { workload.clone().open() }
        });
        let of_window = asked.map(|it| Workload { window_ms: window_ms.unwrap_or(it.window_ms), ..it });
        of_window.map(|it| it.over_its_link(self.link)).collect()
    }

    /// Adds copies of the reference that burn CPU time, if any were asked for.
    fn handicap(&self, mut contest: Contest) -> Contest {
        let reference = contest.arms[0].clone();
        let handicapped = self.handicap_ns.iter().map(|burn_ns| handicapped(&reference, *burn_ns));
        contest.arms.splice(1..1, handicapped);
        contest
    }

    /// Whether several workers have processors beside the pacer's own: where it was said where they run, or here.
    fn has_room_for_several(&self) -> anyhow::Result<bool> {
        let machines = self.machines();
        let said = machines.server_cpus.is_some() || !machines.server_exec.is_empty();
        Ok(said || Cpus::of_this_process()?.count() > 2)
    }

    /// What is to be known of loads at a rate: what is not measured, and where the pacer has no processor of its own.
    pub(super) fn pacer_warnings(&self, contests: &[Contest]) -> anyhow::Result<Vec<String>> {
        let paced = |contest: &&Contest| contest.arrivals != Arrivals::Closed;
        let mut warnings = Vec::new();
        if contests.iter().any(|it| paced(&it)) && !self.has_room_for_several()? {
            warnings.push(
                "rates: several threads each are not measured at a rate; that needs two processors beside the pacer's own"
                    .to_owned(),
            );
        }
        if contests.iter().filter(paced).any(|it| !it.placement.is_apart()) {
            warnings.push(
                "pacer: it has no processor of its own and sleeps between messages; rounds in which it wakes too late do not count"
                    .to_owned(),
            );
        }
        Ok(warnings)
    }

    /// How the messages of a workload come; at which rates is found later.
    fn arrivals(&self, workload: &Workload) -> Arrivals {
        match workload.arrivals {
            None => Arrivals::Closed,
            Some(_) => Arrivals::Open { rates: Vec::new(), once: 0, objectives: self.objectives.clone() },
        }
    }

    /// What differs between the arms: the server alone, where the pacer is the client.
    fn view(&self, workload: &Workload, asked: ViewChoice) -> anyhow::Result<View> {
        let view = View::from(asked);
        match (workload.arrivals.is_some(), view) {
            (true, View::Matrix) => Err(wrong_usage(
                "--view matrix compares clients, but a workload at a set rate has one client, ioduel's load generator, for all backends: leave --view out",
            )),
            (true, _) => Ok(View::Server),
            (false, view) => Ok(view),
        }
    }

    /// Where a class of arms runs: what was asked for, or else one processor for both sides of a single thread, all processors for
    /// both of several. A pacer has the last for itself, where there are two.
    pub(super) fn placement(&self, class: Class, is_paced: bool) -> anyhow::Result<Placement> {
        let Machines { server_exec, server_cpus, client_exec, client_cpus, .. } = self.machines();
        let (server_elsewhere, client_elsewhere) = (!server_exec.is_empty(), !client_exec.is_empty());
        if is_paced {
            let several = (class == Class::Multi).then(Cpus::but_the_last).transpose()?;
            let placed = Placement::apart(
                (server_cpus.or(several), server_elsewhere),
                (client_cpus, client_elsewhere),
            );
            return placed.map_err(wrong_usage);
        }
        let all = || (class == Class::Multi).then(Cpus::of_this_process).transpose();
        let or_all = |asked: &Option<Cpus>| asked.clone().map_or_else(all, |cpus| Ok(Some(cpus)));
        Placement::with_prefixes(
            (or_all(&server_cpus)?, server_elsewhere),
            (or_all(&client_cpus)?, client_elsewhere),
        )
        .map_err(wrong_usage)
    }

    /// Where servers with each of these numbers of workers run, and their one client.
    fn placement_for_workers(
        &self,
        is_paced: bool,
        workers: &[usize],
    ) -> anyhow::Result<(Placement, Vec<WorkersOn>)> {
        if is_paced {
            return Err(wrong_usage(
                "several numbers of --workers cannot be compared at a rate: leave out --rate, --objective and workloads with a rate",
            ));
        }
        let Machines { server_exec, server_cpus, client_exec, client_cpus, .. } = self.machines();
        if !server_exec.is_empty() || !client_exec.is_empty() {
            return Err(wrong_usage(
                "several numbers of --workers need to know the processors: run ioduel on the machine itself, without prefixes",
            ));
        }
        Placement::for_workers(server_cpus, client_cpus, workers).map_err(wrong_usage)
    }

    /// How the arms of a contest take turns: in slices, where all can be stopped and continued.
    fn schedule(&self, workload: &Workload, view: View, participants: &Participants) -> Schedule {
        if workload.arrivals.is_some() {
            let blocks = if self.objectives.is_empty() { RATE_BLOCKS } else { PACED_BLOCKS };
            return Schedule::Rounds { blocks };
        }
        let Machines { server_exec, client_exec, .. } = self.machines();
        // A process that is stopped for a slice would have replies under way, which arrive meanwhile.
        if self.whole_rounds || workload.link.is_some() || !server_exec.is_empty() || !client_exec.is_empty()
        {
            return Schedule::Rounds { blocks: 1 };
        }
        if let Some(name) = participants.not_sliceable(view) {
            output::tell(&format!(
                "{}: whole rounds, for {name} can't be stopped and continued",
                workload.name
            ));
            return Schedule::Rounds { blocks: 1 };
        }
        let share = if self.quick { QUICK_SHARE } else { 1 };
        slices(workload, workload.window_ms / share)
    }
}

/// What numbers of workers say nothing of more processors, and why.
pub(super) fn scaling_warning(contest: &Contest) -> Option<String> {
    let of = &contest.arms.first()?.server;
    let void = contest.arms.iter().filter(|arm| arm.server == *of && !arm.copy);
    let told: Vec<String> =
        void.filter_map(|arm| Some(format!("{} {}", arm.name, arm.void.as_ref()?))).collect();
    (!told.is_empty()).then(|| {
        format!(
            "workers: {}; that says nothing about scaling: choose with --server-cpus and --client-cpus, or use a machine of more cores",
            told.join(", ")
        )
    })
}
