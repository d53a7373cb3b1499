//! `ioduel run`: one measured run, server and client in processes of their own.

use std::{fmt, process::ExitCode, time::Duration};

use serde::Serialize;

use super::{
    Chosen, Format, Words, duration,
    figures::{Figures, summary},
    lock::MeasuringLock,
    millis, network, output, rate, words, wrong_usage,
};
use crate::{
    load::{Extent, Summary, Workload, check_plan},
    net::LinkShape,
    pacer,
    placement::{Cpus, Placement},
    round::{Launch, Offer, Pair, PairPlan, Round},
};

/// Measure one client against one server, in separate processes.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel run tokio\n  ioduel run mio --server tokio --workload stream --duration 5s\n  \
                  ioduel run epoll --server-cpus 0 --client-cpus 1 --json\n  \
                  ioduel run uring --server-exec 'strace -f -c -o counts'\n  \
                  ioduel run epoll --workload handler --rate 20000"
)]
pub(super) struct Args {
    /// The backend of both sides, unless --server names one for the server
    backend: Chosen,
    /// The server's backend
    #[arg(long, value_name = "BACKEND")]
    server: Option<Chosen>,
    /// The workload: a name, or a file such as mine.toml; `ioduel workloads` lists the names
    #[arg(long, value_name = "NAME|FILE", default_value_t = Workload::default())]
    workload: Workload,
    /// How long to measure
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    duration: Duration,
    /// Measure this many sessions instead of a fixed time
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    sessions: Option<u64>,
    /// Send this many messages per second, whether or not replies have arrived
    #[arg(long, value_name = "PER-SECOND", value_parser = rate, conflicts_with = "sessions")]
    rate: Option<u32>,
    /// Repeat the measurement this many times, without restarting server and client
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The server's processors, such as 0 or 0-3 or 0,2 [default: chosen by ioduel]
    #[arg(long, value_name = "CPUS")]
    server_cpus: Option<Cpus>,
    /// The client's processors [default: chosen by ioduel]
    #[arg(long, value_name = "CPUS")]
    client_cpus: Option<Cpus>,
    /// Prefix of the server's command, such as 'perf stat --'
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    server_exec: Option<Words>,
    /// Prefix of the client's command
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    client_exec: Option<Words>,
    /// The network namespace to measure in [default: `own`, where that is possible]
    #[arg(long, value_enum)]
    network: Option<network::Choice>,
    /// Measure over an emulated link, for example 'delay 5ms loss 0.1% rate 1gbit'. The delay is for a round trip. Shorthands: lan, metro, wan,
    /// mobile, and plain (no delay, no loss) [default: the workload's link, or none]
    #[arg(long, value_name = "LINK", conflicts_with = "network")]
    link: Option<LinkShape>,
    /// The number of worker threads of each side, for backends that let you choose it
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let server = args.server.unwrap_or(args.backend);
    if args.backend.0.is_alone() && args.workload.arrivals.is_none() && args.rate.is_none() {
        let name = args.backend.name();
        return Err(wrong_usage(format!(
            "{name} is only a server and cannot be the client; measure it with `ioduel run epoll --server {name}`"
        )));
    }
    args.backend.check(args.workers)?;
    server.check(args.workers)?;
    server.0.can_serve(&args.workload).map_err(|why| anyhow::anyhow!("{}: {why}", server.name()))?;
    let workload = args.workload();
    let rate = args.checked_rate(&workload)?;
    // Held until the run is over.
    let lock = MeasuringLock::take();
    lock.warning().iter().for_each(|warning| output::tell(&format!("warning: {warning}")));
    let launch = args.launch(&workload)?;
    if launch.is_here() {
        network::tell_of_crowd(workload.connections + workload.idle, 1, &launch.network)?;
    }
    let client = if rate.is_some() { pacer::NAME } else { args.backend.name() };
    let plan = PairPlan {
        server_workers: args.workers,
        client_workers: args.workers,
        ..PairPlan::new(server.name(), client, &workload)
    };
    let mut pair = Pair::start(&launch, plan)?;
    let mut code = ExitCode::SUCCESS;
    for _ in 0..args.rounds {
        let round = args.round(&mut pair, &workload, rate)?;
        anyhow::ensure!(
            round.run.messages > 0 || round.run.sessions > 0 || round.run.failures > 0,
            "no message was answered in {:.3} s; measure longer, with --duration",
            round.run.window_s
        );
        let measured = Measured::new(client, server, &workload, &round);
        match Format::new(args.json) {
            Format::Json => output::print_json(&measured)?,
            Format::Table => output::print(&measured.to_string())?,
        }
        if round.run.failures > 0 {
            code = measured.figures.complain();
        }
    }
    Ok(code)
}

impl Args {
    /// The workload, at the rate and with the window that were asked for.
    fn workload(&self) -> Workload {
        let workload = Workload { window_ms: millis(self.duration), ..self.workload.at(self.rate) };
        workload.over_its_link(self.link)
    }

    /// The rate that is offered, in messages per second; `None` in a closed loop.
    fn checked_rate(&self, workload: &Workload) -> anyhow::Result<Option<f64>> {
        let Some(arrivals) = &workload.arrivals else { return Ok(None) };
        let rate = f64::from(arrivals.rate.ok_or_else(|| wrong_usage(NO_RATE))?);
        check_plan(rate, (workload.ramp_ms + workload.window_ms) as f64 / 1e3).map_err(wrong_usage)?;
        Ok(Some(rate))
    }

    fn launch(&self, workload: &Workload) -> anyhow::Result<Launch> {
        let is_paced = workload.arrivals.is_some();
        let server = (self.server_cpus.clone(), self.server_exec.is_some());
        let client = (self.client_cpus.clone(), self.client_exec.is_some());
        let placement = match is_paced {
            true => Placement::apart(server, client),
            false => Placement::with_prefixes(server, client),
        };
        let placement = placement.map_err(wrong_usage)?;
        if is_paced && !placement.is_apart() {
            output::tell(
                "the pacer has no processor of its own: it sleeps between messages, and is as late as it is woken",
            );
        }
        let program = crate::processes::own_program()?;
        let elsewhere = self.server_exec.is_some() || self.client_exec.is_some();
        let chosen = network::ChosenNetwork::of(workload.link, self.network, &program, elsewhere)?;
        if workload.window_ms > millis(self.duration) {
            let (ramp, window) = (workload.ramp_ms, workload.window_ms);
            output::tell(&format!(
                "measured for {window} ms after {ramp} ms: so many round trips take as long over the link"
            ));
        }
        chosen.tell();
        Ok(Launch {
            network: chosen.network,
            server_exec: self.server_exec.clone().map_or_else(Vec::new, |words| words.0),
            client_exec: self.client_exec.iter().map(|words| words.0.clone()).collect(),
            ..Launch::here(program, placement)
        })
    }

    fn round(&self, pair: &mut Pair, workload: &Workload, rate: Option<f64>) -> anyhow::Result<Round> {
        let Workload { ramp_ms, window_ms, .. } = *workload;
        match (rate, self.sessions) {
            (Some(rate), _) => pair.paced(workload, Offer::new(rate, rand::random(), window_ms, &[])),
            (None, Some(sessions)) => pair.workload(workload, Extent::Sessions(sessions)),
            (None, None) => pair.workload(workload, Extent::Timed { ramp_ms, window_ms }),
        }
    }
}

const NO_RATE: &str = "this workload sends its messages at a set rate: give one, such as --rate 20000";

/// What `run --json` prints; a table as [`fmt::Display`].
#[derive(Serialize)]
struct Measured {
    backend: &'static str,
    server: &'static str,
    workload: String,
    placement: Placement,
    /// `null` where connections decide.
    server_workers: Option<usize>,
    /// `null` where connections decide.
    client_workers: Option<usize>,
    #[serde(flatten)]
    figures: Figures,
    server_cpu_us_per_message: f64,
    client_cpu_us_per_message: f64,
    /// How unevenly messages spread over the server's workers: the largest share over the mean one.
    worker_spread: Option<f64>,
    /// How late the server's timers fired; absent where nothing waits.
    timer_lateness_us: Option<Summary>,
    server_peak_memory_bytes: Option<u64>,
    client_peak_memory_bytes: Option<u64>,
    /// What each silent connection takes of the kernel's memory, both ends together; `null` where there are none.
    idle_kernel_bytes: Option<f64>,
}

impl Measured {
    fn new(client: &'static str, server: Chosen, workload: &Workload, round: &Round) -> Self {
        Self {
            backend: client,
            server: server.name(),
            workload: workload.name.clone(),
            placement: round.placement.clone(),
            server_workers: round.server_workers,
            client_workers: round.client_workers,
            figures: Figures::of_round(round),
            worker_spread: round.worker_spread(),
            timer_lateness_us: round.thread_work.as_ref().and_then(|work| summary(&work.timer_lateness)),
            server_cpu_us_per_message: round.server_cpu_us_per_message(),
            client_cpu_us_per_message: round.client_cpu_us_per_message(),
            server_peak_memory_bytes: round.server.peak_memory_bytes,
            client_peak_memory_bytes: round.client.peak_memory_bytes,
            idle_kernel_bytes: round.idle_kernel_bytes,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, server, workload, placement, figures, .. } = self;
        writeln!(f, "{workload}: {backend} client against {server} server; {placement}")?;
        writeln!(f, "{figures}")?;
        let (server, client) = (self.server_cpu_us_per_message, self.client_cpu_us_per_message);
        write!(f, "CPU per message: server {server:.2} µs, client {client:.2} µs")?;
        if let Some(late) = self.timer_lateness_us {
            write!(f, "\ntimers fired late by: p50 {:.1} µs, p99 {:.1} µs", late.p50, late.p99)?;
        }
        if let Some(bytes) = self.idle_kernel_bytes {
            write!(f, "\nkernel memory of a silent connection, both ends: {:.1} KiB", bytes / 1024.0)?;
        }
        match self.worker_spread {
            Some(spread) if self.server_workers.is_some_and(|workers| workers > 1) => {
                write!(f, "\nmessages over workers: the busiest had {spread:.2} times the mean")
            }
            _ => Ok(()),
        }
    }
}
