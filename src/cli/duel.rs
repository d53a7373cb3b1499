//! `ioduel duel`: the interleaved comparison, recorded.

mod args;
pub(super) mod bench;
mod participants;
mod rates;
mod recorder;
#[cfg(test)]
mod searches;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anyhow::Context as _;

use super::{lock::MeasuringLock, network::tell_of_crowd, output, pages, wrong_usage};
use crate::{
    contestant,
    duel::{AgentRunner, DuelPlan, Until, fight},
    record::{RecordWriter, Setup},
    stats::MIN_EPOCHS,
};
pub(super) use args::Args;
use args::span;
use recorder::{Recorder, Shown};

/// Fights a duel, records it, and prints its summary.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let program = crate::processes::own_program()?;
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    fight_and_report(&args, program, ["ioduel".to_owned()].into_iter().chain(words).collect())
}

fn fight_and_report(args: &Args, program: PathBuf, command_line: Vec<String>) -> anyhow::Result<ExitCode> {
    // Held until the duel is over: a link is measured, too.
    let lock = MeasuringLock::take();
    let network = args.network(&program)?;
    let environment = network.environment();
    let launch = args.launch(program, network.network)?;
    let mut setup = args.setup(&launch, environment, command_line)?;
    setup.warnings.extend(lock.warning());
    if launch.is_here() {
        let crowds =
            setup.contests.iter().map(|it| (it.workload.connections + it.workload.idle, it.arms.len()));
        // Each once, though a workload has several contests.
        let crowds: BTreeSet<(usize, usize)> = crowds.collect();
        crowds
            .into_iter()
            .try_for_each(|(connections, arms)| tell_of_crowd(connections, arms, &launch.network))?;
    }
    rates::set(&mut setup.contests, &launch, args.set_time())?;
    let plan = DuelPlan { contests: setup.contests.clone(), seed: setup.seed, until: args.until() };
    refuse_without_an_epoch(&plan)?;
    announce(&setup);
    let day = setup.began.split('T').next().unwrap_or_default().to_owned();
    let writer = RecordWriter::create(&args.out, &day, &setup)?;
    output::tell(&format!("seed {}; recording to {}", setup.seed, writer.folder().display()));
    let usual = || format!("it takes about {}", span(plan.estimate()));
    output::tell(&args.intention().unwrap_or_else(usual));
    warn_of_too_few_epochs(&plan);
    let interrupted = interrupts()?;
    let mut runner = AgentRunner::new(launch, setup.seed);
    // Over a link each idle connection takes round trips to open, and costs what it does without one.
    if args.quick || setup.environment.link.is_some() {
        runner = runner.without_idle();
    }
    let shown = Shown { ranked: super::ranked(args.all), wide: args.wide };
    let mut recorder = Recorder::new(writer, setup, plan.clone(), args.until, interrupted, shown);
    let fought = fight(&plan, &mut runner, &mut recorder);
    output::progress("");
    conclude(recorder, fought, &args.out)
}

/// Refuses a time in which nothing can be measured.
fn refuse_without_an_epoch(plan: &DuelPlan) -> anyhow::Result<()> {
    match plan.until {
        Until::Time(time) if time < plan.least() => {
            let enough = (plan.least().as_secs_f64() * 10.0).ceil();
            Err(wrong_usage(format!(
                "{time:?} is too short to measure every backend once; try --time {enough:.0}s"
            )))
        }
        _ => Ok(()),
    }
}

/// Warns of a time or a number of epochs that is not enough for a verdict.
fn warn_of_too_few_epochs(plan: &DuelPlan) {
    let (time, needed) = (plan.estimate(), plan.epoch() * MIN_EPOCHS as u32);
    if time < needed {
        let (time, needed) = (span(time), span(needed));
        output::tell(&format!(
            "warning: {time} may be too short for verdicts: they need {MIN_EPOCHS} epochs, which take about {needed}"
        ));
    }
}

/// Tells what is to be known beforehand: who cannot take part, and what would spoil the measurement.
fn announce(setup: &Setup) {
    contestant::faults().iter().for_each(|fault| output::complain(fault));
    for (name, why) in &setup.skipped {
        output::tell(&format!("{name} is skipped: {why}"));
    }
    setup.warnings.iter().for_each(|warning| output::tell(&format!("warning: {warning}")));
}

/// Whether somebody wants the duel to end: set by the first Ctrl-C or SIGTERM.
fn interrupts() -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        // The first ends the duel after the block; whoever can't wait for that says it again.
        if told.swap(true, Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot handle signals")?;
    Ok(interrupted)
}

/// Shows and keeps what was measured, also when the disk got full, or somebody interrupted.
fn conclude(recorder: Recorder, fought: anyhow::Result<()>, results: &Path) -> anyhow::Result<ExitCode> {
    let was_interrupted = recorder.interrupted.load(Relaxed);
    let code = if was_interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS };
    if recorder.is_empty() && fought.is_ok() {
        recorder.discard().context("cannot remove the empty record")?;
        let told = "nothing was measured, and nothing is recorded: the time was over before the first epoch";
        anyhow::ensure!(was_interrupted, told);
        return Ok(code);
    }
    let summary = recorder.summary()?;
    let kept = summary.as_ref().map(|summary| recorder.keep(summary)).transpose();
    let shown = summary.as_ref().map_or(Ok(()), |summary| output::print(summary.printed.trim_end()));
    fought?;
    let page = kept?;
    if let Some(shortfall) = recorder.shortfall().filter(|_| !was_interrupted) {
        output::tell(&format!("the limit came first: {shortfall}; --time sets another limit"));
    }
    output::tell(&format!("recorded in {}", recorder.folder().display()));
    page.iter().for_each(|page| output::tell(&format!("to look at: {}", page.display())));
    // Without the list the record is as good.
    if let Err(error) = pages::write_list(results) {
        output::complain(&format!("{error:#}"));
    }
    shown?;
    anyhow::ensure!(
        was_interrupted || summary.is_some(),
        "nothing was measured; the record holds the errors"
    );
    Ok(code)
}
