//! Who is compared with whom: the arms of a contest, made of participants.

use crate::{
    backend::Threading,
    load::Workload,
    placement::{Placement, WorkersOn},
    record::{Arm, Arrivals, Class, Contest, Schedule, View},
};

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
pub struct Participant {
    /// Its name.
    pub name: String,
    /// How many threads it runs on.
    pub threading: Threading,
}

/// What the arms of a contest have in common.
#[derive(Clone, Debug)]
pub struct ContestPlan {
    /// The workload.
    pub workload: Workload,
    /// How its messages come.
    pub arrivals: Arrivals,
    /// How the arms take turns.
    pub schedule: Schedule,
    /// What differs between the arms.
    pub view: View,
    /// How many threads they run on.
    pub class: Class,
    /// Worker threads of every participant that has such; where arms are to differ by them, each number that they are to have.
    pub workers: Vec<WorkersOn>,
    /// Where server and client run.
    pub placement: Placement,
}

impl ContestPlan {
    /// Workers of a client of its own, of so many workers of its server: as many; where arms differ by them, one for each of its
    /// processors, so that it is no limit to them.
    fn client_workers(&self, server: usize) -> usize {
        match (self.class, &self.placement.client) {
            (Class::Scaling, Some(cpus)) => cpus.count(),
            _ => server,
        }
    }
}

/// Makes a contest of participants whom its class admits: the arms that its view asks for, or each with each number of workers where
/// it is about those; the reference first, its copy last.
pub fn contest(plan: &ContestPlan, participants: &[Participant], neutral: &Participant) -> Contest {
    let free = |participant: &Participant, workers: usize| {
        participant.threading.has_free_workers().then_some(workers)
    };
    let of_workers = |name: String, server: &Participant, client: &Participant, workers: &WorkersOn| Arm {
        name,
        server: server.name.clone(),
        client: client.name.clone(),
        server_workers: free(server, workers.count),
        client_workers: free(client, plan.client_workers(workers.count)),
        copy: false,
        burn_ns: 0,
        server_cpus: workers.cpus.clone(),
        void: workers.void.clone(),
    };
    let arm = |name: String, server: &Participant, client: &Participant| {
        of_workers(name, server, client, &plan.workers[0])
    };
    let mut arms: Vec<Arm> = match plan.view {
        _ if plan.class == Class::Scaling => {
            let each =
                participants.iter().flat_map(|it| plan.workers.iter().map(move |workers| (it, workers)));
            each.map(|(it, workers)| {
                of_workers(format!("{}/{}", it.name, workers.count), it, neutral, workers)
            })
            .collect()
        }
        View::Own => participants.iter().map(|it| arm(it.name.clone(), it, it)).collect(),
        View::Server => participants.iter().map(|it| arm(it.name.clone(), it, neutral)).collect(),
        View::Matrix => {
            let pairs = participants
                .iter()
                .flat_map(|client| participants.iter().map(move |server| (client, server)));
            pairs
                .map(|(client, server)| arm(format!("{} to {}", client.name, server.name), server, client))
                .collect()
        }
    };
    arms.extend(arms.first().map(copy_of));
    let ContestPlan { workload, schedule, view, class, placement, .. } = plan.clone();
    let arrivals = plan.arrivals.clone();
    Contest { workload, arrivals, schedule, view, class, placement, arms }
}
