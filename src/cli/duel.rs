//! `ioduel duel`: the interleaved comparison, recorded.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;

use super::{Chosen, duration, output, wrong_usage};
use crate::{
    analysis::{Analysis, Measure, analyse},
    backend::ALL,
    doctor::{examine, warnings},
    duel::{AgentArena, DuelPlan, Next, Until, Witness, contest, fight, handicapped},
    environment::Environment,
    load::Workload,
    placement::{Cpus, Placement},
    record::{Contest, Line, Record, RecordWriter, SCHEMA, Setup, View},
    report,
    round::Launch,
};

/// The neutral client: the leanest that the suite has.
const NEUTRAL: &str = "epoll";

/// What is fought unless told otherwise. The interval hangs on the number of epochs: with ten, Student's t asks for a
/// sixth more width than with endlessly many.
const STANDARD: Length = Length { epochs: 10, blocks: 2, ramp_ms: 100, window_ms: 250 };

/// A first look: few and short rounds, each with processes of its own.
const QUICK: Length = Length { epochs: 6, blocks: 1, ramp_ms: 50, window_ms: 100 };

/// Epochs before `--until` may end a duel: an interval of fewer is narrow by luck.
const LEAST_EPOCHS: usize = 6;

/// How much is fought.
struct Length {
    epochs: usize,
    /// Blocks in an epoch.
    blocks: usize,
    ramp_ms: u64,
    window_ms: u64,
}

/// Compare backends in short interleaved rounds, and record every round.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel duel\n  ioduel duel tokio smol --workload session --workload stream --until 2%\n  \
                  ioduel duel epoll tokio --view server --time 60s --server-cpus 0 --client-cpus 1\n  \
                  ioduel duel --server-exec 'ip netns exec a' --client-exec 'ip netns exec b' --server-address 10.0.0.1"
)]
pub(super) struct Args {
    /// The backends, the reference first [default: all that run here]
    backends: Vec<Chosen>,
    /// The workloads
    #[arg(long = "workload", value_name = "NAME", default_values_t = [Workload::ALL[0]])]
    workloads: Vec<Workload>,
    /// What differs between the arms
    #[arg(long = "view", value_enum, default_values_t = [ViewChoice::Own])]
    views: Vec<ViewChoice>,
    /// Worker threads, where a backend has such
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// The server's processors [default: the first, for both]
    #[arg(long, value_name = "CPUS")]
    server_cpus: Option<Cpus>,
    /// The client's processors
    #[arg(long, value_name = "CPUS")]
    client_cpus: Option<Cpus>,
    /// What to start servers with, such as 'ip netns exec a'
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    server_exec: Option<Words>,
    /// What to start clients with; several mean several load machines
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    client_exec: Vec<Words>,
    /// Where servers listen, if not on loopback
    #[arg(long, value_name = "IP")]
    server_address: Option<std::net::IpAddr>,
    /// Stop when every interval of messages/s is narrower than this
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    until: Option<f64>,
    /// Stop after so long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Stop after so many epochs [default: 10, or 6 with --quick]
    #[arg(long, value_name = "N", conflicts_with_all = ["until", "time"], value_parser = clap::value_parser!(u16).range(1..))]
    epochs: Option<u16>,
    /// The seed of the order [default: drawn]
    #[arg(long)]
    seed: Option<u64>,
    /// Add a copy of the reference whose server burns so many nanoseconds of CPU per message, to see if it is found
    #[arg(long, value_name = "NS", hide = true)]
    handicap_ns: Option<u64>,
    /// Fewer and shorter rounds, for a first look
    #[arg(long)]
    quick: bool,
    /// Where to record
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

/// The words of a command.
#[derive(Clone, Debug)]
struct Words(Vec<String>);

fn words(text: &str) -> Result<Words, String> {
    match shell_words::split(text) {
        Ok(words) if !words.is_empty() => Ok(Words(words)),
        _ => Err(format!("{text:?} is no command")),
    }
}

/// Reads `2%` or `2` as 0.02.
fn percent(text: &str) -> Result<f64, String> {
    let number: f64 =
        text.trim_end_matches('%').parse().map_err(|_| format!("{text:?} is no percentage; write 2%"))?;
    if number > 0.0 && number < 100.0 {
        Ok(number / 100.0)
    } else {
        Err(format!("{text:?} is not between 0 and 100%"))
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ViewChoice {
    /// Each client against its own server
    Own,
    /// One neutral client against each server
    Server,
    /// Every client against every server
    Matrix,
}

impl From<ViewChoice> for View {
    fn from(choice: ViewChoice) -> Self {
        match choice {
            ViewChoice::Own => Self::Own,
            ViewChoice::Server => Self::Server,
            ViewChoice::Matrix => Self::Matrix,
        }
    }
}

impl Args {
    fn backends(&self) -> anyhow::Result<Vec<String>> {
        let here =
            || ALL.iter().filter(|backend| backend.available().is_ok()).map(|backend| Chosen(*backend));
        let chosen = if self.backends.is_empty() { here().collect() } else { self.backends.clone() };
        chosen.iter().try_for_each(|chosen| chosen.check(self.workers))?;
        let names: Vec<String> = chosen.iter().map(|chosen| chosen.name().to_owned()).collect();
        refuse_twice(&names)?;
        Ok(names)
    }

    fn contests(&self) -> anyhow::Result<Vec<Contest>> {
        let backends = self.backends()?;
        refuse_twice(&self.workloads.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        refuse_twice(&self.views.iter().map(|view| View::from(*view).name().to_owned()).collect::<Vec<_>>())?;
        let pairs =
            self.workloads.iter().flat_map(|workload| self.views.iter().map(move |view| (workload, *view)));
        let made = pairs.map(|(workload, view)| {
            let mut contest = contest(workload.name, view.into(), &backends, NEUTRAL, self.workers);
            let handicapped = self.handicap_ns.map(|burn_ns| handicapped(&contest.arms[0], burn_ns));
            contest.arms.splice(1..1, handicapped);
            contest
        });
        Ok(made.collect())
    }

    fn length(&self) -> Length {
        if self.quick { QUICK } else { STANDARD }
    }

    fn until(&self) -> Until {
        match (self.time, self.until) {
            (Some(time), _) => Until::Time(time),
            (None, Some(_)) => Until::Time(Duration::from_secs(600)),
            (None, None) => Until::Epochs(self.epochs.map_or(self.length().epochs, usize::from)),
        }
    }
}

/// Refuses a name that stands twice: both would claim the same rounds.
fn refuse_twice(names: &[String]) -> anyhow::Result<()> {
    let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
    twice.map_or(Ok(()), |(_, name)| Err(wrong_usage(format!("{name} is named twice"))))
}

/// Fights a duel, records it, and prints its summary.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let words = std::env::args().skip(1);
    fight_and_report(&args, program, ["ioduel".to_owned()].into_iter().chain(words).collect())
}

/// The duel as a bench: takes the words that `cargo bench` passes on as criterion would, and starts agents of `program`.
///
/// A word names the backends to compare by a part of their names; `--test` fights one block without recording it in
/// results; `--quick` is the duel's own.
pub fn bench(program: PathBuf) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let filters = filters(&words);
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let here = ALL.iter().filter(|backend| backend.available().is_ok()).map(|backend| backend.about().name);
    let names: Vec<&str> = here.filter(|name| chosen(name)).collect();
    if names.len() < 2 {
        output::tell("no duel: fewer than two backends have that in their names");
        return ExitCode::SUCCESS;
    }
    let mut line = vec!["ioduel", "duel"];
    line.extend(names);
    if has("--quick") {
        line.push("--quick");
    }
    // As criterion has it: without `--bench`, which `cargo bench` passes, this is a test.
    if has("--test") || !has("--bench") {
        line.extend(["--quick", "--epochs", "1", "--out", "target/duel-test"]);
    }
    let command_line = line.iter().map(|word| (*word).to_owned()).collect();
    super::run_line(line, |command| match command {
        super::Command::Duel(args) => fight_and_report(&args, program, command_line),
        _ => unreachable!("the line begins with the duel's name"),
    })
}

/// The words that name benchmarks: not options, and not what stands behind an option of criterion's that takes a value.
fn filters(words: &[String]) -> Vec<&str> {
    const VALUED: [&str; 10] = [
        "--baseline",
        "--baseline-lenient",
        "--color",
        "--confidence-level",
        "--load-baseline",
        "--measurement-time",
        "--output-format",
        "--sample-size",
        "--save-baseline",
        "--warm-up-time",
    ];
    let mut filters = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if VALUED.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            filters.push(word);
        }
    }
    filters
}

impl Args {
    fn launch(&self, program: PathBuf) -> anyhow::Result<Launch> {
        let placement = Placement::with_prefixes(
            (self.server_cpus.clone(), self.server_exec.is_some()),
            (self.client_cpus.clone(), !self.client_exec.is_empty()),
        );
        Ok(Launch {
            program,
            placement: placement.map_err(wrong_usage)?,
            server_exec: self.server_exec.clone().map_or_else(Vec::new, |words| words.0),
            client_exec: self.client_exec.iter().map(|words| words.0.clone()).collect(),
            server_address: self.server_address,
        })
    }

    fn setup(&self, launch: &Launch, command_line: Vec<String>) -> anyhow::Result<Setup> {
        let environment = Environment::read();
        let Length { blocks, ramp_ms, window_ms, .. } = self.length();
        Ok(Setup {
            schema: SCHEMA,
            began: jiff::Timestamp::now().to_string(),
            command_line,
            seed: self.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            placement: launch.placement.clone(),
            server_address: self.server_address.map(|ip| ip.to_string()),
            server_exec: self.server_exec.as_ref().map(|words| shell_words::join(&words.0)),
            client_exec: self.client_exec.iter().map(|words| shell_words::join(&words.0)).collect(),
            blocks,
            ramp_ms,
            window_ms,
            contests: self.contests()?,
            warnings: warnings(&examine(&environment)),
            environment,
        })
    }
}

fn fight_and_report(args: &Args, program: PathBuf, command_line: Vec<String>) -> anyhow::Result<ExitCode> {
    let launch = args.launch(program)?;
    let setup = args.setup(&launch, command_line)?;
    setup.warnings.iter().for_each(|warning| output::tell(&format!("warning: {warning}")));
    let plan = DuelPlan {
        contests: setup.contests.clone(),
        seed: setup.seed,
        blocks: setup.blocks,
        until: args.until(),
    };
    let day = setup.began.split('T').next().unwrap_or_default().to_owned();
    let writer = RecordWriter::create(&args.out, &day, &setup)?;
    output::tell(&format!("seed {}; recording to {}", setup.seed, writer.folder().display()));

    let interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        // The first ends the duel after the block; whoever can't wait for that says it again.
        if told.swap(true, Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot handle signals")?;

    let mut arena = AgentArena::new(launch, setup.ramp_ms, setup.window_ms);
    if args.quick {
        arena = arena.without_idle();
    }
    let record = Record { setup, lines: Vec::new(), damage: None };
    let mut scribe = Scribe {
        writer,
        record,
        narrow: args.until,
        interrupted: Arc::clone(&interrupted),
        plan: plan.clone(),
        epochs_done: 0,
        told: BTreeSet::new(),
    };
    let fought = fight(&plan, &mut arena, &mut scribe);
    output::progress("");
    // What was measured is kept and shown also when the disk got full, or somebody interrupted.
    let summary = scribe.summary()?;
    let kept = summary.as_ref().map_or(Ok(()), |summary| scribe.writer.attach("summary.md", summary));
    let shown = summary.as_ref().map_or(Ok(()), |summary| output::print(summary.trim_end()));
    fought.and(kept)?;
    output::tell(&format!("recorded in {}", scribe.writer.folder().display()));
    shown?;
    if scribe.interrupted.load(Relaxed) {
        return Ok(ExitCode::from(130));
    }
    anyhow::ensure!(summary.is_some(), "nothing was measured; the record holds the errors");
    Ok(ExitCode::SUCCESS)
}

/// Writes every block down, and says when enough was seen.
struct Scribe {
    writer: RecordWriter,
    record: Record,
    narrow: Option<f64>,
    interrupted: Arc<AtomicBool>,
    plan: DuelPlan,
    /// Epochs that are over, of all contests.
    epochs_done: usize,
    /// The errors that were told; each is once.
    told: BTreeSet<String>,
}

impl Scribe {
    /// What the record says, if a round was measured.
    fn summary(&self) -> anyhow::Result<Option<String>> {
        if !self.record.lines.iter().any(|line| matches!(line, Line::Round(_))) {
            return Ok(None);
        }
        Ok(Some(report::markdown(&self.record.setup, &analyse(&self.record)?)))
    }

    /// Looks at what there is once an epoch is over: whether it is enough, and who leads.
    fn look(&mut self, epoch: usize, elapsed: Duration) -> anyhow::Result<Next> {
        self.epochs_done += 1;
        if self.narrow.is_none() && !output::shows_progress() {
            return Ok(Next::GoOn);
        }
        let analysis = analyse(&self.record)?;
        output::progress(&self.progress(elapsed, &analysis));
        let last_contest = self.epochs_done.is_multiple_of(self.plan.contests.len());
        let narrow = self.narrow.is_some_and(|width| last_contest && all_narrower(&analysis, width));
        Ok(if narrow && epoch + 1 >= LEAST_EPOCHS { Next::Stop } else { Next::GoOn })
    }

    /// How far it is, how long it may take, and who leads.
    fn progress(&self, elapsed: Duration, analysis: &Analysis) -> String {
        let left = match self.plan.until {
            Until::Time(time) => time.saturating_sub(elapsed),
            Until::Epochs(epochs) => {
                let all = (epochs * self.plan.contests.len()) as f64;
                elapsed.mul_f64((all / self.epochs_done as f64 - 1.0).max(0.0))
            }
        };
        let ranks = analysis.contests.first().map_or_else(String::new, |contest| {
            let ranked =
                contest.arms.iter().filter_map(|arm| Some(format!("{} {}", arm.rank?, arm.arm.name)));
            ranked.collect::<Vec<_>>().join(", ")
        });
        format!("{} epochs done, {:.0} s left; {ranks}", self.epochs_done, left.as_secs_f64())
    }

    fn tell_errors(&mut self, lines: &[Line]) {
        for line in lines {
            if let Line::Failed { error, .. } = line
                && self.told.insert(error.clone())
            {
                output::progress("");
                output::complain(error);
            }
        }
    }
}

impl Witness for Scribe {
    fn block(&mut self, lines: Vec<Line>, elapsed: Duration) -> anyhow::Result<Next> {
        self.tell_errors(&lines);
        let kept = self.writer.append(&lines);
        let place = lines.last().map(|line| (line.place().epoch, line.place().block));
        self.record.lines.extend(lines);
        kept?;
        if self.interrupted.load(Relaxed) {
            return Ok(Next::Stop);
        }
        match place {
            Some((epoch, block)) if block + 1 == self.plan.blocks => self.look(epoch, elapsed),
            _ => Ok(Next::GoOn),
        }
    }
}

/// Whether every interval of messages/s is narrower than this.
fn all_narrower(analysis: &Analysis, width: f64) -> bool {
    let compared = |contest: &crate::analysis::ContestResult| {
        contest.arms.iter().filter(|arm| arm.arm.name != contest.reference && arm.no_verdict.is_none()).all(
            |arm| {
                let comparison = arm.comparisons.get(&Measure::Throughput);
                comparison.is_some_and(|comparison| comparison.high - comparison.low < width)
            },
        )
    };
    analysis.contests.iter().all(compared)
}
