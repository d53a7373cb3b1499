//! Workloads of one's own, from a file.

use std::{
    fs,
    process::{Command, Stdio},
};

use ioduel::record::Setup;

use crate::{peers::wait_until, results::Results};

/// A folder with a workload file of this text.
fn file(name: &str, text: &str) -> (Results, String) {
    let folder = Results::new(name);
    fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("mine.toml");
    fs::write(&path, text).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

#[test]
fn what_is_printed_of_a_named_one_is_a_file_that_is_taken() {
    let printed = Command::new(env!("CARGO_BIN_EXE_ioduel")).args(["workloads", "session"]).output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap().replace("\"session\"", "\"mine\"");
    let (_folder, path) = file("printed", &text);
    let words = ["run", "epoll", "--workload", &path, "--duration", "100ms", "--json"];
    let run = Command::new(env!("CARGO_BIN_EXE_ioduel")).args(words).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(json["workload"], "mine");
    assert!(json["messages_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_duel_of_a_file_records_the_whole_of_it() {
    let (results, path) =
        file("recorded", "name = \"mine\"\nconnections = 5\nmessages = 3\nmessage_bytes = 100\nidle = 50\n");
    let words = ["epoll", "mio", "--class", "single", "--quick", "--epochs", "1", "--workload", &path];
    let duel = results.duel(&words).output().unwrap();
    assert!(duel.status.success(), "{}", String::from_utf8_lossy(&duel.stderr));
    let workload = Setup::read(&results.record().unwrap()).unwrap().contests.remove(0).workload;
    let shape = (workload.connections, workload.messages, workload.message_bytes, workload.idle);
    assert_eq!((workload.name.as_str(), shape), ("mine", (5, 3, 100, 50)));
    assert!(String::from_utf8_lossy(&duel.stdout).contains("mine"));
}

#[test]
fn silent_connections_are_held_while_others_talk() {
    const IDLE: usize = 700;
    let (_folder, path) = file("idle", &format!("name = \"mine\"\nconnections = 4\nidle = {IDLE}\n"));
    let words = ["run", "epoll", "--workload", &path, "--duration", "2s", "--json"];
    let run = Command::new(env!("CARGO_BIN_EXE_ioduel")).args(words).stdout(Stdio::piped()).spawn().unwrap();
    let id = run.id();
    // The descriptors of each agent.
    let open = || -> Vec<usize> {
        let agents = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let of = |agent: &str| Some(fs::read_dir(format!("/proc/{agent}/fd")).ok()?.count());
        agents.split_whitespace().filter_map(of).collect()
    };
    wait_until("server and holder have them", || open().iter().filter(|open| **open >= IDLE).count() == 2);
    let output = run.wait_with_output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["messages_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(json["errors"], 0);
}
