//! `ioduel run`: one measured run, server and client in processes of their own.

use std::{fmt, process::ExitCode, time::Duration};

use anyhow::Context as _;
use serde::Serialize;

use super::{Chosen, Format, Words, duration, figures::Figures, millis, output, words, wrong_usage};
use crate::{
    load::{Extent, Workload},
    placement::{Cpus, Placement},
    round::{Launch, Pair, PairPlan, Round},
};

/// Measure one backend's client against its own server, or another's, in processes of their own.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel run tokio\n  ioduel run mio --server tokio --workload stream --duration 5s\n  \
                  ioduel run epoll --server-cpus 0 --client-cpus 1 --json\n  \
                  ioduel run uring --server-exec 'strace -f -c -o counts'"
)]
pub(super) struct Args {
    /// The client's backend, and the server's unless another is named
    backend: Chosen,
    /// The server's backend
    #[arg(long, value_name = "BACKEND")]
    server: Option<Chosen>,
    /// The workload: a name, or a file such as mine.toml; `ioduel workloads` shows them
    #[arg(long, value_name = "NAME|FILE", default_value_t = Workload::default())]
    workload: Workload,
    /// How long to measure
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    duration: Duration,
    /// Measure so many sessions instead, however long they take
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    sessions: Option<u64>,
    /// Measure so often, one round after the other, in the same processes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The server's processors [default: the first, for both]
    #[arg(long, value_name = "CPUS")]
    server_cpus: Option<Cpus>,
    /// The client's processors
    #[arg(long, value_name = "CPUS")]
    client_cpus: Option<Cpus>,
    /// What to start the server with, such as 'perf stat --'
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    server_exec: Option<Words>,
    /// What to start the client with
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    client_exec: Option<Words>,
    /// Worker threads of both, where a backend has such
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let server = args.server.unwrap_or(args.backend);
    args.backend.check(args.workers)?;
    server.check(args.workers)?;
    let placement = Placement::with_prefixes(
        (args.server_cpus, args.server_exec.is_some()),
        (args.client_cpus, args.client_exec.is_some()),
    );
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let launch = Launch {
        server_exec: args.server_exec.map_or_else(Vec::new, |words| words.0),
        client_exec: args.client_exec.into_iter().map(|words| words.0).collect(),
        ..Launch::here(program, placement.map_err(wrong_usage)?)
    };
    let plan = PairPlan {
        server: server.name().to_owned(),
        client: args.backend.name().to_owned(),
        server_workers: args.workers,
        client_workers: args.workers,
        message_bytes: args.workload.message_bytes,
        burn_ns: 0,
    };
    let mut pair = Pair::start(&launch, plan)?;
    let extent = match args.sessions {
        Some(sessions) => Extent::Sessions(sessions),
        None => Extent::Timed { ramp_ms: args.workload.ramp_ms, window_ms: millis(args.duration) },
    };
    let mut code = ExitCode::SUCCESS;
    for _ in 0..args.rounds {
        let round = pair.workload(&args.workload, extent.clone())?;
        anyhow::ensure!(
            round.run.messages > 0 || round.run.sessions > 0 || round.run.failures > 0,
            "no message was answered in {:.3} s; measure longer, with --duration",
            round.run.window_s
        );
        let measured = Measured::new(args.backend, server, &args.workload, &round);
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
    server_peak_memory_bytes: Option<u64>,
    client_peak_memory_bytes: Option<u64>,
}

impl Measured {
    fn new(client: Chosen, server: Chosen, workload: &Workload, round: &Round) -> Self {
        Self {
            backend: client.name(),
            server: server.name(),
            workload: workload.name.clone(),
            placement: round.placement.clone(),
            server_workers: round.server_workers,
            client_workers: round.client_workers,
            figures: Figures::new(&round.run, round.flags()),
            server_cpu_us_per_message: round.server_cpu_us_per_message(),
            client_cpu_us_per_message: round.client_cpu_us_per_message(),
            server_peak_memory_bytes: round.server.peak_memory_bytes,
            client_peak_memory_bytes: round.client.peak_memory_bytes,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, server, workload, placement, figures, .. } = self;
        writeln!(f, "{workload}: {backend} client against {server} server; {placement}")?;
        writeln!(f, "{figures}")?;
        let (server, client) = (self.server_cpu_us_per_message, self.client_cpu_us_per_message);
        write!(f, "CPU per message: server {server:.2} µs, client {client:.2} µs")
    }
}
