//! `ioduel client`: one backend's client, against whatever listens at one address.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    Chosen, Format, address, duration,
    figures::Figures,
    millis,
    output::{self, with_progress},
    wrong_usage,
};
use crate::{
    backend::Backend,
    load::{Extent, Load, LoadPlan, LoadRun, Step},
    net::raise_descriptor_limit,
    protocol::{DEFAULT_MESSAGE_BYTES, DEFAULT_MESSAGES, Shape, ShapeError},
    round::load_flags,
};

/// Connect to an echo server, and show each message of one session; with --connections, --sessions or --duration, measure many sessions.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel client smol\n  ioduel client tokio --connections 64 --duration 5s\n  \
                  ioduel client mio --sessions 10000 --json"
)]
pub(super) struct Args {
    /// The name of the backend; `ioduel list` shows all names
    backend: Chosen,
    /// Where the server listens: an IP address or the name of a host, and a port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:31400", value_parser = address)]
    connect: SocketAddr,
    /// How many sessions run at a time [default: 1]
    #[arg(long, value_name = "N")]
    connections: Option<usize>,
    /// The total number of sessions [default: as many as --connections]
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    sessions: Option<u64>,
    /// Run sessions for this long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Messages in a session
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MESSAGES)]
    messages: u32,
    /// The size of a message. If you change it, start the server with the same --message-size
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_MESSAGE_BYTES)]
    message_size: usize,
    /// The number of worker threads, for backends that let you choose it
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether one session is to be shown, message by message.
    fn shows_one_session(&self) -> bool {
        self.connections.is_none() && self.sessions.is_none() && self.duration.is_none() && !self.json
    }

    fn plan(&self) -> anyhow::Result<LoadPlan> {
        let connections = self.connections.unwrap_or(1);
        if connections == 0 || self.sessions == Some(0) {
            return Err(wrong_usage("the number of sessions must be at least 1, not 0"));
        }
        let extent = match self.duration {
            Some(duration) => Extent::Timed { ramp_ms: 0, window_ms: millis(duration) },
            None => Extent::Sessions(self.sessions.unwrap_or(connections as u64)),
        };
        let shape = Shape::new(self.messages, self.message_size).map_err(|error| match error {
            ShapeError::TooSmall { needed, .. } => {
                wrong_usage(format!("{error}; use --message-size {needed}"))
            }
            error => wrong_usage(error),
        })?;
        Ok(LoadPlan {
            destinations: vec![self.connect],
            connections,
            shape,
            extent,
            workers: self.workers,
            seed: rand::random(),
        })
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let backend = args.backend.built_in()?;
    args.backend.check(args.workers)?;
    let plan = args.plan()?;
    raise_descriptor_limit()?.require(plan.connections)?;
    let (shows, format) = (args.shows_one_session(), Format::new(args.json));
    let load = if shows { Load::watched(plan, Box::new(show))? } else { Load::new(plan)? };

    let interrupted = Arc::clone(&load);
    ctrlc::set_handler(move || {
        // The connections close with the process. What cannot be printed now can't be told anyone.
        if !shows && let Ok(run) = interrupted.result() {
            let _ = report(&run, interrupted.plan(), format);
        }
        std::process::exit(130);
    })
    .context("cannot handle signals")?;

    drive(backend, &load)?;
    if let Some(error) = lock(&PRINT_FAILED).take() {
        return Err(error);
    }
    let run = load.result()?;
    if run.sessions == 0 && run.failures > 0 {
        return Err(nobody_answered(args.connect, &run));
    }
    if shows {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(report(&run, load.plan(), format)?.complain())
}

/// Why a step of the session could not be printed. The session goes on without.
static PRINT_FAILED: Mutex<Option<anyhow::Error>> = Mutex::new(None);

/// Shows one step of a session.
fn show(step: Step<'_>) {
    let line = match step {
        Step::Connected(to) => format!("connected to {to}"),
        Step::Sent(message) => format!("sent {}", quoted(message)),
        Step::Received(reply) => format!("received {} ({} bytes)", quoted(reply), reply.len()),
        Step::Closed => "closed".to_owned(),
    };
    if let Err(error) = output::print(&line) {
        *lock(&PRINT_FAILED) = Some(error);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Quotes a message, a long one by its start.
fn quoted(message: &[u8]) -> String {
    const MOST: usize = 48;
    let text = String::from_utf8_lossy(&message[..message.len().min(MOST)]);
    let more = if message.len() > MOST { "…" } else { "" };
    format!("{text:?}{more}")
}

/// How long nothing may happen before the peer is taken for one that will never answer.
const SILENCE: Duration = Duration::from_secs(10);

/// Drives the load, showing how far it is, and leaves the process when the peer falls silent.
fn drive(backend: &dyn Backend, load: &Arc<Load>) -> anyhow::Result<()> {
    let total = match load.plan().extent {
        Extent::Sessions(sessions) => sessions,
        Extent::Timed { window_ms, .. } => window_ms,
        Extent::Sliced { .. } => 0,
    };
    let mut last = (0, Instant::now());
    let look = move || {
        let progress = load.progress();
        if progress.messages != last.0 {
            last = (progress.messages, Instant::now());
        } else if last.1.elapsed() >= SILENCE {
            let at = load.plan().destinations[0];
            output::complain(&format!(
                "no reply from {at} in {SILENCE:?}: is an echo server listening there?"
            ));
            std::process::exit(1);
        }
        let done = match load.plan().extent {
            Extent::Sessions(_) => progress.sessions,
            Extent::Timed { .. } | Extent::Sliced { .. } => millis(progress.elapsed),
        };
        (done, format!("{} sessions in {:.1} s", progress.sessions, progress.elapsed.as_secs_f64()))
    };
    with_progress(total, look, || backend.drive(load))
        .with_context(|| format!("{} cannot run", backend.about().name))
}

fn nobody_answered(at: SocketAddr, run: &LoadRun) -> anyhow::Error {
    let why = run.first_failure.as_deref().unwrap_or("no session ended");
    anyhow::anyhow!(
        "cannot complete a session with {at}: {why}; is a server running there? `ioduel serve tokio` starts one"
    )
}

fn report(run: &LoadRun, plan: &LoadPlan, format: Format) -> anyhow::Result<Figures> {
    let figures = Figures::new(run, load_flags(run, plan.connections, plan.shape.messages(), &plan.extent));
    match format {
        Format::Json => output::print_json(&figures)?,
        Format::Table => output::print(&figures.to_string())?,
    }
    Ok(figures)
}
