//! The command line; one file per subcommand, and the only code that prints.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 the run failed, 2 the
//! command line was wrong, 130 interrupted.

mod agent;
mod bisect;
mod client;
mod compare;
mod conform;
mod doctor;
mod duel;
mod figures;
mod generate;
mod list;
mod lock;
mod machines;
mod network;
mod new;
mod output;
mod pages;
mod report;
mod run;
mod serve;
mod table;
mod workloads;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    analysis::Ranked,
    backend::{self, Backend},
    contestant::{self, Contestant, NotFound},
    placement::Cpus,
    written::{address, duration},
};
use output::OutputClosed;

/// Compares I/O strategies for Rust services. Each backend has its own echo server and client; all do the same, and every reply is checked.
#[derive(Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    /// The directory that describes backends of your own (see CONTRIBUTING.md) [default: contestants/ in the source tree of
    /// ioduel] [env: IODUEL_CONTESTANTS]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    contestants: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::Args),
    New(new::Args),
    Workloads(workloads::Args),
    Serve(serve::Args),
    Client(client::Args),
    Run(run::Args),
    Duel(duel::Args),
    Report(report::Args),
    Compare(compare::Args),
    Bisect(bisect::Args),
    Doctor(doctor::Args),
    Machines(machines::Args),
    Conform(conform::Args),
    #[command(hide = true)]
    Agent(agent::Args),
    Bench(duel::bench::Args),
    Completions(generate::Completions),
    Man(generate::Man),
}

/// Runs the program on the arguments of this process, with these backends beside its own.
pub(crate) fn main_with(own: &[&'static dyn Backend]) -> ExitCode {
    if let Some(folder) = folder_of_contestants(std::env::args_os()) {
        contestant::look_in(folder);
    }
    if let Err(error) = backend::add(own) {
        output::complain(&error.to_string());
        return ExitCode::from(2);
    }
    run_line(std::env::args_os(), |command| match command {
        Command::New(args) => new::run(args),
        Command::List(args) => list::run(args),
        Command::Workloads(args) => workloads::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Client(args) => client::run(args),
        Command::Run(args) => run::run(args),
        Command::Duel(args) => duel::run(args),
        Command::Report(args) => report::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Bisect(args) => bisect::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Machines(args) => machines::run(args),
        Command::Conform(args) => conform::run(args),
        Command::Agent(args) => agent::run(args),
        Command::Bench(args) => duel::bench::run(args),
        Command::Completions(args) => generate::completions(args),
        Command::Man(args) => generate::man(args),
    })
}

/// The folder that a command line names: whoever reads a name on that line has to know it already.
fn folder_of_contestants(line: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = line.skip(1).take_while(|word| word != "--");
    while let Some(word) = words.next() {
        if word == FOLDER {
            return words.next().map(PathBuf::from);
        }
        let text = word.to_str().and_then(|text| text.strip_prefix(FOLDER)?.strip_prefix('='));
        if let Some(text) = text {
            return Some(text.into());
        }
    }
    None
}

/// The option that names the folder of contestants.
const FOLDER: &str = "--contestants";

/// Parses a command line, runs it, and turns what came of it into an exit code.
fn run_line(
    line: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    run: impl FnOnce(Command) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let outcome = match Cli::try_parse_from(line) {
        Ok(cli) => run(cli.command),
        Err(error) => return refuse(&error),
    };
    outcome.unwrap_or_else(|error| {
        if error.is::<OutputClosed>() {
            // Whoever read the output has seen enough.
            return ExitCode::SUCCESS;
        }
        output::complain(&format!("{error:#}"));
        ExitCode::from(if error.is::<WrongUsage>() { 2 } else { 1 })
    })
}

/// Prints what is wrong with the command line: in one line, when it is a single value.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let text = error.to_string();
            let mut lines = text.lines().map(str::trim);
            let line = lines.next().unwrap_or_default().trim_start_matches("error: ");
            let possible = lines.find(|line| line.starts_with("[possible values: "));
            output::complain(&[Some(line), possible].into_iter().flatten().collect::<Vec<_>>().join(" "));
        }
        _ => {
            // Nothing is left to be told when not even this can be printed.
            let _ = error.print();
        }
    }
    ExitCode::from(error.exit_code().try_into().unwrap_or(2))
}

/// A command line whose parts are right, and whose whole is not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongUsage(String);

/// Marks an error as the command line's.
fn wrong_usage(error: impl std::fmt::Display) -> anyhow::Error {
    WrongUsage(error.to_string()).into()
}

/// A contestant, named on the command line.
#[derive(Clone, Copy)]
struct Chosen(&'static Contestant);

impl Chosen {
    /// Checks that it can have so many workers, and gets it ready to run here.
    fn check(self, workers: Option<usize>) -> anyhow::Result<()> {
        self.0.workers(workers, 1).map_err(wrong_usage)?;
        self.prepare()
    }

    /// Gets it ready to run here.
    fn prepare(self) -> anyhow::Result<()> {
        let prepared = self.0.prepare(&output::building);
        output::progress("");
        prepared.map_err(|why| anyhow::anyhow!("{} cannot run here: {why}", self.name()))
    }

    /// The backend of this program, for what is done in this process.
    fn built_in(self) -> anyhow::Result<&'static dyn Backend> {
        let name = self.name();
        self.0.built_in().ok_or_else(|| {
            wrong_usage(format!(
                "{name} is not built into this program; `ioduel duel {name} epoll` measures it"
            ))
        })
    }

    fn name(self) -> &'static str {
        self.0.name()
    }
}

impl std::str::FromStr for Chosen {
    type Err = NotFound;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        contestant::find(name).map(Self)
    }
}

/// The words of a command.
#[derive(Clone, Debug)]
struct Words(Vec<String>);

fn words(text: &str) -> Result<Words, String> {
    match shell_words::split(text) {
        Ok(words) if !words.is_empty() => Ok(Words(words)),
        _ => Err(format!("{text:?} is not a command")),
    }
}

/// Who is ranked, where everyone may have been asked for.
fn ranked(all: bool) -> Ranked {
    if all { Ranked::Everyone } else { Ranked::default() }
}

/// How a result is printed.
#[derive(Clone, Copy)]
enum Format {
    Table,
    Json,
}

impl Format {
    fn new(json: bool) -> Self {
        if json { Self::Json } else { Self::Table }
    }
}

/// Keeps this process on these processors, if any were named.
fn pin(cpus: Option<&Cpus>) -> anyhow::Result<()> {
    cpus.map_or(Ok(()), |cpus| cpus.pin_this_process().map_err(wrong_usage))
}

/// Reads a rate, in messages per second: `20000`, or `20_000`.
fn rate(text: &str) -> Result<u32, String> {
    let number = text.replace('_', "");
    let bad = |_| format!("{text:?} is not a rate; write the messages per second as a number, like 20000");
    crate::written::rate(number.parse().map_err(bad)?)
}

/// A duration in whole milliseconds, as plans have it.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
