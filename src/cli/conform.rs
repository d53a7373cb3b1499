//! `ioduel conform`: tells a program from a correct one, case by case.

use std::{ffi::OsString, fmt, net::Ipv4Addr, path::Path, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use super::{Chosen, Format, duration, output, wrong_usage};
use crate::{
    agent::{Program, agent_words},
    conform::{self, CASES, Case, Outcome, Side, Subject, Verdict},
    net::{LinkMeasured, LinkShape, Namespace, RecordedLink, probe, reflect, shape_loopback},
};

/// Test whether a server or client of your own behaves correctly when ioduel drives it (see CONTRIBUTING.md).
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel conform ./my-agent --threads 2\n  ioduel conform --backend tokio\n  \
                  ioduel conform --side server --case reset ./my-agent\n\n\
                  CONTRIBUTING.md describes the protocol between ioduel and your program."
)]
pub(super) struct Args {
    /// Your program and its arguments; without them, ioduel tests itself. Unless --alone is given, your program must speak the protocol that
    /// CONTRIBUTING.md describes. Write the options of `conform` before COMMAND
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    /// The backend to test. Without COMMAND, this is a backend of ioduel; with COMMAND, a name that is sent to your program
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The program is a plain echo server that knows nothing of ioduel. {address} in its arguments becomes the address to listen on
    #[arg(long)]
    alone: bool,
    /// The number of worker threads, for programs that let you choose it [default: your program's default]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Test only one side
    #[arg(long)]
    side: Option<Only>,
    /// Test over an emulated link: plain, lan, metro, wan, mobile, or one like 'delay 5ms loss 0.1% rate 1gbit'. If the link drops packets, a
    /// case is tried up to three times before it counts as failed
    #[arg(long, value_name = "LINK")]
    link: Option<LinkShape>,
    /// Run only the cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
    /// How long to wait for a step that normally finishes at once
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = DEFAULT_PATIENCE)]
    patience: Duration,
    /// Print the cases, and run none
    #[arg(long)]
    list: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// [`PATIENCE`], as it is written on a command line.
const DEFAULT_PATIENCE: &str = "10s";

/// The side that is put to the test.
#[derive(Clone, Copy, ValueEnum)]
enum Only {
    Server,
    Client,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let format = Format::new(args.json);
    let chosen = |case: &Case| args.chooses(case);
    if !CASES.iter().any(chosen) {
        return Err(wrong_usage("no case has this name; `ioduel conform --list` shows all"));
    }
    if args.list {
        CASES.iter().filter(|case| chosen(case)).try_for_each(|case| print(format, &Line::of(case)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut subject = args.subject()?;
    if let Some(link) = args.link {
        let measured = link_loopback(&link).with_context(|| format!("cannot test over a link ({link})"))?;
        output::tell(&format!("over a link, {link}: {measured}"));
        if let Format::Json = format {
            output::print_json(&RecordedLink { asked: link, measured })?;
        }
        subject = subject.over(link);
    }
    if let Format::Table = format {
        output::print(
            "Each line is a requirement. An agent is a program that ioduel starts, asks to serve or connect, and measures.",
        )?;
    }
    let mut totals = Totals::default();
    for outcome in conform::run(&subject, chosen)? {
        totals.count(&outcome.verdict);
        match (format, &outcome.verdict) {
            // A line for all of them, in the totals.
            (Format::Table, Verdict::Skipped(_)) => {}
            _ => print(format, &Line::told(outcome))?,
        }
    }
    if let Format::Table = format {
        output::print(&totals.to_string())?;
    }
    Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn chooses(&self, case: &Case) -> bool {
        let side = match self.side {
            None => true,
            Some(Only::Server) => case.side != Side::Client,
            Some(Only::Client) => case.side != Side::Server,
        };
        side && self.case.as_ref().is_none_or(|text| case.name.contains(text))
    }

    fn subject(&self) -> anyhow::Result<Subject> {
        let reference = crate::processes::own_program()?;
        let workers = self.workers.map(usize::from);
        match (self.command.first(), &self.backend) {
            (Some(program), backend) => {
                if !is_there(Path::new(program)) {
                    return Err(wrong_usage(format!(
                        "there is no program {}; to test a backend of ioduel, use --backend",
                        program.display()
                    )));
                }
                let theirs = &self.command;
                let program_ = if self.alone { Program::Server(theirs) } else { Program::Agent(theirs) };
                let own_name = || program.to_string_lossy().into_owned();
                Ok(Subject {
                    command: agent_words(&reference, None, program_),
                    is_alone: self.alone,
                    takes_all_sizes: !self.alone
                        || theirs.iter().any(|word| word.to_string_lossy().contains("{message_bytes}")),
                    workers,
                    backend: backend.clone().unwrap_or_else(own_name),
                    reference,
                    patience: self.patience,
                    link: LinkShape::default(),
                })
            }
            (None, Some(backend)) => {
                let chosen: Chosen = backend.parse().map_err(wrong_usage)?;
                chosen.check(workers)?;
                Ok(Subject { workers, ..Subject::of(chosen.0, &reference, self.patience) })
            }
            (None, None) => {
                let what = "name a program, or one that `ioduel list` shows with --backend";
                Err(wrong_usage(what))
            }
        }
    }
}

/// Whether there is a program: at its path, or, if its name has no `/`, in a folder of PATH.
fn is_there(program: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match program.components().nth(1) {
        Some(_) => program.exists(),
        None => std::env::split_paths(&path).any(|folder| folder.join(program).exists()),
    }
}

/// Moves this process to a network namespace of its own, where all that it starts will be, makes a link of its loopback, and measures it.
fn link_loopback(link: &LinkShape) -> anyhow::Result<LinkMeasured> {
    Namespace::New.enter()?;
    shape_loopback(link)?;
    LinkMeasured::of(link, || Ok(probe(reflect(Ipv4Addr::LOCALHOST)?, link)?))
}

fn print(format: Format, line: &Line) -> anyhow::Result<()> {
    match format {
        Format::Json => output::print_json(line),
        Format::Table => output::print(&line.to_string()),
    }
}

/// A case, as it is printed: what came of it, or nothing but itself.
#[derive(Serialize)]
struct Line {
    case: &'static str,
    side: Side,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Word>,
    /// What was expected and what came, or why that can't be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// How often it ran, if more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<u32>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Passed,
    Failed,
    NotRun,
}

impl Line {
    fn of(case: &Case) -> Self {
        Self { case: case.name, side: case.side, verdict: None, why: None, tries: None }
    }

    fn told(outcome: Outcome) -> Self {
        let (verdict, why) = match outcome.verdict {
            Verdict::Passed => (Word::Passed, None),
            Verdict::Failed(error) => (Word::Failed, Some(format!("{error:#}"))),
            Verdict::NotRun(why) => (Word::NotRun, Some(why)),
            Verdict::Skipped(first) => {
                (Word::NotRun, Some(format!("it needs another case, which failed: {}", first.name)))
            }
        };
        let tries = (outcome.tries > 1).then_some(outcome.tries);
        Self { verdict: Some(verdict), why, tries, ..Self::of(outcome.case) }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, side, .. } = self;
        match self.verdict {
            None => write!(f, "{side:<8} {case}"),
            Some(Word::Passed) => write!(f, "ok       {case}"),
            Some(Word::Failed) => write!(f, "FAILED:  {case}"),
            Some(Word::NotRun) => write!(f, "not run  {case}"),
        }?;
        self.tries.map_or(Ok(()), |tries| write!(f, " (try {tries})"))?;
        // A reason may have several lines; all belong to the case above them.
        self.why.iter().flat_map(|why| why.lines()).try_for_each(|line| write!(f, "\n         {line}"))
    }
}

#[derive(Default)]
struct Totals {
    passed: usize,
    failed: usize,
    not_run: usize,
    /// How many of those not run were left out because one that they depend on failed.
    skipped: usize,
}

impl Totals {
    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::NotRun(_) => self.not_run += 1,
            Verdict::Skipped(_) => {
                self.not_run += 1;
                self.skipped += 1;
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match *self {
            Self { not_run: 0, .. } => Ok(()),
            Self { not_run, skipped: 0, .. } => write!(f, ", {not_run} not run"),
            Self { not_run, skipped, .. } if skipped == not_run => {
                write!(f, ", {not_run} not run, because a case that they need failed")
            }
            Self { not_run, skipped, .. } => {
                write!(f, ", {not_run} not run, {skipped} of them because a case that they need failed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::PATIENCE;

    #[test]
    fn the_default_patience_is_written_as_it_is() {
        assert_eq!(duration(DEFAULT_PATIENCE), Ok(PATIENCE));
    }

    #[test]
    fn a_reason_stands_below_its_case() {
        let line = |verdict| Line::told(Outcome { case: &CASES[0], verdict, tries: 1 }).to_string();
        let name = CASES[0].name;
        assert_eq!(line(Verdict::Passed), format!("ok       {name}"));
        let third = Outcome { case: &CASES[0], verdict: Verdict::Passed, tries: 3 };
        assert_eq!(Line::told(third).to_string(), format!("ok       {name} (try 3)"));
        let failed = anyhow::anyhow!("one\ntwo").context("asked");
        let expected = format!("FAILED:  {name}\n         asked: one\n         two");
        assert_eq!(line(Verdict::Failed(failed)), expected);
        let expected = format!("not run  {name}\n         elsewhere");
        assert_eq!(line(Verdict::NotRun("elsewhere".to_owned())), expected);
    }
}
