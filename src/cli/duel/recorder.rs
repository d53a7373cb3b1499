//! Who follows a duel: every block on disk before the next, progress, and when enough was seen.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    analysis::{Analysis, Measure, Ranked, analyse_as},
    cli::{output, pages},
    duel::{DuelPlan, Next, Observer, Until},
    record::{Line, Record, RecordWriter, Schedule, Setup},
    report,
    stats::Precision,
};

/// What a record says, in Markdown and as it is printed: on a terminal in few columns, elsewhere the same.
pub(super) struct Summary {
    kept: String,
    pub(super) printed: String,
}

/// How a duel is shown when it is over.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) ranked: Ranked,
    /// Whether all measures are printed on a terminal too.
    pub(super) wide: bool,
}

/// Writes every block down, and says when enough was seen.
pub(super) struct Recorder {
    writer: RecordWriter,
    record: Record,
    precision: Option<Precision>,
    pub(super) interrupted: Arc<AtomicBool>,
    plan: DuelPlan,
    shown: Shown,
    /// Epochs that are over, of all contests.
    epochs_done: usize,
    /// The errors that were told; each is once.
    told: BTreeSet<String>,
}

impl Recorder {
    /// Begins a record that is written by `writer`; `until` is the width of interval that is enough.
    pub(super) fn new(
        writer: RecordWriter,
        setup: Setup,
        plan: DuelPlan,
        until: Option<f64>,
        interrupted: Arc<AtomicBool>,
        shown: Shown,
    ) -> Self {
        let record = Record { setup, lines: Vec::new(), footprint: None, damage: None };
        let precision = until.map(Precision::new);
        Self { writer, record, precision, interrupted, plan, shown, epochs_done: 0, told: BTreeSet::new() }
    }

    /// What the record says, if a round was measured.
    pub(super) fn summary(&self) -> anyhow::Result<Option<Summary>> {
        if !self.record.lines.iter().any(|line| matches!(line, Line::Round(_))) {
            return Ok(None);
        }
        let (setup, analysis) = (&self.record.setup, analyse_as(&self.record, self.shown.ranked)?);
        let kept = report::markdown(setup, &analysis);
        let for_a_terminal = output::is_for_a_terminal() && !self.shown.wide;
        let printed =
            if for_a_terminal { report::text(setup, &analysis, output::columns()) } else { kept.clone() };
        Ok(Some(Summary { kept, printed }))
    }

    /// Whether nothing was written, not even an error.
    pub(super) fn is_empty(&self) -> bool {
        self.record.lines.is_empty()
    }

    /// Takes a record back that has nothing in it.
    pub(super) fn discard(self) -> std::io::Result<()> {
        self.writer.discard()
    }

    /// The folder of the record.
    pub(super) fn folder(&self) -> &Path {
        self.writer.folder()
    }

    /// Writes the summary and the page into the folder of the record, and returns where the page is.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn keep(&self, summary: &Summary) -> anyhow::Result<PathBuf> {
        pages::write(&self.folder().join(pages::SUMMARY), &summary.kept)?;
        pages::write_page(self.folder(), &self.record, self.shown.ranked)
    }

    /// Looks at what there is once an epoch is over: whether it is enough, and who leads.
    fn look(&mut self, epoch: usize, elapsed: Duration) -> anyhow::Result<Next> {
        self.epochs_done += 1;
        if self.precision.is_none() && !output::shows_progress() {
            return Ok(Next::GoOn);
        }
        let analysis = analyse_as(&self.record, self.shown.ranked)?;
        output::progress(&self.progress(elapsed, &analysis));
        let is_last_contest = self.epochs_done.is_multiple_of(self.plan.contests.len());
        let is_enough = match &mut self.precision {
            Some(precision) if is_last_contest => precision.look(epoch + 1, widest(&analysis)),
            _ => false,
        };
        Ok(if is_enough { Next::Stop } else { Next::GoOn })
    }

    /// What `--until` came to, if it was not reached.
    pub(super) fn shortfall(&self) -> Option<String> {
        let precision = self.precision.filter(|precision| !precision.is_reached())?;
        let widest = precision.widest().map_or_else(
            || "not every backend has an interval of messages/s".to_owned(),
            |widest| format!("the widest interval of messages/s is {:.1}%", widest * 100.0),
        );
        let asked = super::args::percent_text(precision.width());
        Some(format!("{widest}, and less than {asked} was asked for, twice in a row"))
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
                contest.arms.iter().filter_map(|arm| Some(format!("{} {}", arm.rank()?, arm.arm.name)));
            ranked.collect::<Vec<_>>().join(", ")
        });
        format!("{} epochs done, {} left; {ranks}", self.epochs_done, super::span(left))
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

impl Observer for Recorder {
    fn lines(&mut self, lines: Vec<Line>, elapsed: Duration) -> anyhow::Result<Next> {
        self.tell_errors(&lines);
        let kept = self.writer.append(&lines);
        let last = lines.last().map(|line| (line.place().epoch, ends_epoch(line, &self.plan)));
        self.record.lines.extend(lines);
        kept?;
        if self.interrupted.load(Relaxed) {
            return Ok(Next::Stop);
        }
        match last {
            Some((epoch, true)) => self.look(epoch, elapsed),
            _ => Ok(Next::GoOn),
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }
}

/// Whether a line is one of the last of its epoch.
fn ends_epoch(line: &Line, plan: &DuelPlan) -> bool {
    let place = line.place();
    let contest = plan.contests.iter().find(|contest| contest.has(place));
    contest.is_some_and(|contest| match contest.schedule {
        Schedule::Slices { .. } => true,
        Schedule::Rounds { blocks } => place.block + 1 == blocks,
    })
}

/// The widest interval of messages/s of any arm; `None` where an arm that may get a verdict has no interval yet.
fn widest(analysis: &Analysis) -> Option<f64> {
    let compared = analysis.contests.iter().flat_map(|contest| {
        let others = contest.arms.iter().filter(|arm| arm.arm.name != contest.reference);
        others.filter(|arm| arm.no_verdict.is_none())
    });
    let widths = compared.map(|arm| {
        let found = arm.comparisons.get(&Measure::Throughput)?;
        Some(found.high - found.low)
    });
    widths.collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::max)
}
