//! `ioduel run`: one measured run, server and client in processes of their own.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use serde::Serialize;

use super::{
    Chosen, duration, millis, output,
    run_report::{render_load, verdict},
    wrong_usage,
};
use crate::{
    load::{Extent, Summary, Workload},
    placement::{Cpus, Placement},
    round::{Flag, Pair, PairPlan, Round},
};

/// What is discarded at the head of a run: connections open, caches fill.
const RAMP_MS: u64 = 200;

/// Measure one backend's client against its own server, or another's, in processes of their own.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel run tokio\n  ioduel run mio --server tokio --workload stream --duration 5s\n  \
                  ioduel run epoll --server-cpus 0 --client-cpus 1 --json"
)]
pub(super) struct Args {
    /// The client's backend, and the server's unless another is named
    backend: Chosen,
    /// The server's backend
    #[arg(long, value_name = "BACKEND")]
    server: Option<Chosen>,
    /// The workload: session, solo, crowd, stream or bulk
    #[arg(long, value_name = "NAME", default_value_t = Workload::ALL[0])]
    workload: Workload,
    /// How long to measure
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    duration: Duration,
    /// Measure so many sessions instead, however long they take
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    sessions: Option<u64>,
    /// Measure so often, one round after the other, in the same processes
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: u32,
    /// The server's processors [default: the first, for both]
    #[arg(long, value_name = "CPUS")]
    server_cpus: Option<Cpus>,
    /// The client's processors
    #[arg(long, value_name = "CPUS")]
    client_cpus: Option<Cpus>,
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
    let placement = Placement::or_default(args.server_cpus, args.client_cpus).map_err(wrong_usage)?;
    let mut pair = Pair::start(PairPlan {
        program: std::env::current_exe().context("cannot find this program's own file")?,
        server: server.name().to_owned(),
        client: args.backend.name().to_owned(),
        server_workers: args.workers,
        client_workers: args.workers,
        placement,
        message_bytes: args.workload.message_bytes,
    })?;
    let extent = match args.sessions {
        Some(sessions) => Extent::Sessions(sessions),
        None => Extent::Timed { ramp_ms: RAMP_MS, window_ms: millis(args.duration) },
    };
    let mut code = ExitCode::SUCCESS;
    for _ in 0..args.rounds {
        let round = pair.workload(args.workload, extent)?;
        let measured = Measured::new(&args.backend, &server, args.workload, &round);
        if args.json {
            output::print_json(&measured)?;
        } else {
            output::print(&measured.render(&round))?;
        }
        if round.run.failures > 0 {
            code = verdict(&round.run);
        }
    }
    Ok(code)
}

/// What `run --json` prints.
#[derive(Serialize)]
struct Measured {
    backend: &'static str,
    server: &'static str,
    workload: &'static str,
    placement: Placement,
    sessions: u64,
    sessions_per_second: f64,
    messages_per_second: f64,
    connect_us: Summary,
    round_trip_us: Summary,
    session_us: Summary,
    server_cpu_us_per_message: f64,
    client_cpu_us_per_message: f64,
    server_peak_memory_bytes: Option<u64>,
    client_peak_memory_bytes: Option<u64>,
    errors: u64,
    flags: Vec<Flag>,
}

impl Measured {
    fn new(client: &Chosen, server: &Chosen, workload: Workload, round: &Round) -> Self {
        let run = &round.run;
        Self {
            backend: client.name(),
            server: server.name(),
            workload: workload.name,
            placement: round.placement.clone(),
            sessions: run.sessions,
            sessions_per_second: run.sessions_per_second(),
            messages_per_second: run.messages_per_second(),
            connect_us: run.connect.summary(),
            round_trip_us: run.round_trip.summary(),
            session_us: run.session.summary(),
            server_cpu_us_per_message: round.server_cpu_us_per_message(),
            client_cpu_us_per_message: round.client_cpu_us_per_message(),
            server_peak_memory_bytes: round.server.peak_memory_bytes,
            client_peak_memory_bytes: round.client.peak_memory_bytes,
            errors: run.failures,
            flags: round.flags(),
        }
    }

    fn render(&self, round: &Round) -> String {
        let Self { backend, server, workload, placement, .. } = self;
        format!(
            "{workload}: {backend} client on cpu {} against {server} server on cpu {}\n{}\n\
             CPU per message: server {:.2} µs, client {:.2} µs",
            placement.client,
            placement.server,
            render_load(&round.run, &self.flags),
            self.server_cpu_us_per_message,
            self.client_cpu_us_per_message,
        )
    }
}
