//! The duel under `cargo bench`.

use std::{path::PathBuf, process::ExitCode};

use super::fight_and_report;
use crate::{
    cli::{Command, output, run_line},
    contestant::{self, Contestant},
};

/// The duel as a bench: takes the words that `cargo bench` passes on as criterion would, and starts agents of `program`.
///
/// A word names the backends to compare by a part of their names; `--test` fights one block without recording it in
/// results; `--quick` is the duel's own.
pub fn bench(program: PathBuf) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let filters = filters(&words);
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let here = contestant::all().iter().filter(|contestant| contestant.available().is_ok());
    let names: Vec<&str> = here.map(Contestant::name).filter(|name| chosen(name)).collect();
    if names.len() < 2 {
        output::tell("no duel: fewer than two backends have that in their names");
        return ExitCode::SUCCESS;
    }
    let mut line = vec!["ioduel", "duel"];
    // All of them need no naming, and then who is skipped is told too.
    line.extend(names.into_iter().filter(|_| !filters.is_empty()));
    if has("--quick") {
        line.push("--quick");
    }
    // As criterion has it: without `--bench`, which `cargo bench` passes, this is a test.
    if has("--test") || !has("--bench") {
        line.extend(["--quick", "--epochs", "1", "--out", "target/duel-test"]);
    }
    let command_line = line.iter().map(|word| (*word).to_owned()).collect();
    run_line(line, |command| match command {
        Command::Duel(args) => fight_and_report(&args, program, command_line),
        _ => unreachable!("the line begins with the duel's name"),
    })
}

/// The words that name benchmarks: not options, and not what stands behind an option of criterion's that takes a value.
fn filters(words: &[String]) -> Vec<&str> {
    const VALUED: [&str; 10] = [
        "--baseline",
        "--baseline-lenient",
        "--color",
        "--confidence-level",
        "--load-baseline",
        "--measurement-time",
        "--output-format",
        "--sample-size",
        "--save-baseline",
        "--warm-up-time",
    ];
    let mut filters = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if VALUED.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            filters.push(word);
        }
    }
    filters
}
