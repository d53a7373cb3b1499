//! Several clients, as on several machines: here each behind a prefix that changes nothing.

use std::{fs, path::Path, process::Command};

use ioduel::record::{Line, Record, RoundLine, Setup};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::{Process, all_processes};

use crate::{peers::wait_until, results::Results};

/// Three clients behind prefixes.
const THREE: [&str; 6] = ["--client-exec", "env", "--client-exec", "env", "--client-exec", "env"];

const PACED: [&str; 8] = ["epoll", "mio", "--workload", "paced", "--rate", "3000", "--window", "100ms"];

/// A workload of short rounds at a rate.
const SHORT: &str = "name = \"short\"\nconnections = 6\nmessage_bytes = 32\nramp = \"20ms\"\nwindow = \"60ms\"\n\
                     arrivals = { process = \"fixed\", rate = 3000 }\nskew = { hot = 1, share = 0.5 }\n";

fn rounds(results: &Results) -> Vec<RoundLine> {
    let record = Record::read(&results.record().unwrap()).unwrap();
    let rounds = record.lines.into_iter().filter_map(|line| match line {
        Line::Round(round) => Some(*round),
        Line::Failed { .. } | Line::Idle { .. } => None,
    });
    rounds.collect()
}

#[test]
fn three_clients_send_the_plan_of_one_and_begin_at_one_instant() {
    let planned = |clients: &[&str], name: &str| {
        let results = Results::new(name);
        let output = results
            .duel(&[&PACED[..], &["--epochs", "1", "--seed", "7"], clients].concat())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Each machine behind a prefix tells what it is like; here all are this one.
        let setup = Setup::read(&results.record().unwrap()).unwrap();
        assert_eq!(setup.elsewhere.len(), clients.len() / 2);
        let kernel = |it: &ioduel::environment::Environment| it.kernel.clone();
        assert!(setup.elsewhere.values().all(|there| kernel(there) == kernel(&setup.environment)));
        let rounds = rounds(&results);
        let several = !clients.is_empty();
        // Far more than a machine with three others at work needs, and far less than a ramp.
        let together = |round: &RoundLine| {
            // All are on one machine, and have one clock.
            round.begun_apart.is_some_and(|apart| apart.us < 200_000.0 && apart.within_us == 0.0)
        };
        assert!(rounds.iter().all(|round| together(round) == several), "{several}: {rounds:?}");
        let planned = |round: &RoundLine| {
            (round.place.arm.clone(), round.place.block, round.open.as_ref().unwrap().planned)
        };
        let mut planned: Vec<_> = rounds.iter().map(planned).collect();
        planned.sort();
        // A round that the others here spoil is tried again, with the same plan.
        planned.dedup();
        planned
    };
    let (one, three) = (planned(&[], "one-client"), planned(&THREE, "three-clients"));
    assert!(one.len() > 3 && one.iter().all(|(_, _, planned)| *planned > 200), "{one:?}");
    assert_eq!(one, three);
}

/// The agents that a duel has started, the one that was started last at the end.
pub(crate) fn agents_below(duel: u32) -> Vec<i32> {
    let is_below = |process: &Process| process.stat().is_ok_and(|stat| stat.ppid == duel.cast_signed());
    let mut below: Vec<i32> =
        all_processes().unwrap().flatten().filter(is_below).map(|process| process.pid).collect();
    below.sort_unstable();
    below
}

fn failures(results: &Results) -> Vec<String> {
    let file = results.record().map(|folder| folder.join("rounds.jsonl"));
    let text = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    text.lines().filter(|line| line.contains("\"kind\":\"failed\"")).map(str::to_owned).collect()
}

#[test]
fn a_client_that_dies_costs_one_round_and_the_duel_goes_on() {
    const KILLED: usize = 10;
    let results = Results::new("killed-clients");
    let file = results.0.with_extension("toml");
    fs::write(&file, SHORT).unwrap();
    let words = ["epoll", "mio", "--workload", file.to_str().unwrap(), "--time", "300s"];
    let duel = results.duel(&[&words[..], &THREE].concat()).spawn().unwrap();
    let (mut seen, mut attempts) = (0, 0);
    while seen < KILLED {
        let before = results.lines();
        // Now three and now six: at one step, an epoch long, each kill would fall between two epochs.
        wait_until("some rounds are over", || results.lines() > before + 2 + attempts % 4);
        attempts += 1;
        // Between two epochs it ends anyhow, and nothing fails.
        if let Some(client) = agents_below(duel.id()).last() {
            let _ = kill(Pid::from_raw(*client), Signal::SIGKILL);
        }
        let before = results.lines();
        wait_until("a round has failed, or a block is over", || {
            failures(&results).len() > seen || results.lines() > before + 3
        });
        let failed = failures(&results).len();
        assert!(failed <= seen + 1, "{:?}", failures(&results));
        seen = failed;
    }
    kill(Pid::from_raw(duel.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = duel.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let failures = failures(&results);
    assert!(failures.iter().all(|failure| failure.contains("client pacer")), "{failures:?}");
    assert!(rounds(&results).len() > 3 * KILLED, "{} rounds were measured", rounds(&results).len());
    fs::remove_file(file).unwrap();
}

#[test]
fn every_recipe_is_tried_by_the_check_and_its_machines_can_be_planned() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let figures = fs::read_to_string(scripts.join("figures")).unwrap();
    let mut planned = 0;
    for entry in fs::read_dir(scripts.join("elsewhere.d")).unwrap() {
        let recipe = entry.unwrap().path();
        if !recipe.is_dir() {
            continue;
        }
        let name = recipe.file_name().unwrap().to_str().unwrap();
        assert!(figures.contains(&format!("\nelsewhere {name} ")), "scripts/figures does not try {name}");
        let machines = recipe.join("machines.toml");
        if machines.exists() {
            let mut plan = Command::new(env!("CARGO_BIN_EXE_ioduel"));
            let output = plan.args(["machines", "plan"]).arg(&machines).output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            planned += 1;
        }
    }
    assert_eq!(planned, 3, "namespaces, ssh and compose have one");
}
