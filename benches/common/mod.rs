//! What both criterion benches share: every contestant as a benchmark of each group, each in processes of its own.
//!
//! The harness is the same for all: it asks the client's agent to drive, and takes the agent's word for the time.
//! No backend's code runs in this process, and server and client are started outside what is timed.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Duration,
};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use ioduel::{
    conform::admit,
    contestant::{self, Contestant},
    load::{Extent, Workload},
    placement::Placement,
    round::{Launch, Network, Pair, PairPlan, Round},
};

mod program;
use program::program;

/// One group of benchmarks.
pub(crate) struct Group {
    /// Its name, the first part of each benchmark's.
    pub(crate) name: &'static str,
    /// Sessions at a time.
    pub(crate) connections: usize,
    /// The size of a message, in bytes.
    pub(crate) message_bytes: usize,
    /// Messages in an iteration.
    pub(crate) throughput: Throughput,
    /// Samples; each drives as many iterations as fill its share of the time.
    pub(crate) samples: usize,
    /// How long all samples take together.
    pub(crate) time: Duration,
    /// What so many iterations are: the messages of each session, and how many sessions.
    pub(crate) extent: fn(connections: usize, iterations: u64) -> (u32, Extent),
    /// How long so many iterations took, by what a round measured, in seconds.
    pub(crate) seconds: fn(&Round, iterations: u64) -> f64,
}

/// Resamples for criterion's intervals: enough for two digits, a tenth of its default, which takes seconds.
const RESAMPLES: usize = 10_000;

/// What is driven before anything counts: processes fault their pages in, and the port table fills.
const WARM_UP: Duration = Duration::from_millis(250);

/// Runs groups of benchmarks, and fails if one of them did.
pub(crate) fn main(groups: &[Group]) -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args();
    let mut failed = Vec::new();
    let contestants = contestants();
    for group in groups {
        failed.extend(bench_group(&mut criterion, group, &contestants));
    }
    criterion.final_summary();
    for name in &failed {
        eprintln!("failed: {name}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gets everybody ready, and tells who can't take part.
fn contestants() -> Vec<&'static str> {
    let program = program();
    let admitted = |contestant: &&Contestant| match admit(contestant, &program, &|told| eprintln!("{told}")) {
        Ok(()) => true,
        Err(why) => {
            eprintln!("{} is skipped: {why}", contestant.name());
            false
        }
    };
    contestant::faults().iter().for_each(|fault| eprintln!("{fault}"));
    // A server alone has no client of its own.
    let with_a_client = contestant::all().iter().filter(|contestant| !contestant.is_alone());
    with_a_client.filter(admitted).map(Contestant::name).collect()
}

/// Benches every backend; returns the names of those that failed. One that fails costs no other its turn.
fn bench_group(criterion: &mut Criterion, plan: &Group, contestants: &[&str]) -> Vec<String> {
    let mut group = criterion.benchmark_group(plan.name);
    group
        .sampling_mode(SamplingMode::Flat)
        .throughput(plan.throughput.clone())
        .sample_size(plan.samples)
        .warm_up_time(WARM_UP)
        .measurement_time(plan.time)
        .nresamples(RESAMPLES);
    let mut failed = Vec::new();
    for name in contestants {
        let bench = AssertUnwindSafe(|| bench_contestant(&mut group, name, plan));
        if catch_unwind(bench).is_err() {
            failed.push(format!("{}/{name}", plan.name));
        }
    }
    group.finish();
    failed
}

fn bench_contestant(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, plan: &Group) {
    // Started by the first measurement: a benchmark that a filter leaves out starts nothing.
    let mut pair = None;
    let mut told = BTreeSet::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let pair = pair.get_or_insert_with(|| start(name, plan.message_bytes).unwrap_or_else(give_up));
            let (messages, extent) = (plan.extent)(plan.connections, iterations);
            let round =
                pair.round(plan.connections, messages, extent).and_then(whole).unwrap_or_else(give_up);
            // Each kind of flag once, and not with each sample.
            for flag in round.flags().into_iter().filter(|flag| told.insert(flag.name())) {
                eprintln!("{}/{name}: flag: {flag}", plan.name);
            }
            Duration::from_secs_f64((plan.seconds)(&round, iterations))
        });
    });
}

fn start(name: &str, message_bytes: usize) -> anyhow::Result<Pair> {
    let here = Launch::here(program(), Placement::or_default(None, None)?);
    let network = Network::own(&program()).unwrap_or_else(|why| {
        eprintln!("{name}: measured in the shared network: {why:#}");
        Network::shared()
    });
    let launch = Launch { network, ..here };
    let workload = Workload { message_bytes, ..Workload::default() };
    Pair::start(&launch, PairPlan::new(name, name, &workload))
}

/// Leaves a benchmark: criterion knows no failure, and a made-up time would be a lie.
fn give_up<T>(error: anyhow::Error) -> T {
    panic!("{error:#}")
}

/// Refuses a round in which a session failed.
fn whole(round: Round) -> anyhow::Result<Round> {
    match &round.run.first_failure {
        Some(failure) => anyhow::bail!("{} sessions failed, the first: {failure}", round.run.failures),
        None => Ok(round),
    }
}
