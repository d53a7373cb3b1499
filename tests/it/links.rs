//! Loads over a link: two networks of a run's own, joined for it, and gone with it.

use std::{collections::BTreeSet, fs, process::Command};

use ioduel::record::{Line, Record, Schedule, Setup};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{machines::agents_below, peers::wait_until, results::Results};

/// The network namespace of a process.
fn network(process: i32) -> Option<String> {
    let link = fs::read_link(format!("/proc/{process}/ns/net")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

#[test]
fn a_duel_over_a_link_records_what_was_asked_for_and_what_was_measured() {
    if !can_be_made() {
        return;
    }
    let results = Results::new("link");
    let words = ["epoll", "mio", "--link", "plain", "--workload", "stream", "--quick", "--epochs", "1"];
    let output = results.duel(&words).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("over a link, plain: round trip"), "{told}");
    let folder = results.record().unwrap();
    let Setup { contests, environment, .. } = Setup::read(&folder).unwrap();
    let link = environment.link.unwrap();
    assert!(link.asked.is_plain() && link.measured.sent >= 2000 && link.measured.round_trip_us > 0.0);
    assert_eq!(contests[0].workload.link, Some(link.asked));
    assert!(
        matches!(contests[0].schedule, Schedule::Rounds { .. }),
        "who is stopped misses what is under way"
    );
    let rounds = Record::read(&folder).unwrap().lines.into_iter().filter_map(|line| match line {
        Line::Round(round) => Some(round),
        Line::Failed { error, .. } => panic!("{error}"),
        Line::Idle { .. } => None,
    });
    let wrong: Vec<_> = rounds.flat_map(|round| round.flags).filter(|flag| flag.contains("untrue")).collect();
    assert!(wrong.is_empty(), "segments of both ends are counted: {wrong:?}");
}

#[test]
fn nothing_of_a_link_is_left_when_the_duel_is_killed() {
    if !can_be_made() {
        return;
    }
    let results = Results::new("killed-link");
    let words = ["epoll", "mio", "--link", "plain", "--workload", "stream", "--quick"];
    let mut duel = results.duel(&words).spawn().unwrap();
    wait_until("a round is over", || results.lines() > 0);
    let agents = agents_below(duel.id());
    let networks: BTreeSet<String> = agents.iter().filter_map(|agent| network(*agent)).collect();
    assert!(networks.len() == 2 && !networks.contains(&network(std::process::id().cast_signed()).unwrap()));
    kill(Pid::from_raw(duel.id().cast_signed()), Signal::SIGKILL).unwrap();
    duel.wait().unwrap();
    wait_until("no process is in either network", || !is_anybody_in(&networks));
}

#[test]
fn nothing_is_left_of_a_link_that_is_still_being_measured() {
    if !can_be_made() {
        return;
    }
    let results = Results::new("killed-probe");
    let mut seen = 0;
    for wait_ms in [30, 150, 400] {
        let mut duel = results.duel(&["epoll", "mio", "--link", "plain", "--quick"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        let own = network(std::process::id().cast_signed()).unwrap();
        let mut networks: BTreeSet<String> =
            agents_below(duel.id()).iter().filter_map(|agent| network(*agent)).collect();
        networks.remove(&own);
        seen += networks.len();
        duel.kill().unwrap();
        duel.wait().unwrap();
        wait_until("no process is in either network", || !is_anybody_in(&networks));
    }
    assert!(seen > 0, "each was killed before it had a network");
}

#[test]
fn the_kit_runs_over_a_link_or_says_what_that_needs() {
    if !can_be_made() {
        return;
    }
    for link in ["plain", "delay 20ms loss 1%"] {
        let words = ["conform", "--backend", "epoll", "--link", link, "--case", "messages of a session"];
        let output = Command::new(env!("CARGO_BIN_EXE_ioduel")).args(words).output().unwrap();
        let (printed, told) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if link != "plain" && told.contains("modprobe sch_netem") {
            eprintln!("skipped: {link}: {told}");
            continue;
        }
        assert!(output.status.success(), "{printed}{told}");
        assert!(told.contains("round trip") && told.contains("datagrams lost"), "{told}");
        assert!(printed.contains("2 passed, 0 failed"), "{printed}");
    }
}

/// Whether any process of this machine is in one of these networks: the kernel takes away a network, and the interfaces in it, once
/// nobody is.
fn is_anybody_in(networks: &BTreeSet<String>) -> bool {
    let processes = procfs::process::all_processes().unwrap().flatten();
    processes.filter_map(|process| network(process.pid)).any(|network| networks.contains(&network))
}

/// Whether namespaces may be made here, and iproute2 is there to join them.
fn can_be_made() -> bool {
    let words = ["run", "epoll", "--link", "plain", "--duration", "50ms"];
    let output = Command::new(env!("CARGO_BIN_EXE_ioduel")).args(words).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let lacks = ["ip is missing", "cannot make a network namespace", "cannot bring its loopback"];
    let why = lacks.iter().find(|lack| told.contains(**lack));
    why.iter().for_each(|why| eprintln!("skipped: {why}"));
    why.is_none()
}
