//! The duel under `cargo bench`.

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command as Words, value_parser};
use nix::unistd::{AccessFlags, access};
use regex::Regex;

use super::fight_and_report;
use crate::{
    cli::{Command, output, run_line},
    contestant::{self, Contestant},
};

/// Options of criterion's and libtest's that take a value and mean nothing to a duel.
const WITH_VALUE: [&str; 16] = [
    "baseline",
    "baseline-lenient",
    "color",
    "confidence-level",
    "format",
    "load-baseline",
    "logfile",
    "noise-threshold",
    "nresamples",
    "output-format",
    "plotting-backend",
    "profile-time",
    "save-baseline",
    "significance-level",
    "test-threads",
    "warm-up-time",
];

/// Those that take none.
const WITHOUT_VALUE: [&str; 8] = [
    "bench",
    "discard-baseline",
    "include-ignored",
    "nocapture",
    "noplot",
    "quiet",
    "show-output",
    "verbose",
];

/// The short names that criterion has for some.
const SHORT: [(char, &str); 5] =
    [('b', "baseline"), ('c', "color"), ('n', "noplot"), ('s', "save-baseline"), ('v', "verbose")];

/// Internal, started by `cargo bench`: run the duel with the options that criterion would get.
#[derive(clap::Args)]
#[command(hide = true)]
pub(in crate::cli) struct Args {
    /// Options of criterion
    #[arg(last = true)]
    words: Vec<OsString>,
}

/// The duel as a bench: takes the words that `cargo bench` passes on as criterion would.
///
/// A filter is a regular expression over `duel/NAME`; `--list` lists these; `--test` fights one epoch without recording it in
/// results; `--measurement-time` is the duel's time, and without it `--sample-size` its epochs; `--quick` is its own. What else
/// criterion knows is taken, and means nothing here.
pub(in crate::cli) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let all = [OsString::from("duel")].into_iter().chain(args.words);
    let matches = match words().try_get_matches_from(all) {
        Ok(matches) => matches,
        Err(error) => {
            // Nothing is left to be told when not even this can be printed.
            let _ = error.print();
            return Ok(ExitCode::from(error.exit_code().try_into().unwrap_or(2)));
        }
    };
    let here = contestant::all().iter().filter(|contestant| contestant.available().is_ok());
    let names: Vec<&str> = here.map(Contestant::name).filter(|name| is_chosen(&matches, name)).collect();
    if matches.get_flag("list") {
        return Ok(list(&names));
    }
    if names.len() < 2 {
        output::tell(
            "no duel: fewer than two backends are chosen; a filter is held against names such as duel/tokio",
        );
        return Ok(ExitCode::SUCCESS);
    }
    let program = crate::processes::own_program()?;
    let line = line(&matches, &names, &results_of(&program));
    let command_line = line.clone();
    Ok(run_line(line, |command| match command {
        Command::Duel(args) => fight_and_report(&args, program, command_line),
        _ => unreachable!("the line begins with the duel's name"),
    }))
}

fn words() -> Words {
    let named = |name: &'static str| {
        let short = SHORT.iter().find(|(_, long)| *long == name).map(|(short, _)| *short);
        Arg::new(name).long(name).short(short)
    };
    let flag = |name: &'static str| named(name).action(ArgAction::SetTrue);
    let valued = |name: &'static str| named(name).num_args(1);
    Words::new("duel")
        .about("The duel of all backends that a filter chooses, recorded in results/")
        .version(env!("CARGO_PKG_VERSION"))
        .arg(
            Arg::new("filters")
                .num_args(0..)
                .value_parser(Regex::new)
                .help("Regular expressions over duel/NAME"),
        )
        .arg(flag("list").help("List what can take part"))
        .arg(flag("test").help("Fight one epoch, and record nothing in results"))
        .arg(flag("quick").help("Fewer and shorter epochs, for a first look"))
        .arg(flag("ignored").help("Nothing: no duel is ignored otherwise"))
        .arg(flag("exact").help("A filter is a whole name"))
        .arg(valued("measurement-time").value_parser(value_parser!(f64)).help("Seconds to fight for"))
        .arg(valued("sample-size").value_parser(value_parser!(u16)).help("Epochs to fight"))
        .args(WITH_VALUE.iter().map(|name| valued(name).hide(true)))
        .args(WITHOUT_VALUE.iter().map(|name| flag(name).hide(true)))
}

fn is_chosen(matches: &ArgMatches, name: &str) -> bool {
    let name = format!("duel/{name}");
    let mut filters = matches.get_many::<Regex>("filters").into_iter().flatten().peekable();
    let exact = matches.get_flag("exact");
    if matches.get_flag("ignored") {
        return false;
    }
    filters.peek().is_none()
        || filters.any(|filter| if exact { filter.as_str() == name } else { filter.is_match(&name) })
}

/// As criterion lists its benchmarks.
fn list(names: &[&str]) -> ExitCode {
    let lines: Vec<String> = names.iter().map(|name| format!("duel/{name}: benchmark")).collect();
    match lines.iter().try_for_each(|line| output::print(line)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Where a bench records.
struct Results {
    /// A test, which leaves nothing in results.
    of_a_test: String,
    /// A duel, where that is not in `results`.
    elsewhere: Option<String>,
}

/// Near the program, where cargo may write, goes what has no place in a source that is read only.
fn results_of(program: &Path) -> Results {
    let near = |name: &str| program.with_file_name(name).display().to_string();
    let results = Path::new("results");
    let is_writable =
        access(if results.exists() { results } else { Path::new(".") }, AccessFlags::W_OK).is_ok();
    Results { of_a_test: near("duel-test"), elsewhere: (!is_writable).then(|| near("results")) }
}

/// The duel's own command line.
fn line(matches: &ArgMatches, names: &[&str], results: &Results) -> Vec<String> {
    let mut line = vec!["ioduel".to_owned(), "duel".to_owned()];
    // All of them need no naming, and then who is skipped is told too.
    if matches.contains_id("filters") {
        line.extend(names.iter().map(|name| (*name).to_owned()));
    }
    let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
    // Sessions as fast as they come, and messages at rates.
    add(&["--workload", "session", "--workload", "paced"]);
    // As criterion has it: without `--bench`, which `cargo bench` passes, this is a test.
    if matches.get_flag("test") || !matches.get_flag("bench") {
        add(&["--quick", "--epochs", "1", "--out", &results.of_a_test]);
        return line;
    }
    if let Some(folder) = &results.elsewhere {
        add(&["--out", folder]);
    }
    if matches.get_flag("quick") {
        add(&["--quick"]);
    }
    match (matches.get_one::<f64>("measurement-time"), matches.get_one::<u16>("sample-size")) {
        (Some(seconds), _) => add(&["--time", &format!("{:.0}ms", seconds * 1e3)]),
        (None, Some(epochs)) => add(&["--epochs", &epochs.to_string()]),
        (None, None) => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> ArgMatches {
        words().try_get_matches_from([&["duel"], line].concat()).unwrap()
    }

    fn chosen<'n>(line: &[&str], names: &[&'n str]) -> Vec<&'n str> {
        let matches = read(line);
        names.iter().copied().filter(|name| is_chosen(&matches, name)).collect()
    }

    #[test]
    fn a_filter_is_a_regular_expression_over_the_whole_name() {
        let all = ["tokio", "tokio-current", "smol", "mio"];
        assert_eq!(chosen(&["--bench"], &all), all);
        assert_eq!(chosen(&["--bench", "tokio"], &all), ["tokio", "tokio-current"]);
        assert_eq!(chosen(&["--bench", "^duel/(smol|mio)$"], &all), ["smol", "mio"]);
        assert_eq!(chosen(&["--bench", "--exact", "duel/tokio"], &all), ["tokio"]);
        assert_eq!(chosen(&["--bench", "^c1/epoll$"], &all), [""; 0]);
        assert_eq!(chosen(&["--list", "--ignored"], &all), [""; 0]);
        assert!(words().try_get_matches_from(["duel", "("]).is_err());
    }

    #[test]
    fn the_value_of_an_option_is_no_filter() {
        let all = ["tokio", "mio"];
        for option in WITH_VALUE {
            assert_eq!(chosen(&["--bench", &format!("--{option}"), "5000"], &all), all, "{option}");
        }
        for option in WITHOUT_VALUE {
            assert_eq!(chosen(&[&format!("--{option}"), "mio"], &all), ["mio"], "{option}");
        }
        assert_eq!(chosen(&["-n", "-v", "-b", "main", "mio"], &all), ["mio"]);
    }

    #[test]
    fn time_and_samples_are_those_of_the_duel() {
        let in_results = Results { of_a_test: "target/duel-test".to_owned(), elsewhere: None };
        let of = |words: &[&str]| line(&read(words), &["tokio", "mio"], &in_results).join(" ");
        let begins = |words: &[&str]| of(words).replace(" --workload session --workload paced", "");
        assert_eq!(of(&["--bench"]), "ioduel duel --workload session --workload paced");
        assert_eq!(begins(&["--bench", "--measurement-time", "60"]), "ioduel duel --time 60000ms");
        assert_eq!(begins(&["--bench", "--sample-size", "20", "--quick"]), "ioduel duel --quick --epochs 20");
        assert_eq!(begins(&["--test"]), "ioduel duel --quick --epochs 1 --out target/duel-test");
        assert_eq!(of(&[]), of(&["--test"]));
        assert_eq!(begins(&["--bench", "o"]), "ioduel duel tokio mio");
        let read_only = Results { elsewhere: Some("/target/results".to_owned()), ..in_results };
        let told = line(&read(&["--bench"]), &[], &read_only).join(" ");
        assert!(told.ends_with("--out /target/results"), "{told}");
    }
}
