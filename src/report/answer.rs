//! Who leads a contest, and by how much, in sentences that say no more than its ranks and verdicts.

use crate::{
    analysis::{ArmResult, ContestResult, Measure},
    stats::Better,
};

/// Who leads a contest, by what its ranks are of, and by how much; and what the best loop by hand does.
pub(super) fn best_words(contest: &ContestResult) -> String {
    format!("{}{}", lead_words(contest), floor_words(contest))
}

/// Who leads a contest, by what its ranks are of, and by how much, in a sentence.
pub(super) fn lead_words(contest: &ContestResult) -> String {
    lead_by(contest, contest.headline, |_| true)
        .unwrap_or_else(|| "No conclusion: no backend has a verdict.".to_owned())
}

/// Who leads some of the ranked arms of a contest by a measure, and by how much, in a sentence; nothing where none is ranked by it.
pub(super) fn lead_by(
    contest: &ContestResult,
    measure: Measure,
    among: impl Fn(&ArmResult) -> bool,
) -> Option<String> {
    let ranked: Vec<&ArmResult> =
        contest.arms.iter().filter(|arm| arm.ranks.contains_key(&measure) && among(arm)).collect();
    let best = leaders(contest, measure, &ranked);
    let names: Vec<&str> = best.iter().map(|arm| arm.arm.name.as_str()).collect();
    if names.len() > 1 && names.len() == ranked.len() {
        return Some(format!(
            "{} are statistically indistinguishable by {}.",
            listed(&names),
            measure.name()
        ));
    }
    let lead = format!("{} {}", listed(&names), if names.len() == 1 { "leads" } else { "lead" });
    let apart = if names.len() == 1 { "" } else { "; they are statistically indistinguishable" };
    let told = |against: &&ArmResult| best.iter().all(|arm| is_told_better(arm, against, measure));
    let size = against(contest, measure).find(told).and_then(|against| {
        let to =
            |arm: &&ArmResult| Some(ratio_of(arm, contest, measure)? / ratio_of(against, contest, measure)?);
        let ratios: Vec<f64> = best.iter().map(to).collect::<Option<_>>()?;
        Some(format!(": {} than {}", size_words(&ratios), against.arm.name))
    });
    (!names.is_empty()).then(|| format!("{lead} by {}{}{apart}.", measure.name(), size.unwrap_or_default()))
}

/// The arms that none of the others is told better than, the best first.
fn leaders<'a>(contest: &ContestResult, measure: Measure, ranked: &[&'a ArmResult]) -> Vec<&'a ArmResult> {
    let is_beaten = |arm: &ArmResult| ranked.iter().any(|other| is_told_better(other, arm, measure));
    let mut best: Vec<&ArmResult> = ranked.iter().copied().filter(|arm| !is_beaten(arm)).collect();
    let ratio = |arm: &ArmResult| ratio_of(arm, contest, measure).unwrap_or(f64::NAN);
    best.sort_by(|one, other| match measure.better() {
        Better::More => ratio(other).total_cmp(&ratio(one)),
        Better::Less => ratio(one).total_cmp(&ratio(other)),
    });
    best
}

/// What the best loop by hand does, where loops by hand are shown apart.
fn floor_words(contest: &ContestResult) -> String {
    let measure = contest.headline;
    let Some(against) = baseline(contest, measure) else { return String::new() };
    let ratio =
        |arm: &ArmResult| Some(ratio_of(arm, contest, measure)? / ratio_of(against, contest, measure)?);
    let told = |arm: &&ArmResult| arm.floor && is_told_better(arm, against, measure);
    let best = contest.arms.iter().filter(told).find_map(|arm| Some((arm, ratio(arm)?)));
    best.map_or_else(String::new, |(floor, ratio)| {
        let size = size_words(&[ratio]);
        format!(
            " The hand-written loop {} has {size} {} than {}.",
            floor.arm.name,
            measure.name(),
            against.arm.name
        )
    })
}

/// What a scheduler that steals work is worth: each arm against its counterpart with a scheduler for each worker, where both take
/// part, by the measures that are shown.
pub(super) fn stealing_words(contest: &ContestResult) -> Vec<String> {
    let named = |name: &str| contest.arms.iter().find(|arm| arm.arm.name == name);
    let pairs =
        contest.arms.iter().filter_map(|arm| Some((arm, named(&format!("{}-per-core", arm.arm.name))?)));
    let by = |one: &ArmResult, other: &ArmResult, measure: Measure| {
        let [ratio, to] = [one, other].map(|arm| ratio_of(arm, contest, measure));
        let size = size_words(&[ratio? / to?]);
        let name = measure.name();
        Some(match (is_told_better(one, other, measure), is_told_better(other, one, measure)) {
            (true, _) => format!("better by {name} ({size})"),
            (_, true) => format!("worse by {name} ({size})"),
            _ => format!("no difference told by {name}"),
        })
    };
    let said = pairs.filter_map(|(one, other)| {
        let measures = std::iter::once(contest.headline).chain(contest.tail());
        let parts: Vec<String> = measures.filter_map(|measure| by(one, other, measure)).collect();
        let [one, other] = [one, other].map(|arm| arm.arm.name.as_str());
        (!parts.is_empty()).then(|| format!("Stealing work ({one} against {other}): {}.", parts.join(", ")))
    });
    said.collect()
}

/// The arm that sizes of a contest are told against first, by its name.
pub(super) fn baseline_name(contest: &ContestResult) -> Option<&str> {
    baseline(contest, contest.headline).map(|arm| arm.arm.name.as_str())
}

/// What sizes are told against first: the reference, where it is ranked; else tokio, which most know.
fn baseline(contest: &ContestResult, measure: Measure) -> Option<&ArmResult> {
    let named =
        |name: &str| contest.arms.iter().find(|arm| arm.arm.name == name && arm.ranks.contains_key(&measure));
    [contest.reference.as_str(), "tokio-current", "tokio"].into_iter().find_map(named)
}

/// What sizes can be told against: the baseline, and the reference, which may be a floor.
fn against(contest: &ContestResult, measure: Measure) -> impl Iterator<Item = &ArmResult> {
    let reference = contest.arms.iter().find(|arm| arm.arm.name == contest.reference);
    baseline(contest, measure).into_iter().chain(reference)
}

/// Whether an arm is told better than another.
fn is_told_better(arm: &ArmResult, than: &ArmResult, measure: Measure) -> bool {
    arm.better_than.get(&measure).is_some_and(|worse| worse.contains(&than.arm.name))
}

/// The ratio of an arm to the reference; 1 for that itself.
fn ratio_of(arm: &ArmResult, contest: &ContestResult, measure: Measure) -> Option<f64> {
    let found = arm.comparisons.get(&measure).map(|found| found.ratio);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        analysis::{
            Measure, analyse,
            tests::{EPOCHS, record_of},
        },
        backend::Maintenance,
        contestant::Description,
        record::{Line, Record},
        report::{text, words::sign},
        stats::Verdict,
    };

    const NAMES: [&str; 5] = ["reference", "tokio", "tokio-per-core", "monoio", "compio"];

    /// A record whose arms differ by known factors and some noise: in times by `times`, and in messages by `messages` too.
    fn random(times: &[f64], messages: &[f64], noise: &[f64]) -> Record {
        let place = |name: &str| NAMES.iter().position(|is| *is == name).unwrap_or(0);
        let mut record = record_of(&NAMES, |name, epoch, block| {
            let cell = NAMES.len() * (2 * epoch + block) + place(name);
            Some(100.0 * times[place(name)] * noise[cell % noise.len()])
        });
        for line in &mut record.lines {
            if let Line::Round(round) = line {
                round.run.messages = (round.run.messages as f64 * messages[place(&round.place.arm)]) as u64;
            }
        }
        let abandoned = Description {
            maintenance: Maintenance::Discontinued,
            ..Description::of_built_in("epoll").expect("always built")
        };
        record.setup.contestants.insert("monoio".to_owned(), Description { floor: Some(false), ..abandoned });
        for arm in &mut record.setup.contests[0].arms {
            arm.server.clone_from(&arm.name);
        }
        record
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sentences_and_columns_say_no_more_than_ranks_and_verdicts(
            times in proptest::collection::vec(prop_oneof![Just(1.0), 0.8f64..1.25], NAMES.len()),
            messages in proptest::collection::vec(prop_oneof![Just(1.0), 0.8f64..1.25], NAMES.len()),
            noise in proptest::collection::vec(0.97f64..1.03, NAMES.len() * EPOCHS * 2),
        ) {
            let record = random(&times, &messages, &noise);
            let analysis = analyse(&record).unwrap();
            let contest = &analysis.contests[0];
            let tail = contest.tail().unwrap();
            prop_assert_eq!(tail, Measure::SessionP99);
            for measure in [contest.headline, tail] {
                let ranked = |are: &dyn Fn(&ArmResult) -> bool| -> Vec<&ArmResult> {
                    contest.arms.iter().filter(|arm| arm.ranks.contains_key(&measure) && are(arm)).collect()
                };
                for arm in leaders(contest, measure, &ranked(&|_| true)) {
                    prop_assert_eq!(arm.ranks[&measure], 1);
                }
                let is_maintained = |arm: &ArmResult| arm.arm.name != "monoio";
                let candidates = ranked(&is_maintained);
                let best = leaders(contest, measure, &candidates);
                for arm in &candidates {
                    let beaten = candidates.iter().any(|other| is_told_better(other, arm, measure));
                    prop_assert_eq!(beaten, !best.iter().any(|is| is.arm.name == arm.arm.name));
                }
                let said = lead_by(contest, measure, is_maintained).unwrap();
                prop_assert!(!said.contains("monoio"), "{}", said);
                for arm in &best {
                    prop_assert!(said.contains(&arm.arm.name), "{}", said);
                }
                // A size is told where every leader is told better, and goes the way that is better.
                if let Some((size, than)) = said.split_once(" than ") {
                    let way = if measure.better() == Better::More { "more" } else { "less" };
                    prop_assert!(size.ends_with(way), "{}", said);
                    prop_assert!(than.starts_with("reference"), "{}", said);
                    for arm in &best {
                        prop_assert_eq!(arm.comparisons[&measure].verdict, Verdict::Better);
                    }
                }
            }
            let named = |name: &str| contest.arms.iter().find(|arm| arm.arm.name == name).unwrap();
            let (tokio, per_core) = (named("tokio"), named("tokio-per-core"));
            let stealing = stealing_words(contest).join(" ");
            for measure in [contest.headline, tail] {
                let by = format!(" by {}", measure.name());
                let better = stealing.contains(&format!("better{by}"));
                let worse = stealing.contains(&format!("worse{by}"));
                prop_assert_eq!(better, is_told_better(tokio, per_core, measure), "{}", stealing);
                prop_assert_eq!(worse, is_told_better(per_core, tokio, measure), "{}", stealing);
            }
            let shown = text(&record.setup, &analysis, 100);
            for arm in contest.arms.iter().filter(|arm| arm.arm.name != "reference") {
                let line = shown.lines().find(|line| line.contains(&format!("  {}  ", arm.arm.name)) || line.contains(&format!("  {} †", arm.arm.name)));
                let line = line.unwrap_or_default();
                for measure in [contest.headline, tail] {
                    let found = &arm.comparisons[&measure];
                    prop_assert!(line.contains(&format!("{:.3}", found.ratio)), "{}", shown);
                    prop_assert!(line.contains(sign(found.verdict)), "{}", shown);
                }
            }
        }
    }
}
