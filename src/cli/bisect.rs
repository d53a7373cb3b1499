//! `ioduel bisect`: between which two versions of a crate a measure moved.

mod search;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use crates_index::SparseIndex;
use semver::Version as Release;

use super::{Chosen, duration, output, wrong_usage};
use crate::{
    analysis::{Compared, Measure},
    backend,
    record::Record,
    stats::Comparison,
};
use search::{Found, Search, Step};

/// Find which release of a crate made a backend faster or slower, by binary search.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ioduel bisect tokio-current 1.40.0..1.54.1\n  \
                  ioduel bisect tokio 1.40.0 1.45.0 1.50.0 --workload stream --measure server-cpu\n  \
                  ioduel bisect mio ../mio-a ../mio-b ../mio-c")]
pub(super) struct Args {
    /// The backend whose crate is searched
    backend: String,
    /// The versions to search, from the oldest to the newest: a range of releases (1.40.0..1.54.1), or a list. A list can have releases, and
    /// folders with the crate's source
    #[arg(required = true)]
    points: Vec<String>,
    /// The measure to bisect on, such as throughput, session-p50 or server-cpu
    #[arg(long, default_value = "throughput", value_parser = measure)]
    measure: Measure,
    /// The workload: a name, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "session")]
    workload: String,
    /// How long each comparison of versions takes
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    time: Duration,
    /// Where to record the comparisons
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

/// Reads a measure by the name that records and tables in JSON have, with - for _.
fn measure(text: &str) -> Result<Measure, String> {
    let name = |measure: &Measure| {
        serde_json::to_value(measure).ok().and_then(|value| Some(value.as_str()?.replace('_', "-")))
    };
    let found = Measure::ALL.into_iter().find(|measure| name(measure).as_deref() == Some(text));
    found.ok_or_else(|| {
        let all: Vec<String> = Measure::ALL.iter().filter_map(name).collect();
        format!("no measure is called {text:?}; there are {}", all.join(", "))
    })
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut points = args.points()?;
    let mut search = Search::new(points.len());
    let mut duels = 0;
    let found = loop {
        match search.step() {
            Step::Duel { low, mid, high } => {
                if let Some(broken) = args.broken(&points, [Some(low), mid, Some(high)])? {
                    points.remove(broken);
                    ensure!(points.len() > 1, "fewer than two of the versions can be built");
                    search.forget(broken);
                    continue;
                }
                duels += 1;
                search.take(args.duel(&points, low, mid, high)?);
            }
            Step::Done(found) => break found,
        }
    };
    let Args { backend, measure, .. } = &args;
    let (measure, duels) = (measure.name(), format!("{duels} {}", if duels == 1 { "duel" } else { "duels" }));
    output::print(&match found {
        Some((low, high, by)) => {
            let alone = if high - low > 1 { ", by no step that is told alone" } else { "" };
            let (low, high) = (&points[low], &points[high]);
            format!("{backend}: {measure} moved between {low} and {high}{alone}: {} ({duels})", told(&by))
        }
        None => {
            let (first, last) = (&points[0], &points[points.len() - 1]);
            let seen = search.ends().map_or_else(String::new, |it| format!(": {}", told(&it)));
            format!(
                "{backend}: no difference in {measure} was seen between {first} and {last}{seen} ({duels})"
            )
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A comparison in a line: the ratio, its interval, and, without a verdict, what one would have taken.
fn told(found: &Comparison) -> String {
    let Comparison { ratio, low, high, needed, verdict, .. } = found;
    let interval = format!("{ratio:.3} ({low:.3} to {high:.3})");
    match verdict.is_told() {
        true => format!("{interval}, {verdict}"),
        false => format!("{interval}; a difference of {:.1}% would have been told", needed * 100.0),
    }
}

impl Args {
    /// The versions, from the oldest to the newest.
    fn points(&self) -> anyhow::Result<Vec<String>> {
        let points = match self.points.as_slice() {
            [range] => {
                let ends = range.split_once("..").and_then(|(first, last)| {
                    Some((Release::parse(first).ok()?, Release::parse(last).ok()?))
                });
                let (first, last) = ends.ok_or_else(|| {
                    wrong_usage(format!("{range:?} is not a range of releases; write it like 1.40.0..1.54.1"))
                })?;
                if first >= last {
                    return Err(wrong_usage(format!(
                        "{first} is not older than {last}: write the older release first, like 1.40.0..1.54.1"
                    )));
                }
                self.releases(&first, &last)?
            }
            points => points.to_vec(),
        };
        if points.len() < 2 {
            return Err(wrong_usage("give at least two versions to search"));
        }
        // Said now, and not when the search comes to it.
        points.iter().try_for_each(|point| self.chosen(point).map(drop))?;
        Ok(points)
    }

    /// The releases of the crate in a range, both ends included, without those that were taken back or are not final; from what
    /// cargo knows of the registry.
    fn releases(&self, first: &Release, last: &Release) -> anyhow::Result<Vec<String>> {
        let backend = backend::find(&self.backend).map_err(wrong_usage)?;
        let name = backend.about().crate_name;
        let name = name.with_context(|| {
            format!("{} is not based on a released crate, so there are no versions to search", self.backend)
        })?;
        let index = SparseIndex::new_cargo_default().context("cannot find cargo's index of the registry")?;
        let known = index.crate_from_cache(name);
        let known = known.map_err(|error| {
            anyhow::anyhow!(
                "cannot read cargo's list of the releases of {name}, the crate that {} is based on ({error}). Run `cargo fetch` in a project that \
                 uses {name}, or write the versions one by one, like {first} {last}",
                self.backend
            )
        })?;
        let usable = known.versions().iter().filter(|version| !version.is_yanked());
        let parsed = usable.filter_map(|version| Release::parse(version.version()).ok());
        let mut releases: Vec<Release> =
            parsed.filter(|it| it.pre.is_empty() && (first..=last).contains(&it)).collect();
        releases.sort();
        ensure!(releases.len() > 1, "there are fewer than two releases of {name} from {first} to {last}");
        output::tell(&format!("{} releases of {name} from {first} to {last}", releases.len()));
        Ok(releases.iter().map(Release::to_string).collect())
    }

    fn chosen(&self, point: &str) -> anyhow::Result<Chosen> {
        format!("{}@{point}", self.backend).parse().map_err(wrong_usage)
    }

    /// The first of some versions that can't be built, which is told; `None` where all can.
    fn broken(&self, points: &[String], places: [Option<usize>; 3]) -> anyhow::Result<Option<usize>> {
        for place in places.into_iter().flatten() {
            let chosen = self.chosen(&points[place])?;
            if let Err(error) = chosen.check(None) {
                output::tell(&format!("left out: {error:#}"));
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Lets the versions fight, in a process as anybody would start, and reads what is recorded.
    fn duel(&self, points: &[String], low: usize, mid: Option<usize>, high: usize) -> anyhow::Result<Found> {
        let name = |place: usize| format!("{}@{}", self.backend, points[place]);
        let arms: Vec<String> = [Some(low), mid, Some(high)].into_iter().flatten().map(name).collect();
        output::tell(&format!("duel: {}", arms.join(", ")));
        let folder = self.record(&arms)?;
        let record = Record::read(&folder)?;
        let contest = record.setup.contests.first().context("the duel recorded no contest")?;
        let each_compared = Compared::read_all(contest, &record)?;
        let compared = each_compared.first().context("the duel measured nothing")?;
        let place = |name: &String| contest.arms.iter().position(|arm| arm.name == *name);
        let compare = |arm: &String, to: &String| {
            let (arm, to) = (place(arm)?, place(to)?);
            let all = compared.comparisons(self.measure, to);
            all.into_iter().find(|(other, _)| *other == arm).map(|(_, comparison)| comparison)
        };
        let missing = || format!("the duel says nothing of {}; a longer --time", self.measure.name());
        let (first, last) = (&arms[0], &arms[arms.len() - 1]);
        let ends = compare(last, first).with_context(missing)?;
        output::tell(&format!("  {last} to {first}: {}", told(&ends)));
        let halves = match arms.as_slice() {
            [low, mid, high] => {
                let (lower, upper) = compare(mid, low).zip(compare(high, mid)).with_context(missing)?;
                output::tell(&format!("  {mid} to {low}: {}", told(&lower)));
                Some([lower, upper])
            }
            _ => None,
        };
        Ok(Found { ends, halves })
    }

    /// Records a duel; returns its folder.
    fn record(&self, arms: &[String]) -> anyhow::Result<PathBuf> {
        let mut duel = Command::new(crate::processes::own_program()?);
        duel.arg("duel").args(arms).args(["--workload", &self.workload, "--time"]);
        duel.arg(format!("{}ms", self.time.as_millis())).arg("--out").arg(&self.out);
        let mut child = duel.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let told = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        let (mut folder, mut last) = (None, String::new());
        for line in told.lines().map_while(Result::ok) {
            if let Some(path) = line.strip_prefix(RECORDED) {
                folder = Some(Path::new(path).to_owned());
            }
            last = line;
        }
        match (child.wait()?.success(), folder) {
            (true, Some(folder)) => Ok(folder),
            _ => bail!("the duel failed: {last}"),
        }
    }
}

/// What a duel tells before the folder of its record.
const RECORDED: &str = "recorded in ";
