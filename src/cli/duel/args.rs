//! What a duel is asked for, and the contests that come of it.

mod contests;

use std::{
    collections::BTreeSet,
    fmt::Display,
    path::{Path, PathBuf},
    time::Duration,
};

use super::participants::Participants;
use crate::{
    cli::{Chosen, Words, duration, machines::Machines, network, rate, words, wrong_usage},
    doctor::{examine, warnings},
    duel::Until,
    environment::Environment,
    load::{Objective, Workload},
    net::LinkShape,
    placement::Cpus,
    record::{Class, SCHEMA, Setup, View},
    round::{Launch, Network},
    written::window,
};

/// Epochs of a duel unless told otherwise. The interval hangs on their number: with ten, Student's t asks for a sixth more
/// width than with endlessly many.
const EPOCHS: usize = 10;

/// Epochs of a first look.
const QUICK_EPOCHS: usize = 6;

/// By how much shorter the epochs of a first look are.
const QUICK_SHARE: u64 = 4;

/// The most blocks in an epoch of a search for capacities.
pub(super) const PACED_BLOCKS: usize = 5;

/// The most blocks in an epoch of set rates: `cargo bench` has such a contest, and is to end in twelve minutes.
const RATE_BLOCKS: usize = 3;

/// How long `--until` may take unless told otherwise.
const LONGEST: Duration = Duration::from_secs(600);

/// Compare backends side by side, and record the results.
///
/// The backends take turns of 30 ms. Processes are restarted from time to time; what is measured between two restarts is an epoch.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel duel\n  ioduel duel tokio smol --workload session --workload stream --until 2%\n  \
                  ioduel duel epoll tokio --view server --time 60s --server-cpus 0 --client-cpus 1\n  \
                  ioduel duel epoll tokio-current mio --workload handler --objective 'p99 < 2ms' --time 3m\n  \
                  ioduel duel --server-exec 'ip netns exec a' --client-exec 'ip netns exec b' --server-address 10.0.0.1"
)]
pub(in crate::cli) struct Args {
    /// The backends, as in `ioduel list`. Append @ and a release (tokio@1.45.0), or @ and the folder of the crate's source
    /// (tokio@../tokio/tokio), to choose that version. The first backend is the reference, with which the others are compared [default: all that run here]
    backends: Vec<Chosen>,
    /// A workload's name, or a file such as mine.toml; repeat it for several. `ioduel workloads` lists the names
    #[arg(long = "workload", value_name = "NAME|FILE", default_values_t = [Workload::default()])]
    workloads: Vec<Workload>,
    /// Which clients drive the servers [default: `own`, or `server` if a backend has no client]
    #[arg(long = "view", value_enum)]
    views: Vec<ViewChoice>,
    /// Compare backends with one thread each, or with several [default: chosen to fit the backends]
    #[arg(long = "class", value_enum)]
    classes: Vec<ClassChoice>,
    /// The number of worker threads, for backends that let you choose it [default: 1 in the class single, one for each processor in the class
    /// multi]. Several numbers, such as 1,2,4,8, show how each backend scales
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    workers: Vec<u16>,
    /// The server's processors, such as 0 or 0-3 or 0,2 [default: chosen by ioduel; the record says which]
    #[arg(long, value_name = "CPUS")]
    server_cpus: Option<Cpus>,
    /// The client's processors [default: chosen by ioduel]
    #[arg(long, value_name = "CPUS")]
    client_cpus: Option<Cpus>,
    /// A prefix of the server's command, to start it elsewhere: 'ip netns exec a', for example, or 'ssh HOST'
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    server_exec: Option<Words>,
    /// A prefix of the client's command; repeat it for clients on several machines
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    client_exec: Vec<Words>,
    /// The network namespace to measure in [default: `own`, where that is possible]
    #[arg(long, value_enum)]
    network: Option<network::Choice>,
    /// Measure over an emulated link, for example 'delay 5ms loss 0.1% rate 1gbit'. The delay is for a round trip. Shorthands: lan, metro, wan,
    /// mobile, and plain (no delay, no loss) [default: the workload's link, or none]
    #[arg(long, value_name = "LINK", conflicts_with = "network")]
    link: Option<LinkShape>,
    /// Read --server-exec, --client-exec, --server-cpus, --client-cpus and --server-address from this file; `ioduel machines --help`
    /// shows one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server_exec", "client_exec", "server_address", "server_cpus", "client_cpus"])]
    machines: Option<Machines>,
    /// Where servers listen, if not on loopback
    #[arg(long, value_name = "IP")]
    server_address: Option<std::net::IpAddr>,
    /// Stop when the 95% confidence interval of each backend's ratio to the reference, in messages/s, is narrower than PERCENT.
    /// 0.991 to 1.009, for example, is narrower than 2%. This is checked after each epoch from the sixth on, and
    /// must be true twice in a row. --time limits how long that may take [default limit: 10 minutes]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(super) until: Option<f64>,
    /// The total time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Stop after this many epochs [default without --time and --until: 10, or 6 with --quick]
    #[arg(long, value_name = "N", conflicts_with_all = ["until", "time"], value_parser = clap::value_parser!(u16).range(1..))]
    epochs: Option<u16>,
    /// How long each backend is measured per epoch [default: the workload's window]
    #[arg(long, value_name = "TIME", value_parser = window)]
    window: Option<Duration>,
    /// Send each server this many messages per second, whether or not replies have arrived
    #[arg(long, value_name = "PER-SECOND", value_parser = rate)]
    rate: Option<u32>,
    /// Find the highest rate at which response times meet this objective, such as 'p99 < 2ms'; repeat it for several
    #[arg(long = "objective", value_name = "OBJECTIVE", conflicts_with = "rate")]
    objectives: Vec<Objective>,
    /// The seed of the order of turns [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Add a copy of the reference whose server burns so many nanoseconds of CPU per message, to see if it is found
    #[arg(long, value_name = "NS", hide = true)]
    handicap_ns: Vec<u64>,
    /// Fewer and shorter epochs, for a first look
    #[arg(long)]
    pub(super) quick: bool,
    /// Also rank the hand-written loops (epoll, uring), which are baselines, not libraries
    #[arg(long)]
    pub(super) all: bool,
    /// Print all measures, in Markdown
    #[arg(long)]
    pub(super) wide: bool,
    /// Measure each backend for a whole window (--window) at a time, instead of 30 ms. This is always so with --link, and across machines
    #[arg(long)]
    whole_rounds: bool,
    /// Where to record
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(super) out: PathBuf,
}

/// Reads `2%` or `2` as 0.02.
fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .trim_end_matches('%')
        .parse()
        .map_err(|_| format!("{text:?} is not a percentage; write it like 2%"))?;
    if number > 0.0 && number < 100.0 {
        Ok(number / 100.0)
    } else {
        Err(format!("the percentage must be above 0% and below 100%, not {text}"))
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ViewChoice {
    /// Client and server of the same backend
    Own,
    /// One client, that of epoll, against each server
    Server,
    /// Every client against every server
    Matrix,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ClassChoice {
    /// One thread each
    Single,
    /// Several threads each
    Multi,
}

impl From<ClassChoice> for Class {
    fn from(choice: ClassChoice) -> Self {
        match choice {
            ClassChoice::Single => Self::Single,
            ClassChoice::Multi => Self::Multi,
        }
    }
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
    /// How long the duel is to take, where that was asked for.
    pub(super) fn set_time(&self) -> Option<Duration> {
        self.time
    }

    pub(super) fn until(&self) -> Until {
        match (self.time, self.until) {
            (Some(time), _) => Until::Time(time),
            (None, Some(_)) => Until::Time(LONGEST),
            (None, None) => {
                let usual = if self.quick { QUICK_EPOCHS } else { EPOCHS };
                Until::Epochs(self.epochs.map_or(usual, usize::from))
            }
        }
    }
}

impl Args {
    /// What `--until` will do, if it was asked for.
    pub(super) fn intention(&self) -> Option<String> {
        let width = percent_text(self.until?);
        let limit = self.time.unwrap_or(LONGEST);
        let other = if self.time.is_none() { "; --time sets another limit" } else { "" };
        Some(format!(
            "until every interval of messages/s is narrower than {width}, at most {}{other}",
            span(limit)
        ))
    }
}

/// A share as it is asked for: `2%`.
pub(super) fn percent_text(share: f64) -> String {
    format!("{}%", (share * 1e5).round() / 1e3)
}

/// A duration in words, as far as an estimate is true: whole seconds, or whole minutes from two on.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

/// Refuses a name that stands twice: both would claim the same rounds.
pub(super) fn refuse_twice<N: Ord + Display>(names: impl Iterator<Item = N>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if seen.contains(&name) {
            return Err(wrong_usage(format!("{name} is named twice")));
        }
        seen.insert(name);
    }
    Ok(())
}

impl Args {
    /// Where both sides run: by a file, or by options.
    pub(super) fn machines(&self) -> Machines {
        self.machines.clone().unwrap_or_else(|| Machines {
            server_exec: self.server_exec.clone().map_or_else(Vec::new, |words| words.0),
            server_address: self.server_address,
            server_cpus: self.server_cpus.clone(),
            client_exec: self.client_exec.iter().map(|words| words.0.clone()).collect(),
            client_cpus: self.client_cpus.clone(),
        })
    }

    /// The link that all workloads go over, if they do.
    fn link(&self) -> anyhow::Result<Option<LinkShape>> {
        let workloads = self.workloads();
        let link = workloads.first().and_then(|first| first.link);
        match workloads.iter().find(|workload| workload.link != link) {
            None => Ok(link),
            Some(other) => Err(wrong_usage(format!(
                "{} and {} go over different links; duel with one at a time, or name one for all with --link",
                workloads[0].name, other.name
            ))),
        }
    }

    /// The network of the agents.
    pub(super) fn network(&self, program: &Path) -> anyhow::Result<network::ChosenNetwork> {
        let elsewhere = self.machines().are_elsewhere();
        network::ChosenNetwork::of(self.link()?, self.network, program, elsewhere)
    }

    pub(super) fn launch(&self, program: PathBuf, network: Network) -> anyhow::Result<Launch> {
        // Each contest has its own placement.
        let here = Launch { network, ..Launch::here(program, self.placement(Class::Single, false)?) };
        let launch = self.machines().launch(here);
        launch.check_address().map_err(wrong_usage)?;
        Ok(launch)
    }

    pub(super) fn setup(
        &self,
        launch: &Launch,
        environment: Environment,
        command_line: Vec<String>,
    ) -> anyhow::Result<Setup> {
        let participants = Participants::new(&self.backends, &launch.program)?;
        let contests = self.contests(&participants)?;
        let mut skipped = participants.skipped.clone();
        for (name, why) in self.workloads().iter().flat_map(|workload| participants.unfit(workload)) {
            let told: &mut String = skipped.entry(name).or_default();
            told.push_str(if told.is_empty() { "" } else { "; " });
            told.push_str(&why);
        }
        let mut warnings = warnings(&examine(&environment));
        warnings.extend(self.pacer_warnings(&contests)?);
        warnings.extend(contests.iter().find_map(contests::scaling_warning));
        let machines = self.machines();
        Ok(Setup {
            schema: SCHEMA,
            began: jiff::Timestamp::now().to_string(),
            command_line,
            seed: self.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            server_address: machines.server_address.map(|ip| ip.to_string()),
            server_exec: (!machines.server_exec.is_empty()).then(|| shell_words::join(&machines.server_exec)),
            client_exec: machines.client_exec.iter().map(shell_words::join).collect(),
            contests,
            contestants: participants.descriptions(),
            skipped,
            warnings,
            environment,
            elsewhere: launch.elsewhere()?,
        })
    }
}
