//! The rates of a contest: as they were asked for, or found by trying.

use std::time::Duration;

use anyhow::Context as _;

use crate::{
    cli::{output, wrong_usage},
    duel::{Prober, TRIES, find_rates, fit_blocks, pair_plan},
    load::{Objective, Offered, SHARES, Workload},
    record::{Arrivals, Contest},
    round::{
        Flag, Launch, Offer, Pair, Round, lowest_paced_rate, messages_needed, paced_window_ms, strictest,
    },
    seeded::mix,
};

/// More than anything answers: what a server takes at most is found by offering it this.
const TOO_MUCH: f64 = 400_000.0;

/// Whether a round that was spoilt is measured again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoilt {
    Again,
    Taken,
}

/// Blocks that a duel should have: eight epochs of as many as usual.
const BLOCKS: usize = 8 * super::args::PACED_BLOCKS;

/// What a round takes beside its ramp and window, roughly.
const AROUND: Duration = Duration::from_millis(5);

/// Rates of a contest whose time is not set.
const USUAL: usize = 12;

/// Sets the rates of all contests whose messages come at some.
///
/// # Errors
/// When a rate is too low for an objective to mean anything, when nobody meets it, or when an arm cannot be measured.
pub(super) fn set(contests: &mut [Contest], launch: &Launch, time: Option<Duration>) -> anyhow::Result<()> {
    let share = time.map(|time| time / u32::try_from(contests.len().max(1)).unwrap_or(1));
    for contest in contests {
        let (Arrivals::Open { objectives, .. }, Some(offered)) =
            (&contest.arrivals, &contest.workload.arrivals)
        else {
            continue;
        };
        let (objectives, offered) = (objectives.clone(), offered.clone());
        let (rates, once) = match offered.rate {
            Some(rate) => (vec![f64::from(rate)], 0),
            None => find(contest, launch, &objectives, &offered, share)?,
        };
        let all = rates.len();
        let rates = meaningful(rates, &objectives, &contest.workload)?;
        // Those that are left out are the lowest.
        let once = once.saturating_sub(all - rates.len());
        contest.arrivals = Arrivals::Open { rates, once, objectives };
        if let Some(time) = share {
            fit_blocks(contest, time);
        }
    }
    Ok(())
}

fn find(
    contest: &Contest,
    launch: &Launch,
    objectives: &[Objective],
    offered: &Offered,
    time: Option<Duration>,
) -> anyhow::Result<(Vec<f64>, usize)> {
    output::tell(&format!("{}: looking for the rates at which its backends differ", contest.workload.name));
    let launch = Launch { placement: contest.placement.clone(), ..launch.clone() };
    let mut trials = Trials { contest, launch, objectives, at: None, tried: 0 };
    let (rates, once): (Vec<f64>, usize) = if objectives.is_empty() {
        let most = trials.saturate(0)?;
        let shares = if offered.shares.is_empty() { &SHARES[..] } else { &offered.shares };
        (shares.iter().map(|share| (share * most).round().max(1.0)).collect(), 0)
    } else {
        let Workload { ramp_ms, window_ms, .. } = contest.workload;
        let of_a_rate = (Duration::from_millis(ramp_ms + window_ms) + AROUND) * contest.arms.len() as u32;
        let fitting = |time: Duration| (time.as_secs_f64() / of_a_rate.as_secs_f64()) as usize / BLOCKS;
        let ladder = find_rates(&mut trials, time.map_or(USUAL, fitting))?;
        (ladder.rates, ladder.below)
    };
    output::progress("");
    let told: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    output::tell(&format!("{}: {} messages/s", contest.workload.name, told.join(", ")));
    Ok((rates, once))
}

/// Leaves out rates at which a round would have to be too long to have enough messages for the quantile of an objective.
fn meaningful(rates: Vec<f64>, objectives: &[Objective], workload: &Workload) -> anyhow::Result<Vec<f64>> {
    let most = rates.iter().copied().fold(0.0, f64::max);
    let has_enough = |rate: &f64| paced_window_ms(*rate, objectives, workload.window_ms).is_some();
    let kept: Vec<f64> = rates.into_iter().filter(has_enough).collect();
    if kept.is_empty() {
        let needed = messages_needed(objectives);
        let quantile = strictest(objectives).name();
        let window = (needed as f64 / most).ceil();
        // With an objective the rates are searched, not set.
        let raise = if objectives.is_empty() { "raise the rate, or " } else { "" };
        return Err(wrong_usage(format!(
            "a round needs {needed} messages for {quantile}, and at {most:.0} a second it has fewer: {raise}lengthen the \
             round with --window {window}s"
        )));
    }
    Ok(kept)
}

/// The arms of a contest, one at a time, at rates that are tried.
struct Trials<'a> {
    contest: &'a Contest,
    launch: Launch,
    objectives: &'a [Objective],
    /// The processes of the arm that was tried last, and its number.
    at: Option<(usize, Pair)>,
    tried: u64,
}

impl Trials<'_> {
    /// Measures a round; where it is measured again, one that nothing spoilt, if one of some is such, and else the last. These rounds are
    /// in no record and no measure, so whatever spoils one may be tried away.
    fn round(&mut self, arm: usize, rate: f64, spoilt: Spoilt) -> anyhow::Result<Round> {
        let workload = &self.contest.workload;
        self.tried += 1;
        output::progress(&format!("trying {}: {rate:.0} messages/s", self.contest.arms[arm].name));
        let window_ms = paced_window_ms(rate, self.objectives, workload.window_ms);
        let window_ms = window_ms.with_context(|| format!("{rate:.0} messages/s are too few for a round"))?;
        let offer = Offer::new(rate, mix(self.tried), window_ms, self.objectives);
        let pair = self.pair(arm)?;
        let mut round = pair.paced(workload, offer)?;
        for _ in 1..TRIES {
            if spoilt == Spoilt::Taken || !round.flags().iter().any(Flag::excludes) {
                break;
            }
            round = pair.paced(workload, offer)?;
        }
        anyhow::ensure!(
            round.run.failures == 0,
            "{}: {}",
            self.contest.arms[arm].name,
            round.run.first_failure.unwrap_or_default()
        );
        Ok(round)
    }

    fn pair(&mut self, arm: usize) -> anyhow::Result<&mut Pair> {
        let at = match self.at.take().filter(|(of, _)| *of == arm) {
            Some(at) => at,
            None => (arm, Pair::start(&self.launch, pair_plan(self.contest, &self.contest.arms[arm]))?),
        };
        Ok(&mut self.at.insert(at).1)
    }
}

impl Prober for Trials<'_> {
    /// All but the second copy of the reference.
    fn arms(&self) -> usize {
        self.contest.arms.iter().filter(|arm| !arm.copy).count()
    }

    fn lowest(&self) -> f64 {
        lowest_paced_rate(self.objectives, self.contest.workload.window_ms)
    }

    fn saturate(&mut self, arm: usize) -> anyhow::Result<f64> {
        // The pacer can't send what it is to, whatever the machine does. Where it is the slower one, this is its own limit, and the
        // search ends below what the server can take. A machine that stands still only ever lowers it: the better of two counts.
        let mut once = || Ok(self.round(arm, TOO_MUCH, Spoilt::Taken)?.run.messages_per_second());
        let first: anyhow::Result<f64> = once();
        Ok(first?.max(once()?))
    }

    /// Under several objectives, the share of the one that is nearest to being missed.
    fn response(&mut self, arm: usize, rate: f64) -> anyhow::Result<f64> {
        let round = self.round(arm, rate, Spoilt::Again)?;
        let Some(open) = &round.run.open else { anyhow::bail!("the client was no pacer") };
        let share = |objective: &Objective| {
            open.response_s(objective.quantile().share()) / objective.limit().as_secs_f64()
        };
        Ok(self.objectives.iter().map(share).fold(0.0, f64::max))
    }
}
