//! The duel as a whole: recorded, interrupted, killed, and what its records are turned into.

use std::{
    fs,
    process::{Command, Output},
};

use ioduel::record::{Line, Record};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{peers::wait_until, results::Results};

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ioduel")).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The turns that each arm had, block by block.
fn turns(record: &Record) -> Vec<(String, Vec<usize>)> {
    let rounds = record.lines.iter().filter_map(|line| match line {
        Line::Round(round) => Some(round),
        _ => None,
    });
    rounds.map(|it| (it.place.arm.clone(), it.slices.iter().map(|slice| slice.turn).collect())).collect()
}

#[test]
fn a_duel_records_every_round_and_every_format_shows_it() {
    let results = Results::new("formats");
    let output = results.duel(&["epoll", "mio", "--quick", "--epochs", "6", "--seed", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let folder = results.record().unwrap();
    let record = Record::read(&folder).unwrap();
    assert_eq!(record.damage, None);
    // Three arms (the second copy of the reference is one), six epochs.
    let rounds: Vec<&Line> = record.lines.iter().filter(|line| matches!(line, Line::Round(_))).collect();
    assert_eq!(rounds.len(), 18, "{}", text(&output.stderr));
    assert_eq!(
        fs::read_to_string(folder.join("summary.md")).unwrap().trim_end(),
        text(&output.stdout).trim_end()
    );

    let list = fs::read_to_string(results.0.join("index.html")).unwrap();
    assert!(
        list.contains(&format!("{}/index.html", folder.file_name().unwrap().to_str().unwrap())),
        "{list}"
    );
    assert!(fs::read_to_string(folder.join("index.html")).unwrap().contains("ioduel duel epoll mio"));

    let path = folder.to_str().unwrap();
    let report = |path: &str, format| text(&run(&["report", path, "--format", format]).stdout).to_owned();
    assert!(report(path, "markdown").contains("| `mio` |"));
    let json: serde_json::Value = serde_json::from_str(&report(path, "json")).unwrap();
    assert_eq!(json["contests"][0]["arms"].as_array().unwrap().len(), 3);

    // Of a record without an excluded round, which nobody can promise of one that was made just now.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/records/small");
    let csv = report(path, "csv");
    assert!(csv.lines().count() > 100 && csv.lines().all(|row| row.split(',').count() == 18), "{csv}");
    let bmf: serde_json::Value = serde_json::from_str(&report(path, "bmf")).unwrap();
    assert!(bmf["session/own/tokio"]["messages-s"]["value"].as_f64().unwrap() > 0.0);
    let action: serde_json::Value = serde_json::from_str(&report(path, "github-action-benchmark")).unwrap();
    assert!(
        action.as_array().unwrap().iter().all(|entry| entry["value"].is_f64() && entry["name"].is_string())
    );

    let page = folder.join("changes.html");
    let compared = run(&["compare", path, path, "--html", page.to_str().unwrap()]);
    assert_eq!(text(&compared.stdout).trim_end(), page.to_str().unwrap());
    assert!(fs::read_to_string(page).unwrap().contains("statistically indistinguishable"));
    let same = run(&["compare", path, path]);
    assert!(text(&same.stdout).contains("statistically indistinguishable"), "{}", text(&same.stdout));
    assert!(!text(&same.stdout).contains("worse") && !text(&same.stdout).contains("better"));
}

#[test]
fn until_says_what_it_will_do_and_when_the_limit_came_first() {
    let results = Results::new("until");
    let words = ["epoll", "mio", "--quick", "--until", "0.07%", "--time", "3s"];
    let output = results.duel(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(
        told.contains("until every interval of messages/s is narrower than 0.07%, at most 3 s\n"),
        "{told}"
    );
    assert!(told.contains("the limit came first: "), "{told}");
    assert!(
        told.contains("less than 0.07% was asked for, twice in a row; --time sets another limit"),
        "{told}"
    );
}

#[test]
fn the_same_seed_gives_the_same_order() {
    let words = ["smol", "mio", "tokio", "--quick", "--epochs", "2", "--seed", "11"];
    let orders = ["one", "two"].map(|name| {
        let results = Results::new(name);
        assert!(results.duel(&words).output().unwrap().status.success());
        turns(&Record::read(&results.record().unwrap()).unwrap())
    });
    assert_eq!(orders[0], orders[1]);
}

#[test]
fn an_interrupted_duel_ends_after_the_block_and_reports_what_there_is() {
    let results = Results::new("interrupted");
    let child = results.duel(&["epoll", "mio", "--quick", "--time", "1h"]).spawn().unwrap();
    wait_until("some blocks are on disk", || results.lines() >= 12);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stdout).contains("| `mio` |"));
    assert_eq!(results.lines() % 3, 0, "the block was ended");
}

#[test]
fn a_killed_duel_leaves_every_finished_block() {
    let results = Results::new("killed");
    let mut child = results.duel(&["epoll", "mio", "--quick", "--time", "1h"]).spawn().unwrap();
    wait_until("some blocks are on disk", || results.lines() >= 9);
    child.kill().unwrap();
    child.wait().unwrap();
    let record = Record::read(&results.record().unwrap()).unwrap();
    assert!(record.lines.len() >= 9);
    let report = run(&["report", results.record().unwrap().to_str().unwrap(), "--format", "markdown"]);
    assert!(text(&report.stdout).contains("| `mio` |"), "{}", text(&report.stderr));
}

#[test]
fn a_duel_runs_through_prefixes_and_several_clients() {
    let results = Results::new("prefixes");
    let words = ["mio", "--workload", "solo", "--workload", "session", "--quick", "--epochs", "2"];
    let prefixes =
        ["--server-exec", "taskset -c 0", "--client-exec", "taskset -c 0", "--client-exec", "nice -n 0"];
    let output = results.duel(&words).args(prefixes).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let record = Record::read(&results.record().unwrap()).unwrap();
    assert_eq!(record.setup.client_exec, ["taskset -c 0", "nice -n 0"]);
    assert_eq!(record.setup.placements(), "server where its prefix says, client where its prefix says");
    assert!(record.lines.iter().all(|line| matches!(line, Line::Round(round) if round.run.messages > 0)));
}

#[test]
fn what_cannot_start_behind_a_prefix_is_told_once_before_anything_is_measured() {
    let results = Results::new("prefix");
    let words = ["epoll", "mio", "--quick", "--epochs", "2", "--server-exec", "no-such-program"];
    let output = results.duel(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert_eq!(error.matches("server: cannot start \"no-such-program\"").count(), 1, "{error}");
    assert!(results.record().is_none());
}

#[test]
fn an_address_of_no_interface_is_refused_before_anything_is_measured() {
    let results = Results::new("address");
    // TEST-NET-1 (RFC 5737): nobody's.
    let output = results.duel(&["epoll", "mio", "--server-address", "192.0.2.1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("servers cannot listen at --server-address 192.0.2.1"), "{error}");
    assert!(results.record().is_none());
}

#[test]
fn one_backend_alone_is_measured_and_the_answer_asks_for_a_second() {
    let results = Results::new("alone");
    let output = results.duel(&["epoll", "--quick", "--time", "3s"]).output().unwrap();
    let told = text(&output.stdout);
    assert!(told.contains("Only epoll took part: name a second backend"), "{told}");
}

#[test]
fn a_peer_that_prints_no_json_is_told() {
    let results = Results::new("noise");
    let words = ["mio", "--quick", "--epochs", "1", "--client-exec", "echo hello"];
    let output = results.duel(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("behind \"echo hello\""), "{}", text(&output.stderr));
}

#[test]
fn what_more_workers_are_worth_is_measured_with_a_client_apart_and_a_machine_too_small_is_told() {
    let results = Results::new("workers");
    let words = ["mio", "tokio", "--workers", "2,1", "--quick", "--epochs", "6"];
    let output = results.duel(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("NAME/N with N worker threads"), "{shown}");
    let record = Record::read(&results.record().unwrap()).unwrap();
    let contest = &record.setup.contests[0];
    let arms: Vec<&str> = contest.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(arms, ["mio/1", "mio/2", "tokio/1", "tokio/2", "mio/1 again"]);
    let rounds = |arm: &str| {
        let of_arm = |line: &&Line| matches!(line, Line::Round(round) if round.place.arm == arm);
        record.lines.iter().filter(of_arm).count()
    };
    assert!(arms.iter().all(|arm| rounds(arm) == 6), "{}", text(&output.stderr));
    let server = contest.placement.server.as_ref().unwrap().count();
    assert!(contest.placement.is_apart() || server == 1, "{:?}", contest.placement);
    if server == 1 {
        let told = "warning: workers: mio/2 has 1 processor; that says nothing about scaling";
        assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
}

/// A thousand messages in a few calls are more than a softirq works off: `ksoftirqd` receives the rest, and is nobody else.
#[test]
fn what_the_kernel_receives_for_a_backend_is_not_taken_for_other_processes() {
    let results = Results::new("ksoftirqd");
    let words = ["epoll", "uring-plain", "--workload", "crowd", "--class", "single", "--whole-rounds"];
    let words = [&words[..], &["--window", "1s", "--epochs", "2", "--quick"]].concat();
    let output = results.duel(&words).output().unwrap();
    if text(&output.stderr).contains("uring-plain cannot run here") {
        eprintln!("skipped: no io_uring here");
        return;
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = Record::read(&results.record().unwrap()).unwrap().lines;
    let rounds = lines.into_iter().filter_map(|line| match line {
        Line::Round(round) => Some(round),
        _ => None,
    });
    let rounds: Vec<_> = rounds.collect();
    let of_arm = |arm: &'static str| rounds.iter().filter(move |round| round.place.arm == arm);
    let ksoftirqd = |arm| of_arm(arm).filter_map(|round| round.ksoftirqd).reduce(f64::max);
    let is_by_others = |arm| of_arm(arm).all(|round| round.excluded.iter().any(|why| why == "others"));
    let (Some(seen), Some(reference)) = (ksoftirqd("uring-plain"), ksoftirqd("epoll")) else {
        eprintln!("skipped: the threads of the kernel can't be seen here, or not in a network of its own");
        return;
    };
    assert!(seen > 2.0 * reference, "{seen} and {reference}");
    assert!(is_by_others("epoll") || !is_by_others("uring-plain"), "a busy machine spoils both");
}

#[test]
fn what_a_crowd_needs_is_told_before_it_is_there_and_what_cannot_be_is_refused() {
    let results = Results::new("crowds");
    std::fs::create_dir_all(&results.0).unwrap();
    let file = results.0.join("many.toml");
    let shape = "name = \"many\"\nconnections = 8\nmessages = 8\nmessage_bytes = 16\nidle = 6000\n";
    fs::write(&file, shape).unwrap();
    let told = |limit: &str| {
        let run = format!("ulimit -n {limit}; exec \"$@\"");
        let words = [
            "-c",
            &run,
            "sh",
            env!("CARGO_BIN_EXE_ioduel"),
            "run",
            "epoll",
            "--duration",
            "100ms",
            "--workload",
        ];
        let output = Command::new("sh").args(words).arg(&file).output().unwrap();
        (output.status.code(), text(&output.stderr).to_owned())
    };
    let (code, refused) = told("2000");
    assert_eq!(code, Some(1), "{refused}");
    let needs = "6008 connections at a time need 6032 descriptors in one process (the limit is 2000)";
    assert!(refused.contains(needs) && refused.contains("raise the hard limit"), "{refused}");
    let (code, held) = told("$(ulimit -Hn)");
    assert!(code == Some(0) && held.contains("6008 connections at a time need"), "{held}");
}

#[test]
fn bad_words_are_told_in_one_line() {
    for (words, expected) in [
        (["duel", "tokyo"], "did you mean \"tokio\"?"),
        (["duel", "--workers=0"], "0 is not in 1..=65535"),
        (["duel", "--until=0%"], "must be above 0% and below 100%, not 0%"),
        (["duel", "--workload=sesion"], "there are session, solo, crowd, stream, bulk"),
        (["duel", "--server-exec="], "is not a command"),
        (["duel", "--class=several"], "[possible values: single, multi]"),
        (["report", "/nowhere"], "is not the folder of a record"),
    ] {
        let output = run(&words);
        assert!(text(&output.stderr).contains(expected), "{words:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().count(), 1, "{words:?}");
        assert_ne!(output.status.code(), Some(0));
    }
    let wrong = |words: &[&str], expected| {
        let output = run(words);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), expected));
    };
    wrong(&["duel", "mio", "mio"], "error: mio is named twice\n");
    wrong(&["duel", "mio", "--workload", "solo", "--workload", "solo"], "error: solo is named twice\n");
    wrong(
        &["duel", "threads", "epoll", "mio", "--workers", "1"],
        "error: the backend threads (a thread each) cannot run in the single class, which --class or --workers asks for; remove it, or \
         them\n",
    );
    wrong(
        &["duel", "--class", "multi", "--workers", "1"],
        "error: the single class has --workers 1, and the multi class has more\n",
    );
    wrong(
        &["duel", "epoll", "--workers", "1,2", "--class", "multi"],
        "error: several numbers of --workers cannot be combined with --class: leave --class out\n",
    );
    wrong(
        &["duel", "epoll", "--workers", "1,2", "--view", "own"],
        "error: with several numbers of --workers the same client drives all servers: leave --view out\n",
    );
    wrong(
        &["duel", "epoll", "threads", "--workers", "1,2"],
        "error: threads (a thread each) has a fixed number of workers; leave this backend out\n",
    );
    wrong(&["duel", "epoll", "--workers", "2,1,2"], "error: 2 is named twice\n");
    wrong(
        &["duel", "tokio-current", "threads"],
        "error: these backends have no class in common: `tokio-current` is in class single (one thread), `threads` is in class multi (a thread each); name two of one class (single: one thread, multi: several)\n",
    );
}
