//! How figures and verdicts are written, in every table alike.

use crate::{
    analysis::{Alarm, ArmResult, ContestResult, Measure},
    record::{Class, SCHEMA, Setup, View},
    round::Neighbours,
    stats::{Comparison, Verdict},
};

/// What the signs of verdicts mean, as it stands at every table.
pub(super) const SIGNS: &str = "▲ better, ▼ worse; ~ suggestive: its own interval excludes 1, but not after correction for the \
                                number of arms; = statistically indistinguishable. Beside ~ and = stands the difference that was needed for a \
                                verdict";

/// What a floor is, as it stands at every table that has one.
pub(super) const FLOORS: &str = " By hand: a loop on the system calls, and no library. It shows what a runtime costs, and is not \
                                 ranked.";

/// The rank of an arm as tables have it.
pub(super) fn rank_text(arm: &ArmResult) -> String {
    match arm.rank() {
        Some(rank) => rank.to_string(),
        None if arm.floor => "by hand".to_owned(),
        None => String::new(),
    }
}

/// The arms that are a version of a backend, and what exactly is in each.
pub(super) fn versions(setup: &Setup) -> impl Iterator<Item = (&str, String)> {
    let named = setup.contestants.iter().filter(|(name, _)| name.contains('@'));
    named.map(|(name, description)| (name.as_str(), description.versioned()))
}

/// What a contest of this view and class is called in a heading.
pub(super) fn heading(view: View, class: Class) -> String {
    let view = match view {
        View::Own => "each client against its own server",
        View::Server => "one neutral client against each server",
        View::Matrix => "every client against every server",
    };
    match class {
        Class::Mixed => view.to_owned(),
        class => format!("{view}, {}", class_words(class)),
    }
}

/// What a class is called.
pub(super) fn class_words(class: Class) -> &'static str {
    match class {
        Class::Single => "one thread each",
        Class::Multi => "several threads each",
        Class::Mixed => "each with the threads that it comes with",
    }
}

/// Who leads a contest, by what its ranks are of, and by how much, in a sentence or two.
pub(super) fn best_words(contest: &ContestResult) -> String {
    let measure = contest.headline;
    let best: Vec<&ArmResult> = contest.arms.iter().filter(|arm| arm.rank() == Some(1)).collect();
    let names: Vec<&str> = best.iter().map(|arm| arm.arm.name.as_str()).collect();
    if names.is_empty() {
        return "No conclusion: no backend has a verdict.".to_owned();
    }
    let ranked = contest.arms.iter().filter(|arm| arm.rank().is_some()).count();
    if names.len() > 1 && names.len() == ranked {
        return format!("{} are statistically indistinguishable by {}.", listed(&names), measure.name());
    }
    let lead = format!("{} {}", listed(&names), if names.len() == 1 { "leads" } else { "lead" });
    let apart = if names.len() == 1 { "" } else { "; they are statistically indistinguishable" };
    let against = baseline(contest).filter(|arm| !names.contains(&arm.arm.name.as_str()));
    let told = |against: &ArmResult| best.iter().all(|arm| is_told_better(arm, against, measure));
    let size = against.filter(|against| told(against)).and_then(|against| {
        let ratios = best.iter().map(|arm| Some(ratio_of(arm, contest)? / ratio_of(against, contest)?));
        Some(format!(": {} than {}", size_words(&ratios.collect::<Option<Vec<f64>>>()?), against.arm.name))
    });
    let size = size.unwrap_or_default();
    format!("{lead} by {}{size}{apart}.{}", measure.name(), floor_words(contest, baseline(contest)))
}

/// What the best loop by hand does, where loops by hand are shown apart.
fn floor_words(contest: &ContestResult, against: Option<&ArmResult>) -> String {
    let Some(against) = against else { return String::new() };
    let ratio = |arm: &ArmResult| Some(ratio_of(arm, contest)? / ratio_of(against, contest)?);
    let told = |arm: &&ArmResult| arm.floor && is_told_better(arm, against, contest.headline);
    let best = contest.arms.iter().filter(told).find_map(|arm| Some((arm, ratio(arm)?)));
    best.map_or_else(String::new, |(floor, ratio)| {
        let size = size_words(&[ratio]);
        format!(
            " The hand-written loop {} has {size} {} than {}.",
            floor.arm.name,
            contest.headline.name(),
            against.arm.name
        )
    })
}

/// The arm that sizes of a contest are told against, by its name.
pub(super) fn baseline_name(contest: &ContestResult) -> Option<&str> {
    baseline(contest).map(|arm| arm.arm.name.as_str())
}

/// What sizes are told against: the reference, where it is ranked; else tokio, which most know.
fn baseline(contest: &ContestResult) -> Option<&ArmResult> {
    let named = |name: &str| contest.arms.iter().find(|arm| arm.arm.name == name && arm.rank().is_some());
    [contest.reference.as_str(), "tokio-current", "tokio"].into_iter().find_map(named)
}

/// Whether an arm is told better than another.
fn is_told_better(arm: &ArmResult, than: &ArmResult, measure: Measure) -> bool {
    arm.better_than.get(&measure).is_some_and(|worse| worse.contains(&than.arm.name))
}

/// The ratio of an arm to the reference; 1 for that itself.
fn ratio_of(arm: &ArmResult, contest: &ContestResult) -> Option<f64> {
    let found = arm.comparisons.get(&contest.headline).map(|found| found.ratio);
    found.or((arm.arm.name == contest.reference).then_some(1.0))
}

/// How much more or less some ratios are, such as `17 to 19% more`.
fn size_words(ratios: &[f64]) -> String {
    let shares = ratios.iter().map(|ratio| (ratio - 1.0) * 100.0);
    let (low, high) =
        shares.fold((f64::MAX, f64::MIN), |(low, high), share| (low.min(share), high.max(share)));
    let [low_text, high_text] = [low, high].map(|share| format!("{:.0}", share.abs()));
    let way = if low + high >= 0.0 { "more" } else { "less" };
    match (low_text == high_text, low.signum() == high.signum()) {
        (true, _) => format!("{high_text}% {way}"),
        (false, true) if way == "less" => format!("{high_text} to {low_text}% {way}"),
        (false, true) => format!("{low_text} to {high_text}% {way}"),
        (false, false) => format!("{low:+.0} to {high:+.0}%"),
    }
}

/// Names in a sentence: `a`, `a and b`, `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

/// A level with its unit.
pub(super) fn level_text(measure: Measure, level: f64) -> String {
    match measure {
        Measure::Throughput | Measure::Capacity => format!("{level:.0}"),
        _ => format!("{level:.2} {}", measure.unit()).trim_end().to_owned(),
    }
}

/// The sign of a verdict.
pub(super) fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "▲",
        Verdict::Worse => "▼",
        Verdict::Suggestive => "~",
        Verdict::Indistinguishable => "=",
    }
}

/// A ratio with its interval and the sign of its verdict; without a verdict, with the difference that was needed for one.
pub(super) fn ratio_text(comparison: &Comparison) -> String {
    let Comparison { ratio, low, high, needed, verdict, .. } = comparison;
    let limit = if verdict.is_told() { String::new() } else { format!(" {}", percent(*needed)) };
    format!("{ratio:.3} ({low:.3} to {high:.3}) {}{limit}", sign(*verdict))
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// A verdict in words; where there is none, with the difference that was needed for one.
pub(super) fn verdict_words(found: &Comparison) -> String {
    match found.verdict {
        told if told.is_told() => told.to_string(),
        untold => format!("{untold}; a verdict needed {}", percent(found.needed)),
    }
}

/// What the reference and its second copy were told apart by, in a sentence.
pub(super) fn alarm_words(contest: &ContestResult, alarm: &Alarm) -> String {
    let Alarm { measure, ratio, low, high, p } = alarm;
    format!(
        "Alarm: {}, {}: the second copy of {} differs from the first by {}, although both are the same program: ratio {ratio:.3} \
         ({low:.3} to {high:.3}), p = {p:.1e}. Do not trust small differences by that measure here.",
        contest.title,
        heading(contest.view, contest.class),
        contest.reference,
        measure.name(),
    )
}

/// Why a round was excluded, in words.
pub(super) fn reason_words(reason: &str) -> &str {
    match reason {
        "kernel" => "the kernel’s counters moved: drops, timeouts, or segments sent again",
        "port-limited" => "the rate was near what the ports allow",
        "Little's law" => "rate and times do not fit the number of connections",
        "others" => {
            "other processes, or other machines of the hypervisor’s, had more than 5% of the processors"
        }
        "begun apart" => "several clients began further apart than half the ramp",
        "throttled" => "a CPU quota stopped everything for a while",
        "late" => {
            "the slice lasted twice as long as it was to, or could not be read at one moment: the machine stood still"
        }
        "ran while it was to rest" => "somebody else continued it while it was to rest",
        "pacer late" => "the pacer sent one message in a hundred later than an objective bears",
        "pacer stood still" => "the machine had taken the pacer’s processor",
        "blind" => "replies were not verified",
        "untrue" => "what was told of it does not fit what the server, the kernel or the clock saw",
        other => other,
    }
}

/// The load of the last minute above which something else than the duel was running when it began.
const MOST_LOAD: f64 = 0.5;

/// What a reader must know of a whole record before anything else.
pub(super) fn cautions(setup: &Setup) -> Vec<String> {
    let environment = &setup.environment;
    let mut cautions = Vec::new();
    if environment.git_dirty {
        cautions.push(
            "Built from a source tree with uncommitted changes: its revision does not say what was run."
                .to_owned(),
        );
    }
    if let Some(load) = environment.load_average.filter(|load| *load > MOST_LOAD) {
        cautions.push(format!(
            "Something else was running when it began: a load of {load:.1} over the minute before."
        ));
    }
    if setup.schema < SCHEMA {
        cautions.push(format!(
            "Recorded in format {}: in rounds shorter than a steady state takes, begun in step; a session's time includes its close.",
            setup.schema
        ));
    }
    cautions
}

/// What is known of the machine meanwhile: what others took of it, and what a silent connection takes of the kernel.
pub(super) fn machine_words(contest: &ContestResult) -> Vec<String> {
    let kernel = contest.idle_kernel_bytes.map(|bytes| {
        format!(
            "A silent connection takes {:.1} KiB of the kernel's own memory, both ends together.",
            bytes / 1024.0
        )
    });
    let begun = contest.begun_apart.map(|apart| {
        format!(
            "Clients began at most {:.0} µs apart; their clocks are known within {:.0} µs.",
            apart.us, apart.within_us
        )
    });
    neighbours_words(contest).into_iter().chain(kernel).chain(begun).collect()
}

fn neighbours_words(contest: &ContestResult) -> Option<String> {
    let Neighbours { steal, others, cpu_pressure, throttled } = contest.neighbours;
    let parts = [
        (others, "other processes had at most", "of the processors"),
        (steal, "other machines of the hypervisor at most", "of them"),
        (cpu_pressure, "somebody waited for a processor in at most", "of ten seconds"),
        (throttled.filter(|share| *share > 0.0), "a CPU quota stopped all for at most", "of the time"),
    ];
    let told = parts
        .into_iter()
        .filter_map(|(share, before, after)| Some(format!("{before} {:.1}% {after}", share? * 100.0)));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("In any one round, {}.", told.join(", ")))
}
