//! Where people start the program, and what happens to it there while it runs.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use ioduel::record::Setup;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

mod table;

use crate::{peers::wait_until, results::Results};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ioduel");

/// What must be so, in a surrounding: the exit code, and what stands on one of the two streams.
struct Expected {
    code: i32,
    says: &'static str,
}

fn holds(what: &str, output: &Output, expected: &Expected) {
    let told =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(expected.code), "{what}: {told}");
    assert!(told.contains(expected.says), "{what}: {told}");
    assert!(!told.contains("panicked"), "{what}: {told}");
}

#[test]
fn a_folder_whose_name_is_no_text_holds_a_record_as_any() {
    let results = Results::new("bytes");
    fs::create_dir_all(&results.0).unwrap();
    let folder = results.0.join(OsStr::from_bytes(b"caf\xe9"));
    let words = ["duel", "epoll", "mio", "--quick", "--epochs", "1", "--workload", "solo", "--out"];
    let output = Command::new(PROGRAM).args(words).arg(&folder).output().unwrap();
    holds("duel", &output, &Expected { code: 0, says: "recorded in" });
    let list = Command::new(PROGRAM).arg("report").arg(&folder).output().unwrap();
    holds("report", &list, &Expected { code: 0, says: "index.html" });
}

#[test]
fn a_run_that_is_stopped_for_longer_than_its_patience_goes_on() {
    let words = ["run", "epoll", "--duration", "1s"];
    let child =
        Command::new(PROGRAM).args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = Pid::from_raw(child.id().cast_signed());
    thread::sleep(Duration::from_millis(300));
    kill(id, Signal::SIGSTOP).unwrap();
    // Longer than an agent has for any answer and the round.
    thread::sleep(Duration::from_secs(18));
    kill(id, Signal::SIGCONT).unwrap();
    holds("run", &child.wait_with_output().unwrap(), &Expected { code: 0, says: "messages/s" });
}

#[test]
fn a_program_that_is_exchanged_during_a_duel_is_noticed() {
    let results = Results::new("exchanged");
    fs::create_dir_all(&results.0).unwrap();
    let copy = results.0.join("program");
    let other = results.0.join("other");
    // By another process: this one's other threads start programs, which would hold the file open for writing.
    for path in [&copy, &other] {
        assert!(Command::new("cp").arg(PROGRAM).arg(path).status().unwrap().success());
    }
    let out = results.0.join("out");
    let words = ["duel", "epoll", "mio", "--quick", "--epochs", "6", "--workload", "solo", "--out"];
    let mut command = Command::new(&copy);
    let duel = command.args(words).arg(&out).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let rounds = || {
        let folder = fs::read_dir(&out).ok()?.flatten().find(|it| it.path().is_dir())?.path();
        fs::read_to_string(folder.join("rounds.jsonl")).ok()
    };
    wait_until("an epoch is over", || rounds().is_some_and(|text| !text.is_empty()));
    fs::rename(&other, &copy).unwrap();
    let output = duel.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("changed since the duel began"), "{told}");
    assert!(rounds().unwrap().contains("changed since the duel began"));
}

#[test]
fn a_duel_beside_another_says_so_in_its_record() {
    let first = Results::new("first");
    // A lock of their own: other tests fight duels too.
    let locks = Results::new("locks");
    fs::create_dir_all(&locks.0).unwrap();
    let mut other = first.duel(&["epoll", "mio", "--time", "60s"]).env("TMPDIR", &locks.0).spawn().unwrap();
    wait_until("it has begun", || first.record().is_some());
    let second = Results::new("second");
    let words = ["epoll", "mio", "--quick", "--epochs", "1", "--workload", "solo"];
    let output = second.duel(&words).env("TMPDIR", &locks.0).output().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    holds(
        "the second",
        &output,
        &Expected { code: 0, says: "another run: ioduel measures on this machine already" },
    );
    let setup = Setup::read(&second.record().unwrap()).unwrap();
    assert!(
        setup.warnings.iter().any(|warning| warning.starts_with("another run: ")),
        "{:?}",
        setup.warnings
    );
}
