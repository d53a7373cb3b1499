//! What a run can't tell, and how to go on from it.

use crate::{
    analysis::{ContestResult, Measure},
    load::Workload,
    record::{Class, Setup},
    report::words::{contest_words, percent},
};

/// What differs from one run to the next, and is not repeated.
const NOT_REPEATED: [&str; 2] = ["--workload", "--seed"];

/// Something that a run can't tell: what it is, and how far in each contest, where that differs.
pub(super) struct Limit {
    pub(super) sentence: String,
    pub(super) of_each: Vec<String>,
}

impl From<&str> for Limit {
    fn from(sentence: &str) -> Self {
        Self { sentence: sentence.to_owned(), of_each: Vec::new() }
    }
}

/// What a run can't tell.
pub(super) fn limits(contests: &[ContestResult]) -> Vec<Limit> {
    let each = || contests.iter();
    // Of a workload at many rates the capacity is enough.
    let is_one_of_many = |contest: &&ContestResult| {
        contest.rate.is_some()
            && each().any(|it| it.workload == contest.workload && !it.objectives.is_empty())
    };
    let told = each().filter(|contest| !is_one_of_many(contest));
    let of_each: Vec<String> = told.filter_map(|contest| usually_needed(contest, contests)).collect();
    let mut references = each().map(|contest| contest.reference.as_str());
    let first = references.next().unwrap_or_default();
    let reference = if references.all(|other| other == first) { first } else { "the reference" };
    let small = (!of_each.is_empty()).then(|| Limit {
        sentence: format!(
            "Small differences. To be significant, a difference from {reference} typically had to exceed these values (between two other \
             backends, the values can be larger):"
        ),
        of_each,
    });
    let is_closed = |contest: &ContestResult| contest.rate.is_none() && contest.objectives.is_empty();
    let waiting = each().any(is_closed).then_some(
        "How long requests wait when they arrive independently of replies: here each client waits for its reply before it sends \
         again. `ioduel duel --rate 20000` measures that.",
    );
    let has = |class: Class| each().any(|contest| contest.class == class);
    let classes = match (has(Class::Single), has(Class::Multi)) {
        (true, true) => Some(
            "Whether several threads are worth more than one: results with one thread are not compared with those with several.",
        ),
        (true, false) => Some(
            "What schedulers with several threads are worth, such as tokio's: all backends here have one thread each. \
             `ioduel duel --class multi` measures that.",
        ),
        (false, true) => Some(
            "What one thread does: all backends here have several threads, or one for each connection. `ioduel duel --class single` \
             measures that.",
        ),
        (false, false) => None,
    };
    small.into_iter().chain(waiting.into_iter().chain(classes).map(Limit::from)).collect()
}

/// The difference that a verdict needed for half of the arms of a contest, by the measures that are shown first.
fn usually_needed(contest: &ContestResult, contests: &[ContestResult]) -> Option<String> {
    let of = |measure: Measure| {
        let arms = contest.arms.iter().filter(|arm| !arm.arm.copy);
        let mut needed: Vec<f64> =
            arms.filter_map(|arm| Some(arm.comparisons.get(&measure)?.needed)).collect();
        needed.sort_by(f64::total_cmp);
        let median = needed.get(needed.len() / 2).copied()?;
        Some(format!("{} in {}", percent(median), measure.name()))
    };
    let told: Vec<String> = std::iter::once(contest.headline).chain(contest.tail()).filter_map(of).collect();
    (!told.is_empty()).then(|| format!("{}: {}", contest_words(contest, contests), told.join(", ")))
}

/// The workload that the commands which repeat a run begin with: the first that has a name of its own.
fn repeated(setup: &Setup) -> &str {
    let mut names = setup.contests.iter().map(|contest| contest.workload.name.as_str());
    names.find(|name| Workload::file(name).is_ok()).unwrap_or("session")
}

/// What the commands that repeat a run are for; and how they begin for another number of connections.
pub(super) fn again_words(setup: &Setup) -> [String; 2] {
    let named = repeated(setup);
    let (what, other, more) = match named {
        "crowd" => ("this with messages of 4 KiB and 1024 connections".to_owned(), "session", "64"),
        "session" => ("this with messages of 4 KiB and 64 connections".to_owned(), "crowd", "1024"),
        named => (format!("the workload {named} with messages of 4 KiB"), "crowd", "1024"),
    };
    [
        format!("To run {what}"),
        format!(
            "For {more} connections, replace `ioduel workloads {named}` with `ioduel workloads {other}`."
        ),
    ]
}

/// The commands that repeat a run with messages of 4 KiB.
pub(super) fn again(setup: &Setup) -> [String; 2] {
    let named = repeated(setup);
    let mut words: Vec<&str> = Vec::new();
    let mut given = setup.command_line.iter().map(String::as_str);
    while let Some(word) = given.next() {
        match NOT_REPEATED.iter().find(|option| word.starts_with(**option)) {
            Some(option) if word == *option => drop(given.next()),
            Some(_) => {}
            None => words.push(word),
        }
    }
    if !words.starts_with(&["ioduel", "duel"]) {
        words = vec!["ioduel", "duel"];
    }
    words.extend(["--workload", "4k.toml"]);
    [
        format!("ioduel workloads {named} | sed 's/^message_b.*/message_bytes=4096/' > 4k.toml"),
        shell_words::join(words),
    ]
}

#[cfg(test)]
mod tests {
    use crate::report::tests::small;

    #[test]
    fn a_run_is_repeated_with_another_workload_and_seed() {
        let mut setup = small().setup;
        let words = "ioduel duel epoll tokio --workload session --workload=solo --seed 7 --class multi";
        setup.command_line = words.split(' ').map(str::to_owned).collect();
        let [_, again] = super::again(&setup);
        assert_eq!(again, "ioduel duel epoll tokio --class multi --workload 4k.toml");
        setup.command_line = vec!["duel-bench".to_owned(), "--bench".to_owned()];
        assert_eq!(super::again(&setup)[1], "ioduel duel --workload 4k.toml");
    }
}
