//! The arena of agents: real processes, real sockets.

use std::fs;

use crate::{
    duel::Arena,
    load::{Extent, Workload},
    record::{Contest, Line, Place, RoundLine, RunLine},
    round::{Flag, Launch, Pair, PairPlan, Round},
};

/// Connections that are held to see what an idle one costs.
const IDLE_CONNECTIONS: usize = 1000;

/// Starts agents for every arm of an epoch, and lets them fight.
pub struct AgentArena {
    launch: Launch,
    ramp_ms: u64,
    window_ms: u64,
    measures_idle: bool,
    /// The pair of each arm of the contest at hand, or why there is none.
    pairs: Vec<Result<Pair, String>>,
}

impl AgentArena {
    /// Prepares an arena for rounds of this ramp and window.
    pub fn new(launch: Launch, ramp_ms: u64, window_ms: u64) -> Self {
        Self { launch, ramp_ms, window_ms, measures_idle: true, pairs: Vec::new() }
    }

    /// Leaves out what an idle connection costs.
    pub fn without_idle(mut self) -> Self {
        self.measures_idle = false;
        self
    }

    /// Runs `work` with the pair of an arm; one that fails is not asked again before the next epoch.
    fn with_pair<T>(
        &mut self,
        arm: usize,
        work: impl FnOnce(&mut Pair) -> anyhow::Result<T>,
    ) -> Result<T, String> {
        let slot = &mut self.pairs[arm];
        let outcome = match slot {
            Ok(pair) => work(pair).map_err(|error| format!("{error:#}")),
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = &outcome {
            *slot = Err(error.clone());
        }
        outcome
    }
}

impl Arena for AgentArena {
    fn begin_epoch(&mut self, contest: &Contest) {
        let message_bytes = workload(contest).message_bytes;
        let launch = Launch { placement: contest.placement.clone(), ..self.launch.clone() };
        let start = |arm: &crate::record::Arm| {
            let plan = PairPlan {
                server: arm.server.clone(),
                client: arm.client.clone(),
                server_workers: arm.server_workers,
                client_workers: arm.client_workers,
                message_bytes,
                burn_ns: arm.burn_ns,
            };
            Pair::start(&launch, plan).map_err(|error| format!("{error:#}"))
        };
        self.pairs = contest.arms.iter().map(start).collect();
    }

    fn round(&mut self, contest: &Contest, arm: usize, place: Place) -> Line {
        let extent = Extent::Timed { ramp_ms: self.ramp_ms, window_ms: self.window_ms };
        let before = CpuTimes::read();
        match self.with_pair(arm, |pair| pair.workload(workload(contest), extent)) {
            Ok(round) => Line::Round(Box::new(round_line(place, &round, before))),
            Err(error) => Line::Failed { place, error },
        }
    }

    fn idle(&mut self, _contest: &Contest, arm: usize, place: Place) -> Option<Line> {
        if !self.measures_idle {
            return None;
        }
        match self.with_pair(arm, |pair| pair.idle_bytes_per_connection(IDLE_CONNECTIONS)) {
            Ok(bytes) => bytes.map(|bytes_per_connection| Line::Idle { place, bytes_per_connection }),
            // The rounds of this epoch fail with the same error, and tell it.
            Err(_) => None,
        }
    }

    fn end_epoch(&mut self) {
        self.pairs.clear();
    }
}

/// The workload of a contest.
fn workload(contest: &Contest) -> Workload {
    contest.workload.parse().expect("contests are made of named workloads")
}

fn round_line(place: Place, round: &Round, before: Option<CpuTimes>) -> RoundLine {
    let flags = round.flags();
    let mut set_aside: Vec<String> =
        flags.iter().filter(|flag| flag.sets_aside()).map(|flag| flag.name().to_owned()).collect();
    if round.run.failures > 0 {
        set_aside.insert(0, "errors".to_owned());
    }
    if round.run.messages == 0 {
        set_aside.insert(0, "no replies".to_owned());
    }
    RoundLine {
        place,
        run: RunLine::new(&round.run),
        server: round.server,
        client: round.client,
        steal: before.zip(CpuTimes::read()).map(|(before, after)| after.steal_since(before)),
        cpu_pressure: cpu_pressure(),
        client_bound: flags.iter().any(|flag| matches!(flag, Flag::ClientBound { .. })),
        flags: flags.iter().map(ToString::to_string).collect(),
        set_aside,
    }
}

/// What all processors together spent since boot, in clock ticks (proc(5), `/proc/stat`).
#[derive(Clone, Copy)]
struct CpuTimes {
    all: u64,
    steal: u64,
}

impl CpuTimes {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
        // The eighth is what the hypervisor gave to others; the two after it are counted in the first two already.
        Some(Self { all: ticks.iter().take(8).sum(), steal: *ticks.get(7)? })
    }

    fn steal_since(self, before: Self) -> f64 {
        let since = |is: u64, was: u64| is.saturating_sub(was);
        since(self.steal, before.steal) as f64 / since(self.all, before.all).max(1) as f64
    }
}

/// The share of the last ten seconds in which somebody waited for a processor (`/proc/pressure/cpu`).
fn cpu_pressure() -> Option<f64> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let value = text.lines().next()?.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    value.parse::<f64>().ok().map(|percent| percent / 100.0)
}
