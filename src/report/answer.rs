//! Who leads a contest, and by how much, in sentences that say no more than its ranks and verdicts.

use crate::{
    analysis::{ArmResult, ContestResult, Measure, ScalingPoint},
    record::Class,
    report::{numbers::level_among, words::listed},
    stats::Better,
};

/// What a contest says, in sentences: who leads, what the best loop by hand does, who of those that are kept up has the lowest tail,
/// and what a scheduler that steals work is worth.
pub(super) fn answer_words(contest: &ContestResult) -> Vec<String> {
    let lead = format!("{}{}", lead_words(contest), floor_words(contest));
    let tail = tail_words(contest, |arm| arm.maintained);
    let tail = tail.map(|words| format!("Tail, among the ranked backends that are maintained: {words}"));
    [lead].into_iter().chain(tail).chain(stealing_words(contest)).collect()
}

/// Who leads a contest, by what its ranks are of, and by how much, in a sentence; where arms differ by their workers, what more of them
/// are worth.
pub(super) fn lead_words(contest: &ContestResult) -> String {
    if !contest.is_measured() {
        return "Not measured: the duel ended before this comparison began.".to_owned();
    }
    if contest.class == Class::Scaling {
        let all_void = contest.scaling.iter().all(|point| point.void.is_some());
        let none = all_void.then(|| "No conclusion about scaling: no point is valid.".to_owned());
        return none.into_iter().chain(scaling_words(contest)).collect::<Vec<_>>().join(" ");
    }
    let mut originals = contest.arms.iter().filter(|arm| !arm.arm.copy);
    if let (Some(only), None) = (originals.next(), originals.next()) {
        return format!("Only {} took part: name a second backend to compare it with.", only.arm.name);
    }
    let measure = contest.headline;
    let ranked = ranked(contest, measure, |_| true);
    let best = leaders(measure, &ranked);
    let names: Vec<String> = best.iter().map(|arm| with_upkeep(arm)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let told = |than: &&ArmResult| best.iter().all(|arm| is_told_better(arm, than, measure));
    let reference = contest.arms.iter().find(|arm| arm.arm.name == contest.reference);
    let next = ranked.iter().copied().find(told);
    let known = baseline(contest, measure).into_iter().chain(reference).find(told);
    let known = known.filter(|it| next.is_none_or(|next| next.arm.name != it.arm.name));
    let behind = || next.into_iter().chain(known);
    let by = measure.name();
    match names.as_slice() {
        [] => "No conclusion: no backend was measured well enough to be compared.".to_owned(),
        [one] => {
            let size = |than: &ArmResult| {
                let ratio = ratio_of(best[0], contest, measure)? / ratio_of(than, contest, measure)?;
                Some(format!("{} than {}", size_words(ratio), than.arm.name))
            };
            let sizes: Vec<String> = behind().filter_map(size).collect();
            let sizes = if sizes.is_empty() { String::new() } else { format!(": {}", sizes.join(", ")) };
            format!("{one} leads by {by}{sizes}.")
        }
        all if all.len() == ranked.len() => alike(all, measure),
        several => {
            let lead = |than: &ArmResult| {
                let sizes = sizes_words(&best, than, contest, measure)?;
                Some(format!("of {}, by {sizes}", than.arm.name))
            };
            let leads: Vec<String> = behind().filter_map(lead).collect();
            let is_best = |arm: &&ArmResult| best.iter().any(|best| best.arm.name == arm.arm.name);
            let between = ranked.iter().copied().filter(|arm| !is_best(arm) && !told(arm));
            let ahead = match leads.as_slice() {
                [] => String::new(),
                leads => format!(" Each is significantly ahead {}.", leads.join(", and ")),
            };
            format!(
                "{} lead by {by}, without a significant difference between them.{ahead}{}",
                listed(several),
                not_ahead_words(&best, between, measure),
            )
        }
    }
}

/// Which of those who lead are not ahead of which others, a sentence for all that the same leaders are not ahead of.
fn not_ahead_words<'a>(
    best: &[&ArmResult],
    others: impl Iterator<Item = &'a ArmResult>,
    measure: Measure,
) -> String {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for other in others {
        let names = |is_ahead: bool| {
            let named = best.iter().filter(|arm| is_told_better(arm, other, measure) == is_ahead);
            named.map(|arm| arm.arm.name.as_str()).collect::<Vec<_>>()
        };
        let (ahead, not_ahead) = (names(true), names(false));
        let are = if not_ahead.len() == 1 { "is" } else { "are" };
        let behind = match ahead.as_slice() {
            [] => String::new(),
            ahead => format!(" significantly behind {}, nor", listed(ahead)),
        };
        let who = format!("{} {are} not{behind}", listed(&not_ahead));
        match said.iter_mut().find(|(known, _)| *known == who) {
            Some((_, of)) => of.push(&other.arm.name),
            None => said.push((who, vec![&other.arm.name])),
        }
    }
    said.iter().map(|(who, of)| format!(" {who} significantly ahead of {}.", listed(of))).collect()
}

/// By how much each of some arms differs from another: `17% (monoio) and 15% (compio)`; the same size is said once.
fn sizes_words(
    arms: &[&ArmResult],
    than: &ArmResult,
    contest: &ContestResult,
    measure: Measure,
) -> Option<String> {
    let against = ratio_of(than, contest, measure)?;
    let size = |arm: &&ArmResult| Some(percent_words(ratio_of(arm, contest, measure)? / against));
    let sizes: Vec<String> = arms.iter().map(size).collect::<Option<_>>()?;
    if sizes.iter().all(|size| *size == sizes[0]) {
        return sizes.into_iter().next();
    }
    let named = sizes.iter().zip(arms).map(|(size, arm)| format!("{size} ({})", arm.arm.name));
    let named: Vec<String> = named.collect();
    Some(listed(&named.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// The name of an arm in a sentence, with what is to be known of who leads.
fn with_upkeep(arm: &ArmResult) -> String {
    format!("{}{}", arm.arm.name, if arm.maintained { "" } else { " (not maintained)" })
}

/// Who of some arms of a contest has the lowest tail, by how much, and whose may be as low, each with what was measured, in a sentence;
/// nothing where none is ranked by it.
fn tail_words(contest: &ContestResult, among: impl Fn(&ArmResult) -> bool) -> Option<String> {
    let measure = contest.tail().filter(|_| contest.class != Class::Scaling)?;
    let ranked = ranked(contest, measure, among);
    let best = leaders(measure, &ranked);
    let size = best.first().and_then(|first| size_to_baseline(first, contest, measure));
    let names: Vec<String> = best.iter().map(|arm| with_level(arm, contest, measure)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let [first, others @ ..] = names.as_slice() else { return None };
    let by = measure.name();
    if names.len() == ranked.len() && !others.is_empty() {
        return Some(alike(&names, measure));
    }
    let size = size.map_or_else(String::new, |size| format!(", {size}"));
    let as_low = match others {
        [] => String::new(),
        others => format!("; its lead over {} is not significant", listed(others)),
    };
    Some(format!("{first} has the lowest {by}{size}{as_low}."))
}

/// How much better an arm is than what sizes are told against first; nothing where it is not told better.
fn size_to_baseline(arm: &ArmResult, contest: &ContestResult, measure: Measure) -> Option<String> {
    let than = baseline(contest, measure)?;
    let ratio = ratio_of(arm, contest, measure)? / ratio_of(than, contest, measure)?;
    is_told_better(arm, than, measure).then(|| format!("{} than {}", size_words(ratio), than.arm.name))
}

/// Who leads a contest by a measure, in a cell of a table, each with what was measured, and by how much the first of them does: nothing
/// where no arm is ranked by it.
fn leaders_cell(
    contest: &ContestResult,
    measure: Measure,
    among: impl Fn(&ArmResult) -> bool,
) -> Option<String> {
    let ranked = ranked(contest, measure, among);
    let best = leaders(measure, &ranked);
    let by = measure.name();
    if best.len() > 1 && best.len() == ranked.len() {
        return Some(format!("{by}: no significant difference"));
    }
    let names: Vec<String> = best.iter().map(|arm| with_level(arm, contest, measure)).collect();
    let size = size_to_baseline(best.first()?, contest, measure);
    let size = size.map_or_else(String::new, |size| match best.as_slice() {
        [_] => format!(", {size}"),
        [first, ..] => format!("; {}: {size}", first.arm.name),
        [] => String::new(),
    });
    Some(format!("{by}: {}{size}", names.join(", ")))
}

/// Who leads a contest by what its ranks are of, who of those that are kept up has the lowest tail, and what stealing work is worth: a
/// cell of a table each, empty where there is nothing to tell.
pub(super) fn glance_cells(contest: &ContestResult) -> [String; 3] {
    let is_ranked = contest.is_measured() && contest.class != Class::Scaling;
    let [lead, tail] = [Some(contest.headline), contest.tail()].map(|measure| measure.filter(|_| is_ranked));
    let lead = lead.and_then(|measure| leaders_cell(contest, measure, |_| true));
    let tail = tail.and_then(|measure| leaders_cell(contest, measure, |arm| arm.maintained));
    let stealing = stealing(contest).into_iter().next();
    let stealing = stealing.map(|it| format!("{}, compared with {}: {}", it.one, it.other, it.worth));
    [lead, tail, stealing].map(Option::unwrap_or_default)
}

/// The name of an arm, with what was measured of it.
fn with_level(arm: &ArmResult, contest: &ContestResult, measure: Measure) -> String {
    match arm.levels.get(&measure) {
        Some(level) => format!("{} ({})", arm.arm.name, level_among(contest, measure, *level)),
        None => arm.arm.name.clone(),
    }
}

/// Says that none of some is better or worse than another.
fn alike(names: &[&str], measure: Measure) -> String {
    format!("{} do not differ significantly by {}.", listed(names), measure.name())
}

/// Some of the arms that are ranked by a measure, by their ratios, the best first.
fn ranked(contest: &ContestResult, measure: Measure, among: impl Fn(&ArmResult) -> bool) -> Vec<&ArmResult> {
    let is_ranked = |arm: &&ArmResult| arm.ranks.contains_key(&measure) && among(arm);
    let mut ranked: Vec<&ArmResult> = contest.arms.iter().filter(is_ranked).collect();
    let ratio = |arm: &ArmResult| ratio_of(arm, contest, measure).unwrap_or(f64::NAN);
    ranked.sort_by(|one, other| match measure.better() {
        Better::More => ratio(other).total_cmp(&ratio(one)),
        Better::Less => ratio(one).total_cmp(&ratio(other)),
    });
    ranked
}

/// Those of some arms that none of the others is told better than.
fn leaders<'a>(measure: Measure, ranked: &[&'a ArmResult]) -> Vec<&'a ArmResult> {
    let is_beaten = |arm: &&ArmResult| ranked.iter().any(|other| is_told_better(other, arm, measure));
    ranked.iter().copied().filter(|arm| !is_beaten(arm)).collect()
}

/// What the best loop by hand does, where loops by hand are shown apart.
fn floor_words(contest: &ContestResult) -> String {
    if contest.class == Class::Scaling {
        return String::new();
    }
    let measure = contest.headline;
    let Some(against) = baseline(contest, measure) else { return String::new() };
    let ratio =
        |arm: &ArmResult| Some(ratio_of(arm, contest, measure)? / ratio_of(against, contest, measure)?);
    let told = |arm: &&ArmResult| arm.floor && is_told_better(arm, against, measure);
    let best = contest.arms.iter().filter(told).find_map(|arm| Some((arm, ratio(arm)?)));
    best.map_or_else(String::new, |(floor, ratio)| {
        let size = size_words(ratio);
        format!(
            " The hand-written loop {} has {size} {} than {}.",
            floor.arm.name,
            measure.name(),
            against.arm.name
        )
    })
}

/// What a scheduler that steals work is worth: each arm against its counterparts that steal nothing, with a scheduler for each worker,
/// and with a listener for each too, where they take part, by the measures that are shown.
fn stealing(contest: &ContestResult) -> Vec<Stealing<'_>> {
    let named = |name: &str, suffix: &str| {
        contest.arms.iter().find(|arm| arm.arm.name.strip_suffix(suffix) == Some(name))
    };
    let pairs = contest.arms.iter().flat_map(|arm| {
        let name = arm.arm.name.as_str();
        let per_core = named(name, "-per-core");
        let reuseport = per_core.and_then(|_| named(name, "-reuseport"));
        let ways = [
            (per_core, "a scheduler for each worker"),
            (reuseport, "a scheduler and a listener for each worker"),
        ];
        ways.into_iter().filter_map(move |(other, way)| Some((arm, other?, way)))
    });
    let by = |one: &ArmResult, other: &ArmResult, measure: Measure| {
        let [ratio, to] = [one, other].map(|arm| ratio_of(arm, contest, measure));
        let size = size_words(ratio? / to?);
        let name = measure.name();
        Some(match (is_told_better(one, other, measure), is_told_better(other, one, measure)) {
            (true, _) => format!("better by {name} ({size})"),
            (_, true) => format!("worse by {name} ({size})"),
            _ => format!("no significant difference by {name}"),
        })
    };
    let said = pairs.filter_map(|(one, other, way)| {
        let measures = std::iter::once(contest.headline).chain(contest.tail());
        let parts: Vec<String> = measures.filter_map(|measure| by(one, other, measure)).collect();
        let [one, other] = [one, other].map(|arm| arm.arm.name.as_str());
        (!parts.is_empty()).then(|| Stealing { one, other, way, worth: parts.join(", ") })
    });
    said.collect()
}

/// A scheduler that steals work, and one that does not.
struct Stealing<'a> {
    one: &'a str,
    other: &'a str,
    /// What the other has instead.
    way: &'static str,
    worth: String,
}

/// What a scheduler that steals work is worth, in sentences.
fn stealing_words(contest: &ContestResult) -> Vec<String> {
    let words = |Stealing { one, other, way, worth }: Stealing<'_>| {
        format!("Work stealing ({one}) against {way} ({other}): {worth}.")
    };
    stealing(contest).into_iter().map(words).collect()
}

/// What more workers are worth, a sentence for each backend, where arms differ by them.
fn scaling_words(contest: &ContestResult) -> Vec<String> {
    let told = |point: &ScalingPoint| {
        let ScalingPoint { workers, speedup, low, high, .. } = point;
        let [share, least, most] = [*speedup, *low, *high].map(|it| 100.0 * point.efficiency(it));
        let void = point.void.as_ref().map_or_else(String::new, |why| format!(", void: {why}"));
        format!(
            "{workers} workers {speedup:.2}× ({low:.2} to {high:.2}), efficiency {share:.0}% ({least:.0} to {most:.0}%){void}"
        )
    };
    let of_backend = |points: &[ScalingPoint]| {
        let ScalingPoint { backend, fewest, .. } = &points[0];
        let workers = if *fewest == 1 { "1 worker".to_owned() } else { format!("{fewest} workers") };
        let each: Vec<String> = points.iter().map(told).collect();
        format!("{backend}, messages/s compared with {workers}: {}.", each.join("; "))
    };
    contest.scaling.chunk_by(|one, other| one.backend == other.backend).map(of_backend).collect()
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

/// Whether an arm is told better than another.
fn is_told_better(arm: &ArmResult, than: &ArmResult, measure: Measure) -> bool {
    arm.better_than.get(&measure).is_some_and(|worse| worse.contains(&than.arm.name))
}

/// The ratio of an arm to the reference; 1 for that itself.
fn ratio_of(arm: &ArmResult, contest: &ContestResult, measure: Measure) -> Option<f64> {
    let found = arm.comparisons.get(&measure).map(|found| found.ratio);
    found.or((arm.arm.name == contest.reference).then_some(1.0))
}

/// How far a ratio is from 1, such as `17%`.
fn percent_words(ratio: f64) -> String {
    format!("{:.0}%", 100.0 * (ratio - 1.0).abs())
}

/// How much more or less a ratio is, such as `17% more`.
fn size_words(ratio: f64) -> String {
    format!("{} {}", percent_words(ratio), if ratio >= 1.0 { "more" } else { "less" })
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

    /// The names in a list of a sentence, and what stands between them.
    fn words_of(listed: &str) -> impl Iterator<Item = &str> {
        listed.split([' ', ',', '.'])
    }

    /// Holds the sentence on who leads against the verdicts of all pairs.
    fn lead_says_no_more_than_verdicts(contest: &ContestResult) -> Result<(), TestCaseError> {
        let said = lead_words(contest);
        let measure = contest.headline;
        let ranked = ranked(contest, measure, |_| true);
        let best = leaders(measure, &ranked);
        let beaten_by_all = |than: &ArmResult| best.iter().all(|arm| is_told_better(arm, than, measure));
        let named = |name: &str| contest.arms.iter().find(|arm| arm.arm.name == name).unwrap();
        // Whoever is named behind the leaders is told worse than each of them.
        let until = |part: &str, end: &[char]| part.split(end).next().unwrap_or_default().to_owned();
        let of_one = said.split(" than ").skip(1).map(|part| until(part, &[',', '.']));
        let ahead = said.split(" Each is significantly ahead ").nth(1).map(|part| until(part, &['.']));
        let of_several: Vec<String> =
            ahead.iter().flat_map(|part| part.split("of ").skip(1)).map(|part| until(part, &[','])).collect();
        let behind: Vec<String> = of_one.chain(of_several).collect();
        prop_assert!(behind.iter().all(|name| beaten_by_all(named(name))), "{}", said);
        prop_assert!(!behind.is_empty() || best.len() > 1, "one alone leads by a size: {}", said);
        let is_alike = ["do not differ significantly", "without a significant difference"];
        prop_assert_eq!(is_alike.iter().any(|words| said.contains(words)), best.len() > 1, "{}", said);
        // Whoever leads with others is told with a size of its own, unless all sizes are the same.
        let has_size = |arm: &&ArmResult| said.contains(&format!("% ({})", arm.arm.name));
        prop_assert!(!said.contains("% (") || best.iter().all(has_size), "{}", said);
        // Whoever is behind, though not of each leader, is named with exactly the leaders that are not ahead of it.
        let pairs: Vec<(&str, &str)> = said
            .split(". ")
            .filter(|sentence| sentence.contains(" not significantly "))
            .filter_map(|sentence| {
                Some((sentence.split(" not ").next()?, sentence.split(" ahead of ").nth(1)?))
            })
            .flat_map(|(who, of)| words_of(who).flat_map(|who| words_of(of).map(move |of| (who, of))))
            .collect();
        for arm in ranked.iter().filter(|_| best.len() > 1 && best.len() < ranked.len()) {
            let is_best = best.iter().any(|is| is.arm.name == arm.arm.name);
            let is_between = !beaten_by_all(arm) && !is_best;
            for leader in &best {
                let is_behind = is_between && !is_told_better(leader, arm, measure);
                let is_named = pairs.contains(&(&leader.arm.name, &arm.arm.name));
                prop_assert_eq!(is_behind, is_named, "{}", said);
            }
        }
        Ok(())
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
            let named = |name: &str| contest.arms.iter().find(|arm| arm.arm.name == name).unwrap();
            let is_maintained = |arm: &ArmResult| arm.arm.name != "monoio";
            for measure in [contest.headline, tail] {
                let candidates = ranked(contest, measure, is_maintained);
                let best = leaders(measure, &candidates);
                for arm in &candidates {
                    let beaten = candidates.iter().any(|other| is_told_better(other, arm, measure));
                    prop_assert_eq!(beaten, !best.iter().any(|is| is.arm.name == arm.arm.name));
                }
                for arm in leaders(measure, &ranked(contest, measure, |_| true)) {
                    prop_assert_eq!(arm.ranks[&measure], 1);
                }
            }
            lead_says_no_more_than_verdicts(contest)?;
            let said = tail_words(contest, is_maintained).unwrap();
            let best = leaders(tail, &ranked(contest, tail, is_maintained));
            if let Some((size, _)) = said.split_once(" than reference") {
                prop_assert!(size.ends_with("% less") && is_told_better(best[0], named("reference"), tail), "{}", said);
            }
            for arm in &contest.arms {
                let leads = best.iter().any(|is| is.arm.name == arm.arm.name);
                let is_named = said.split([' ', ',', '.', ';']).any(|word| word == arm.arm.name);
                // The reference is named by the ratios to it, too.
                prop_assert!(leads == is_named || arm.arm.name == "reference" && is_named, "{}", said);
                if let Some(level) = arm.levels.get(&tail).filter(|_| leads) {
                    let told = format!("{} ({})", arm.arm.name, level_among(contest, tail, *level));
                    prop_assert!(said.contains(&told), "{}: {}", told, said);
                }
            }
            for (measure, cell) in [contest.headline, tail].into_iter().zip(glance_cells(contest)) {
                let kept = |arm: &ArmResult| measure == contest.headline || is_maintained(arm);
                let candidates = ranked(contest, measure, kept);
                let best = leaders(measure, &candidates);
                let is_alike = best.len() > 1 && best.len() == candidates.len();
                prop_assert_eq!(cell.ends_with(": no significant difference"), is_alike, "{}", cell);
                let (names, size) = cell.split_once("; ").unwrap_or((&cell, ""));
                let names = names.strip_prefix(&format!("{}: ", measure.name())).unwrap_or_default().split(", ");
                let names: Vec<&str> = names.filter_map(|part| Some(part.split_once(" (")?.0)).collect();
                let led = best.iter().map(|arm| arm.arm.name.as_str()).filter(|_| !is_alike);
                prop_assert_eq!(names, led.collect::<Vec<_>>(), "{}", cell);
                let is_told = is_told_better(best[0], named("reference"), measure) && !is_alike;
                let is_sized = size.starts_with(&format!("{}: ", best[0].arm.name)) || best.len() == 1 && cell.contains(" than ");
                prop_assert_eq!(is_sized, is_told, "{}", cell);
            }
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
