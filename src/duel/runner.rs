//! The runner of agents: real processes, real sockets.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, time::Duration};

use crate::{
    duel::Runner,
    load::Extent,
    placement::{Cpus, Placement},
    record::{Arm, Arrivals, Contest, EncodedHistogram, Line, OpenLine, Place, RoundLine, RunLine, Schedule},
    round::{
        Flag, IdleMemory, Launch, MachineWatch, Neighbours, Offer, Pair, PairPlan, Round, SliceLength,
        SlicedPair, paced_window_ms,
    },
    seeded::mix,
};

/// How often an arm is started again in an epoch.
const MOST_RESTARTS: usize = 5;

/// Connections that are held to see what an idle one costs.
const IDLE_CONNECTIONS: usize = 1000;

/// Starts agents for every arm of an epoch, and lets them fight.
pub struct AgentRunner {
    launch: Launch,
    /// The file of the program that agents are started from, as it was at the beginning.
    program: Option<ProgramFile>,
    seed: u64,
    measures_idle: bool,
    /// The pair of each arm of the contest at hand, or why there is none.
    arms: Vec<Result<Fighter, String>>,
    /// How often each arm was started again in this epoch.
    restarts: BTreeMap<usize, usize>,
    /// What was watched since the first slice.
    watch: Option<Watch>,
}

/// What tells the file of a program from another that was put in its place.
#[derive(Debug, PartialEq, Eq)]
struct ProgramFile {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl ProgramFile {
    fn of(launch: &Launch) -> Option<Self> {
        let file = fs::metadata(&launch.program).ok()?;
        Some(Self { device: file.dev(), inode: file.ino(), modified: (file.mtime(), file.mtime_nsec()) })
    }
}

/// The processes of an arm.
enum Fighter {
    /// It rests until its slice.
    Sliced(Box<SlicedPair>),
    /// It waits for its round.
    Whole(Box<Pair>),
}

/// What is watched while slices run.
struct Watch {
    machine: MachineWatch,
    /// What each arm had spent when it began.
    spent: Vec<Duration>,
    /// What arms that failed since had spent by then.
    gone: Duration,
    /// What others did, once all slices are over; until then what they came to is not asked.
    seen: Option<Neighbours>,
    /// Where this process ran before it made room.
    away_from: Option<Cpus>,
}

impl AgentRunner {
    /// Prepares a runner; the seed decides where in their sessions connections begin.
    pub fn new(launch: Launch, seed: u64) -> Self {
        let program = ProgramFile::of(&launch);
        Self {
            launch,
            program,
            seed,
            measures_idle: true,
            arms: Vec::new(),
            restarts: BTreeMap::new(),
            watch: None,
        }
    }

    /// Leaves out what an idle connection costs.
    pub fn without_idle(mut self) -> Self {
        self.measures_idle = false;
        self
    }

    fn start(&self, contest: &Contest, arm: &Arm, seed: u64) -> anyhow::Result<Fighter> {
        let launch = Launch { placement: placement(contest, arm), ..self.launch.clone() };
        anyhow::ensure!(
            ProgramFile::of(&launch) == self.program,
            "{} changed since the duel began; start the duel again",
            launch.program.display()
        );
        let plan = pair_plan(contest, arm);
        Ok(match contest.schedule {
            Schedule::Slices { .. } => {
                Fighter::Sliced(Box::new(SlicedPair::start(&launch, plan, &contest.workload, seed)?))
            }
            Schedule::Rounds { .. } => Fighter::Whole(Box::new(Pair::start(&launch, plan)?)),
        })
    }

    /// Runs `work` with the processes of an arm; those that fail are not asked again.
    fn with_arm<T>(
        &mut self,
        arm: usize,
        work: impl FnOnce(&mut Fighter) -> anyhow::Result<T>,
    ) -> Result<T, String> {
        let slot = &mut self.arms[arm];
        let outcome = match slot {
            Ok(fighter) => work(fighter).map_err(|error| format!("{error:#}")),
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = &outcome {
            *slot = Err(error.clone());
        }
        outcome
    }

    /// Starts fresh processes of an arm that failed in its last round, behind prefixes alone: there a machine may be gone, and back a
    /// moment later. Not more often than [`MOST_RESTARTS`] in an epoch, for one that hangs costs its patience each time.
    fn start_again(&mut self, contest: &Contest, arm: usize) {
        let restarts = self.restarts.entry(arm).or_default();
        if self.launch.is_here() || *restarts >= MOST_RESTARTS {
            return;
        }
        if self.arms[arm].is_err() {
            *restarts += 1;
            let again = self.start(contest, &contest.arms[arm], self.seed);
            self.arms[arm] = again.map_err(|error| format!("{error:#}"));
        }
    }

    /// What each arm has spent; those that failed no longer tell.
    fn spent(&self) -> Vec<Option<Duration>> {
        (0..self.arms.len()).map(|arm| self.spent_by(arm)).collect()
    }

    fn spent_by(&self, arm: usize) -> Option<Duration> {
        match self.arms.get(arm) {
            Some(Ok(Fighter::Sliced(pair))) => pair.spent().ok(),
            _ => None,
        }
    }

    /// What is offered in a place, the same to all arms; nothing in a closed loop.
    fn offer(&self, contest: &Contest, place: &Place) -> Option<Offer> {
        let Arrivals::Open { rates, objectives, .. } = &contest.arrivals else { return None };
        let step = place.step?;
        let drawn = [place.epoch, place.block, step].into_iter();
        let seed = drawn.fold(self.seed, |seed, it| mix(seed ^ it as u64));
        let rate = *rates.get(step)?;
        let window_ms = paced_window_ms(rate, objectives, contest.workload.window_ms)?;
        Some(Offer::new(rate, seed, window_ms, objectives))
    }

    /// Looks once, after the last slice, at what others did meanwhile.
    fn neighbours(&mut self) -> Neighbours {
        let spent = self.spent();
        let Some(watch) = &mut self.watch else { return Neighbours::default() };
        let since = |(is, was): (Option<Duration>, &Duration)| Some(is?.saturating_sub(*was));
        let measured: Duration = spent.into_iter().zip(&watch.spent).filter_map(since).sum();
        *watch.seen.get_or_insert_with(|| watch.machine.end(measured + watch.gone))
    }
}

impl Runner for AgentRunner {
    fn idle(&mut self, contest: &Contest, place: Place) -> Option<Line> {
        // The memory of a server at a rate is measured there.
        let measures = self.measures_idle && contest.arrivals == Arrivals::Closed;
        let arm = contest.arms.iter().find(|arm| arm.name == place.arm).filter(|_| measures)?;
        let launch = Launch { placement: placement(contest, arm), ..self.launch.clone() };
        let measured = Pair::start(&launch, pair_plan(contest, arm))
            .and_then(|mut pair| pair.idle_memory(IDLE_CONNECTIONS));
        match measured {
            Ok(IdleMemory { server_bytes, kernel_bytes }) => server_bytes.map(|bytes_per_connection| {
                Line::Idle { place, bytes_per_connection, kernel_bytes_per_connection: kernel_bytes }
            }),
            // The rounds of this epoch fail with the same error, and tell it.
            Err(_) => None,
        }
    }

    fn begin_epoch(&mut self, contest: &Contest, epoch: usize) {
        self.restarts.clear();
        if let Err(gone) = self.launch.network.renew(&self.launch.program) {
            self.arms = contest.arms.iter().map(|_| Err(gone.to_string())).collect();
            return;
        }
        // The same for all arms of an epoch: where connections begin is everybody's.
        let seed = self.seed.wrapping_add(epoch as u64);
        let start = |arm: &Arm| self.start(contest, arm, seed).map_err(|error| format!("{error:#}"));
        self.arms = contest.arms.iter().map(start).collect();
        if let Schedule::Slices { .. } = contest.schedule {
            let away_from = contest.placement.make_room();
            let machine = MachineWatch::begin(&self.launch.network);
            let spent = self.spent().into_iter().map(Option::unwrap_or_default).collect();
            self.watch = Some(Watch { machine, spent, gone: Duration::ZERO, seen: None, away_from });
        }
    }

    fn slice(&mut self, contest: &Contest, arm: usize, turn: usize) {
        let Schedule::Slices { warm_ms, slice_ms, .. } = contest.schedule else { return };
        let (warm, window) = (Duration::from_millis(warm_ms), Duration::from_millis(slice_ms));
        let before = self.spent_by(arm);
        let outcome = self.with_arm(arm, |fighter| match fighter {
            Fighter::Sliced(pair) => pair.slice(SliceLength { warm, window }, turn),
            Fighter::Whole(_) => Ok(()),
        });
        // Whoever fails says so when asked for its round. What it has spent is not somebody else's.
        if let (Err(_), Some(watch), Some(before)) = (outcome, &mut self.watch, before) {
            watch.gone += before.saturating_sub(watch.spent[arm]) + window;
        }
    }

    fn sliced_round(&mut self, _contest: &Contest, arm: usize, place: Place) -> Line {
        let neighbours = self.neighbours();
        let gone = Err("its round was taken".to_owned());
        let ended = match std::mem::replace(&mut self.arms[arm], gone) {
            Ok(Fighter::Sliced(pair)) => pair.end().map_err(|error| format!("{error:#}")),
            Ok(Fighter::Whole(_)) => Err("it does not run in slices".to_owned()),
            Err(error) => Err(error),
        };
        match ended {
            Ok(round) => Line::Round(Box::new(round_line(place, Round { neighbours, ..round }))),
            Err(error) => Line::Failed { place, error },
        }
    }

    fn round(&mut self, contest: &Contest, arm: usize, place: Place) -> Line {
        let (ramp_ms, window_ms) = (contest.workload.ramp_ms, contest.workload.window_ms);
        let offer = self.offer(contest, &place);
        self.start_again(contest, arm);
        let measured = self.with_arm(arm, |fighter| match (fighter, offer) {
            (Fighter::Whole(pair), Some(offer)) => pair.paced(&contest.workload, offer),
            (Fighter::Whole(pair), None) => {
                pair.workload(&contest.workload, Extent::Timed { ramp_ms, window_ms })
            }
            (Fighter::Sliced(_), _) => anyhow::bail!("it runs in slices"),
        });
        match measured {
            Ok(round) => Line::Round(Box::new(round_line(place, round))),
            Err(error) => Line::Failed { place, error },
        }
    }

    fn end_epoch(&mut self) {
        self.arms.clear();
        let back = self.watch.take().and_then(|watch| watch.away_from);
        // Where it can't go back, this process stays out of the way.
        back.into_iter().for_each(|cpus| drop(cpus.pin_this_process()));
    }
}

/// Where an arm runs: where its contest does, but for the processors that its server has for itself.
fn placement(contest: &Contest, arm: &Arm) -> Placement {
    let Placement { server, client } = contest.placement.clone();
    Placement { server: arm.server_cpus.clone().or(server), client }
}

/// The plan of an arm's processes.
pub fn pair_plan(contest: &Contest, arm: &Arm) -> PairPlan {
    PairPlan {
        server_workers: arm.server_workers,
        client_workers: arm.client_workers,
        burn_ns: arm.burn_ns,
        ..PairPlan::new(&arm.server, &arm.client, &contest.workload)
    }
}

fn round_line(place: Place, round: Round) -> RoundLine {
    let flags = round.flags();
    let mut excluded: Vec<String> =
        flags.iter().filter(|flag| flag.excludes()).map(|flag| flag.name().to_owned()).collect();
    if round.run.failures > 0 {
        excluded.insert(0, "errors".to_owned());
    }
    if round.run.messages == 0 && round.offer.is_none() {
        excluded.insert(0, "no replies".to_owned());
    }
    let worker_spread = round.worker_spread();
    let timer_lateness = round
        .thread_work
        .as_ref()
        .map(|work| EncodedHistogram::new(&work.timer_lateness))
        .unwrap_or_default();
    RoundLine {
        place,
        run: RunLine::new(&round.run),
        slices: round.slices,
        server: round.server,
        client: round.client,
        server_switches_per_message: round.server_switches_per_message,
        steal: round.neighbours.steal,
        others: round.neighbours.others,
        ksoftirqd: round.neighbours.ksoftirqd,
        cpu_pressure: round.neighbours.cpu_pressure,
        throttled: round.neighbours.throttled.filter(|share| *share > 0.0),
        client_bound: flags.iter().any(|flag| matches!(flag, Flag::ClientBound { .. })),
        flags: flags.iter().map(ToString::to_string).collect(),
        excluded,
        open: round.run.open.as_deref().zip(round.offer).map(|(open, offer)| OpenLine::new(offer.rate, open)),
        worker_spread,
        timer_lateness,
        begun_apart: round.begun_apart,
        idle_kernel_bytes: round.idle_kernel_bytes,
    }
}
