//! The tables that say what a page's figures rest on: the backends, the machine, what was set aside.

use std::collections::BTreeSet;

use super::table::{Cell, Table};
use crate::{
    analysis::ContestResult,
    contestant::Description,
    environment::Environment,
    record::{BackendFootprint, Contest, Record, Schedule, Setup},
    report::words::heading,
    round::reason_words,
};

/// The columns of the backends' table.
const COLUMNS: [&str; 11] = [
    "backend",
    "rests on",
    "how it waits",
    "threads",
    "maintenance",
    "beyond Linux",
    "crates",
    "build, s",
    "size, KiB",
    "calls per message",
    "what it is",
];

/// Every backend of a record: what it is, the version that was measured, and what it costs to build with.
pub(super) fn backends(record: &Record) -> Table {
    let arms = || record.setup.contests.iter().flat_map(|contest| &contest.arms);
    let names: BTreeSet<&str> = arms().flat_map(|arm| [arm.server.as_str(), arm.client.as_str()]).collect();
    let footprint = |name: &str| record.footprint.as_ref()?.backends.get(name).copied();
    let rows =
        names.into_iter().map(|name| backend_row(name, record.setup.contestants.get(name), footprint(name)));
    let costs = "Crates, build and size are those of the smallest program with it alone; calls are the system calls of its server";
    let costs = if record.footprint.is_some() { format!(". {costs}") } else { String::new() };
    let table = Table {
        name: "backends-table".to_owned(),
        caption: format!("What each backend is{costs}"),
        columns: COLUMNS.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    };
    table.without_empty_columns()
}

fn backend_row(name: &str, is: Option<&Description>, footprint: Option<BackendFootprint>) -> Vec<Cell> {
    let text = |of: fn(&Description) -> String| is.map_or_else(Cell::absent, |is| Cell::text(of(is)));
    let number = |of: fn(&BackendFootprint) -> Option<f64>, digits: usize| {
        let value = footprint.as_ref().and_then(of);
        value.map_or_else(Cell::absent, |value| Cell::number(format!("{value:.digits$}"), value))
    };
    vec![
        Cell::text(name),
        text(Description::versioned),
        text(|is| is.model.to_string()),
        text(|is| is.threading.to_string()),
        text(Description::upkeep),
        text(|is| if is.portable { "yes".to_owned() } else { "no".to_owned() }),
        number(|of| Some(of.crates as f64), 0),
        number(|of| Some(of.build_s), 1),
        number(|of| Some(of.stripped_bytes as f64 / 1024.0), 0),
        number(|of| of.calls_per_message, 2),
        is.map_or_else(|| Cell::text("the record does not say"), |is| Cell::text(is.summary.clone())),
    ]
}

/// The revision that a record was made with.
pub(super) fn revision(environment: &Environment) -> String {
    let revision = environment.git_revision.as_deref().unwrap_or("unknown");
    if environment.git_dirty { format!("{revision} with changes") } else { revision.to_owned() }
}

/// What was set aside in each contest, and why.
pub(super) fn aside(contests: &[ContestResult]) -> Table {
    let mut rows = Vec::new();
    for contest in contests {
        for arm in &contest.arms {
            let all = arm.rounds + arm.excluded.values().sum::<usize>();
            for (reason, count) in &arm.excluded {
                rows.push(vec![
                    Cell::text(arm.arm.name.clone()),
                    Cell::text(contest.workload.clone()),
                    Cell::text(heading(contest.view, contest.class)),
                    Cell::number(format!("{count} of {all}"), *count as f64),
                    Cell::text(reason_words(reason)),
                ]);
            }
        }
    }
    Table {
        name: "aside-table".to_owned(),
        caption: "Rounds that do not count".to_owned(),
        columns: ["backend", "workload", "view", "rounds", "reason"].map(str::to_owned).to_vec(),
        rows,
    }
}

/// The machine, the kernel's settings and the placement; of machines elsewhere, what differs there.
pub(super) fn environment(setup: &Setup) -> Table {
    let placement = [("placement", setup.placements()), ("began", setup.began.clone())];
    let exec = [
        ("servers started with", setup.server_exec.clone()),
        ("clients started with", (!setup.client_exec.is_empty()).then(|| setup.client_exec.join("; "))),
        ("servers listened at", setup.server_address.clone()),
    ];
    let of_setup = placement
        .into_iter()
        .chain([("turns", turns(setup))])
        .chain(exec.into_iter().filter_map(|(name, value)| Some((name, value?))))
        .map(|(name, value)| (name.to_owned(), value));
    let elsewhere = setup.elsewhere.iter().flat_map(|(machine, there)| {
        let differs = setup.environment.differences(there).into_iter();
        differs.map(|it| it.of(machine)).map(|it| (it.name, it.is))
    });
    let rows = of_setup.chain(setup.environment.fields()).chain(elsewhere);
    Table {
        name: "environment-table".to_owned(),
        caption: "Where and how it was measured".to_owned(),
        columns: ["what", "found"].map(str::to_owned).to_vec(),
        rows: rows.map(|(name, value)| vec![Cell::text(name), Cell::text(told(value))]).collect(),
    }
}

/// How the arms of each contest took turns, each way once.
fn turns(setup: &Setup) -> String {
    let mut ways: Vec<String> = Vec::new();
    for Contest { workload, schedule, .. } in &setup.contests {
        let way = match schedule {
            Schedule::Slices { warm_ms, slice_ms, blocks } => {
                format!(
                    "{}: in each epoch, {blocks} slices for each backend, each of {warm_ms} ms of warm-up and {slice_ms} ms of measurement",
                    workload.name
                )
            }
            Schedule::Rounds { blocks } => format!(
                "{}: in each epoch, {blocks} rounds for each backend, each of {} ms of warm-up and {} ms of measurement",
                workload.name, workload.ramp_ms, workload.window_ms
            ),
        };
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways.join("; ")
}

/// A field of the environment as a person reads it.
fn told(value: String) -> String {
    if ["null", "[]", "{}"].contains(&value.as_str()) { "not told".to_owned() } else { value }
}

/// The command that repeats a run, with the seed that was drawn.
pub(super) fn command(setup: &Setup) -> String {
    let mut words = setup.command_line.clone();
    if !words.iter().any(|word| word.starts_with("--seed")) {
        words.extend(["--seed".to_owned(), setup.seed.to_string()]);
    }
    shell_words::join(words)
}
