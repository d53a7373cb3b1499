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
    let Some(first) = best.first() else {
        return "No conclusion: no backend was measured well enough to be compared.".to_owned();
    };
    if is_all_alike(&best, &ranked) {
        return alike(&best.iter().map(|arm| with_upkeep(arm)).collect::<Vec<_>>(), measure);
    }
    let told = |than: &&ArmResult| is_told_better(first, than, measure);
    let reference = contest.arms.iter().find(|arm| arm.arm.name == contest.reference);
    let next = ranked.iter().copied().find(told);
    let known = baseline(contest, measure).into_iter().chain(reference).find(told);
    let known = known.filter(|it| next.is_none_or(|next| next.arm.name != it.arm.name));
    let size = |than: &ArmResult| size_to(first, than, contest, measure);
    let sizes: Vec<String> = next.into_iter().chain(known).filter_map(size).collect();
    let sizes = if sizes.is_empty() { String::new() } else { format!(": {}", sizes.join(", ")) };
    let open = open_words(first, &ranked, measure, |arm| {
        let ratio = ratio_of(first, contest, measure).zip(ratio_of(arm, contest, measure));
        let size =
            ratio.map_or_else(String::new, |(one, other)| format!(" ({})", percent_words(one / other)));
        format!("{}{size}", arm.arm.name)
    });
    format!("{} leads in {}{sizes}{open}.", with_upkeep(first), measure.name())
}

/// Whom the first of some arms is not told better than, as the end of a sentence.
fn open_words(
    first: &ArmResult,
    ranked: &[&ArmResult],
    measure: Measure,
    named: impl Fn(&ArmResult) -> String,
) -> String {
    let others = ranked.iter().filter(|arm| arm.arm.name != first.arm.name);
    let open: Vec<String> =
        others.filter(|arm| !is_told_better(first, arm, measure)).map(|arm| named(arm)).collect();
    match listed(&open) {
        others if others.is_empty() => others,
        others => format!("; its lead over {others} is not significant"),
    }
}

/// Whether there are several, of whom none is told better than another.
fn is_all_alike(best: &[&ArmResult], ranked: &[&ArmResult]) -> bool {
    best.len() > 1 && best.len() == ranked.len()
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
    let first = best.first()?;
    let named = |arm: &ArmResult| with_level(arm, contest, measure);
    if is_all_alike(&best, &ranked) {
        return Some(alike(&best.iter().map(|arm| named(arm)).collect::<Vec<_>>(), measure));
    }
    let size = size_to_baseline(first, contest, measure).map_or_else(String::new, |size| format!(", {size}"));
    let open = open_words(first, &ranked, measure, named);
    Some(format!("{} has the lowest {}{size}{open}.", named(first), measure.name()))
}

/// How much better an arm is than what sizes are told against first; nothing where it is not told better.
fn size_to_baseline(arm: &ArmResult, contest: &ContestResult, measure: Measure) -> Option<String> {
    let than = baseline(contest, measure).filter(|than| is_told_better(arm, than, measure))?;
    size_to(arm, than, contest, measure)
}

/// How much more or less of a measure an arm has than another, such as `17% more than tokio`.
fn size_to(arm: &ArmResult, than: &ArmResult, contest: &ContestResult, measure: Measure) -> Option<String> {
    let ratio = ratio_of(arm, contest, measure)? / ratio_of(than, contest, measure)?;
    Some(format!("{} than {}", size_words(ratio), than.arm.name))
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
    if is_all_alike(&best, &ranked) {
        return Some(format!("{by}: no significant difference"));
    }
    let names: Vec<String> = best.iter().map(|arm| with_level(arm, contest, measure)).collect();
    let first = best.first()?;
    let size = size_to_baseline(first, contest, measure).map_or_else(String::new, |size| match names.len() {
        1 => format!(", {size}"),
        _ => format!("; {}: {size}", first.arm.name),
    });
    Some(format!("{by}: {}{size}", listed(&names)))
}

/// Who leads a contest by what its ranks are of, who of those that are kept up has the lowest tail, and what stealing work is worth: a
/// cell of a table each, empty where there is nothing to tell.
pub(super) fn glance_cells(contest: &ContestResult) -> [String; 3] {
    let is_ranked = contest.is_measured() && contest.class != Class::Scaling;
    let [lead, tail] = [Some(contest.headline), contest.tail()].map(|measure| measure.filter(|_| is_ranked));
    let lead = lead.and_then(|measure| leaders_cell(contest, measure, |_| true));
    let tail = tail.and_then(|measure| leaders_cell(contest, measure, |arm| arm.maintained));
    let stealing = stealing(contest).into_iter();
    let stealing = stealing.map(|it| format!("{}, compared with {}: {}", it.one, it.other, it.worth));
    let stealing = Some(stealing.collect::<Vec<_>>().join("; "));
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
fn alike(names: &[String], measure: Measure) -> String {
    format!("{} do not differ significantly in {}.", listed(names), measure.name())
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
            " {}, a loop written by hand, has {size} {} than {}.",
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
            (true, _) => format!("{} is better in {name} ({size})", one.arm.name),
            (_, true) => format!("{} is worse in {name} ({size})", one.arm.name),
            _ => format!("no significant difference in {name}"),
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

/// How far a ratio is from 1, such as `17%`; below one percent with a decimal.
fn percent_words(ratio: f64) -> String {
    let percent = 100.0 * (ratio - 1.0).abs();
    if percent < 0.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
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

    /// Whom a sentence names between two of its parts.
    fn between<'a>(said: &'a str, from: &str, to: &str) -> Vec<&'a str> {
        let part = said.split_once(from).and_then(|(_, rest)| rest.split(to).next());
        let part = part.unwrap_or_default();
        NAMES.into_iter().filter(|name| part.split([' ', ',']).any(|word| word == *name)).collect()
    }

    /// Holds a sentence on who leads, by a measure among some, against the verdicts of all pairs.
    fn says_no_more_than_verdicts(
        said: &str,
        contest: &ContestResult,
        measure: Measure,
        among: impl Fn(&ArmResult) -> bool,
    ) -> Result<(), TestCaseError> {
        let ranked = ranked(contest, measure, among);
        let best = leaders(measure, &ranked);
        let is_alike = best.len() > 1 && best.len() == ranked.len();
        prop_assert_eq!(said.contains("do not differ significantly"), is_alike, "{}", said);
        if is_alike {
            prop_assert!(best.iter().all(|arm| said.contains(&arm.arm.name)), "{}", said);
            return Ok(());
        }
        let first = best[0];
        prop_assert!(said.starts_with(&first.arm.name), "{}", said);
        let told = |name: &&str| {
            let than = contest.arms.iter().find(|arm| arm.arm.name == *name).unwrap();
            is_told_better(first, than, measure)
        };
        // Each size is of one that it is told better than. Whoever it is not told better than is named.
        let sized: Vec<&str> = said
            .split(" than ")
            .skip(1)
            .map(|part| part.split([',', ';', '.']).next().unwrap_or_default())
            .collect();
        prop_assert!(sized.iter().all(told), "{}", said);
        let others = ranked.iter().map(|arm| arm.arm.name.as_str()).filter(|name| *name != first.arm.name);
        let mut open: Vec<&str> = others.filter(|name| !told(name)).collect();
        let mut named = between(said, "; its lead over ", " is not significant");
        open.sort_unstable();
        named.sort_unstable();
        prop_assert_eq!(open, named, "{}", said);
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
            let lead = lead_words(contest);
            says_no_more_than_verdicts(&lead, contest, contest.headline, |_| true)?;
            let is_sized = lead.contains(" than ") || lead.contains("; its lead over ");
            prop_assert!(is_sized || lead.contains("do not differ"), "who leads is told against somebody: {}", lead);
            let said = tail_words(contest, is_maintained).unwrap();
            says_no_more_than_verdicts(&said, contest, tail, is_maintained)?;
            let lowest = leaders(tail, &ranked(contest, tail, is_maintained))[0];
            let level = level_among(contest, tail, lowest.levels[&tail]);
            prop_assert!(said.contains(&format!("{} ({level})", lowest.arm.name)), "{}", said);
            for (measure, cell) in [contest.headline, tail].into_iter().zip(glance_cells(contest)) {
                let kept = |arm: &ArmResult| measure == contest.headline || is_maintained(arm);
                let candidates = ranked(contest, measure, kept);
                let best = leaders(measure, &candidates);
                let is_alike = best.len() > 1 && best.len() == candidates.len();
                prop_assert_eq!(cell.ends_with(": no significant difference"), is_alike, "{}", cell);
                let (names, size) = cell.split_once("; ").unwrap_or((&cell, ""));
                let names = names.strip_prefix(&format!("{}: ", measure.name())).unwrap_or_default().replace(" and ", ", ");
                let names = names.split(", ");
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
                let by = format!(" in {}", measure.name());
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
