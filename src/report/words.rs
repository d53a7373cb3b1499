//! How figures and verdicts are written, in every table alike.

use crate::{
    analysis::{Alarm, ArmResult, ContestResult},
    record::{Class, SCHEMA, Setup, View},
    round::Neighbours,
    stats::{Comparison, Verdict},
};

/// What the signs of verdicts mean, as it stands below the tables of Markdown and at the ranking of a page.
pub(super) const SIGNS: &str = "▲ better, ▼ worse; ~ suggestive: significant alone, but not after correction for the \
                                number of backends; = statistically indistinguishable. ±N% beside = or ~ is the detection limit: a measured difference above N% would \
                                have been ▲ or ▼";

/// What a floor is, as it stands at every table that has one.
pub(super) const FLOORS: &str = "by hand: written directly on system calls, without a runtime. It shows what a runtime costs, \
                                 and is not ranked.";

/// The rank of an arm as tables have it.
pub(super) fn rank_text(arm: &ArmResult) -> String {
    match arm.rank() {
        Some(rank) => rank.to_string(),
        None if arm.floor => "by hand".to_owned(),
        None => String::new(),
    }
}

/// The name of an arm, with what marks one that nobody maintains.
pub(super) fn named(arm: &ArmResult) -> String {
    format!("{}{}", arm.arm.name, if arm.maintained { "" } else { " †" })
}

/// Who of a contest has no verdict, and why, in a sentence for each reason; nothing of a contest that was not measured at all, whose
/// answer says so.
pub(super) fn no_verdict_words(contest: &ContestResult) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    if !contest.is_measured() {
        return Vec::new();
    }
    for arm in &contest.arms {
        let Some(why) = arm.no_verdict.as_deref() else { continue };
        match reasons.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, names)) => names.push(&arm.arm.name),
            None => reasons.push((why, vec![&arm.arm.name])),
        }
    }
    let sentence = |(why, names): (&str, Vec<&str>)| {
        let have = if names.len() == 1 { "has" } else { "have" };
        format!("{} {have} no verdict: {why}.", listed(&names))
    };
    reasons.into_iter().map(sentence).collect()
}

/// Names in a sentence: `a`, `a and b`, `a, b and c`.
pub(super) fn listed<N: AsRef<str>>(names: &[N]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [others @ .., last] => {
            let others: Vec<&str> = others.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", others.join(", "), last.as_ref())
        }
    }
}

/// A sentence with a capital at its beginning.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// The arms that are a version of a backend, and what exactly is in each.
pub(super) fn versions(setup: &Setup) -> impl Iterator<Item = (&str, String)> {
    let named = setup.contestants.iter().filter(|(name, _)| name.contains('@'));
    named.map(|(name, description)| (name.as_str(), description.versioned()))
}

/// What a contest of this view and class is called in a heading.
pub(super) fn heading(view: View, class: Class) -> String {
    match class {
        Class::Mixed => view_words(view).to_owned(),
        class => format!("{}, {}", view_words(view), class_words(class)),
    }
}

/// What tells a contest from the others of its record, with how many connections it has; its view is left out where all have the same.
pub(super) fn contest_words(contest: &ContestResult, all: &[ContestResult]) -> String {
    let kind = match all.iter().any(|other| other.view != contest.view) {
        true => heading(contest.view, contest.class),
        false => class_words(contest.class).to_owned(),
    };
    format!("{} ({}), {kind}", contest.title, connections_words(contest.shape.connections))
}

/// A number of connections in words.
pub(super) fn connections_words(count: usize) -> String {
    if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
}

/// A number of connections that are all open, in words.
pub(super) fn at_a_time_words(count: usize) -> String {
    let words = connections_words(count);
    if count == 1 { words } else { format!("{words} at a time") }
}

/// What a view is called.
pub(super) fn view_words(view: View) -> &'static str {
    match view {
        View::Own => "client and server of the same backend",
        View::Server => "the same client against each server",
        View::Matrix => "every client against every server",
    }
}

/// What a class is called.
pub(super) fn class_words(class: Class) -> &'static str {
    match class {
        Class::Single => "one thread each",
        Class::Multi => "several threads each",
        Class::Scaling => "NAME/N with N worker threads",
        Class::Mixed => "each with the threads that it comes with",
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

/// A ratio with its interval and what its verdict is marked by.
pub(super) fn ratio_text(comparison: &Comparison) -> String {
    let Comparison { ratio, low, high, .. } = comparison;
    format!("{ratio:.3} ({low:.3} to {high:.3}) {}", marked(comparison))
}

/// The sign of a verdict; without one, with the difference that was needed.
pub(super) fn marked(comparison: &Comparison) -> String {
    let Comparison { needed, verdict, .. } = comparison;
    let needed = if verdict.is_told() { String::new() } else { format!(" {}", needed_text(*needed)) };
    format!("{}{needed}", sign(*verdict))
}

/// The difference that was needed for a verdict, as it stands beside the sign of none.
pub(super) fn needed_text(needed: f64) -> String {
    const MOST: f64 = 10.0;
    if needed < MOST { format!("±{}", percent(needed)) } else { format!("±{:.0}% or more", MOST * 100.0) }
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// What the reference and its second copy were told apart by, in a sentence.
pub(super) fn alarm_words(contest: &ContestResult, alarm: &Alarm) -> String {
    let Alarm { measure, ratio, low, high, p } = alarm;
    format!(
        "Alarm: {}, {}: {} is measured twice as a control, and its two copies differ by {}: ratio {ratio:.3} \
         ({low:.3} to {high:.3}), p = {p:.1e}. Do not trust small differences by that measure here.",
        contest.title,
        heading(contest.view, contest.class),
        contest.reference,
        measure.name(),
    )
}

/// The load of the last minute above which something else than the duel was running when it began.
const MOST_LOAD: f64 = 0.5;

/// What a reader must know of a whole record before anything else.
pub(super) fn cautions(setup: &Setup) -> Vec<String> {
    let environment = &setup.environment;
    let mut cautions = Vec::new();
    if environment.git_dirty {
        cautions.push(
            "ioduel was built from a source tree with uncommitted changes, so the recorded revision does not identify the code that ran."
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
            "For each idle connection the kernel needs another {:.1} KiB, both ends together; the tables show the server's own memory alone.",
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

/// The share of all processors below which ksoftirqd is not worth a word.
const LEAST_KSOFTIRQD: f64 = 0.01;

fn neighbours_words(contest: &ContestResult) -> Vec<String> {
    let Neighbours { steal, others, ksoftirqd, cpu_pressure, throttled } = contest.neighbours;
    let users = [(others, "other programs"), (steal, "other virtual machines of this host")];
    let told =
        users.into_iter().filter_map(|(share, who)| Some(format!("up to {} went to {who}", percent(share?))));
    let told: Vec<String> = told.collect();
    let used = (!told.is_empty()).then(|| format!("Of the processor time of a round, {}.", listed(&told)));
    let kernel = ksoftirqd.filter(|share| *share > LEAST_KSOFTIRQD).map(|share| {
        format!(
            "The kernel's ksoftirqd threads used up to {} of the processor time of a round, on behalf of the backends. The tables do not count \
             it as CPU time of a backend.",
            percent(share)
        )
    });
    let waited = cpu_pressure.map(|share| {
        format!(
            "For up to {} of a round, at least one thread was waiting for a processor. That is normal when client and server \
             share a processor.",
            percent(share)
        )
    });
    let stopped = throttled.filter(|share| *share > 0.0);
    let stopped = stopped
        .map(|share| format!("A CPU quota stopped everything for at most {} of any round.", percent(share)));
    used.into_iter().chain(kernel).chain(waited).chain(stopped).collect()
}
