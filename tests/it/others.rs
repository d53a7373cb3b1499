//! Programs of others: servers alone with one thing wrong, agents that lie, and what is left of either.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use ioduel::{
    agent::{Program, agent_words},
    conform::{self, Subject, Verdict},
    net::LinkShape,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;

use crate::{contestants::Folder, peers::wait_until};

const IODUEL: &str = env!("CARGO_BIN_EXE_ioduel");

/// The server of `tests/servers/faulty.py`, with this fault.
fn faulty(fault: &str) -> Option<Subject> {
    if !has_python() {
        eprintln!("skipped: no Python here");
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
    let words = ["python3".into(), file.into_os_string(), fault.into(), "{address}".into()];
    Some(Subject {
        command: agent_words(IODUEL.as_ref(), None, Program::Server(&words)),
        is_alone: true,
        takes_all_sizes: false,
        workers: None,
        backend: fault.to_owned(),
        reference: IODUEL.into(),
        patience: Duration::from_secs(10),
        link: LinkShape::default(),
    })
}

fn has_python() -> bool {
    let mut python = Command::new("python3");
    python.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

/// The first case that a server fails, and what is said of it.
fn first_failure(subject: &Subject) -> Option<(&'static str, String)> {
    conform::run(subject, |_| true).unwrap().find_map(|outcome| match outcome.verdict {
        Verdict::Failed(error) => Some((outcome.case.name, format!("{error:#}"))),
        Verdict::Passed | Verdict::NotRun(_) | Verdict::Skipped(_) => None,
    })
}

/// The smallest errors that people make: which case finds each, and what it says.
const ERRORS: [(&str, &str, &str); 14] = [
    ("prefix", "a server answers the messages of a session", "expected \"Re:1 - Send Message\", got \"RE:"),
    ("no-prefix", "a server answers the messages of a session", "got \"1 - Send"),
    ("newline", "a server answers the messages of a session", "got \"\\n\""),
    (
        "one-at-a-time",
        "a server answers whoever is connected, in whatever order",
        "on the last of three connections",
    ),
    (
        "first-client",
        "a server answers the messages of a session",
        "it ended when its first client had closed",
    ),
    ("elsewhere", "a server answers the messages of a session", "nothing listens at"),
    ("half-close", "a server answers the messages of a session", "expected the end, got nothing in 10 s"),
    ("ahead", "a server answers random messages, each once it is whole", "expected nothing yet, got"),
    ("split", "a server sends each reply whole", "in parts"),
    ("no-nodelay", "a server sends each reply at once", "TCP_NODELAY"),
    ("one-read", "a server answers random messages, each once it is whole", "expected nothing yet, got"),
    ("reset", "a reset costs only its own connection", "a healthy session"),
    ("spins", "idle connections take no processor time, and delay no other", "% of a processor"),
    ("crowd", "a server holds a thousand connections at once", "with 1000 connections open"),
];

#[test]
fn each_small_error_of_a_server_is_told_in_one_line() {
    std::thread::scope(|scope| {
        for (fault, case, words) in ERRORS {
            let check = move || {
                let Some(subject) = faulty(fault) else { return };
                let (found, why) = first_failure(&subject).unwrap_or_else(|| panic!("{fault} passes"));
                assert_eq!(found, case, "{fault}: {why}");
                assert!(why.contains(words), "{fault}: {why}");
                assert_eq!(why.lines().count(), 1, "{fault}: {why}");
            };
            scope.spawn(check);
        }
    });
}

#[test]
fn a_server_that_is_right_stands_the_kit_also_when_it_forks_for_each_connection() {
    for fault in ["none", "forks"] {
        let Some(subject) = faulty(fault) else { return };
        assert_eq!(first_failure(&subject), None, "{fault}");
    }
}

#[test]
fn a_server_that_forks_is_charged_for_its_children_in_whole_rounds_and_refused_in_slices() {
    if !has_python() {
        eprintln!("skipped: no Python here");
        return;
    }
    let folder = Folder::new("forks");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
    let server = |more| format!("server = \"python3 {} forks {{address}}\"\n{more}", file.display());
    folder.write("forks", &server(""));
    let told = run(&folder, &["epoll", "--server", "forks", "--duration", "500ms"]);
    let cpu = told["server_cpu_us_per_message"].as_f64().unwrap();
    assert!(cpu > 1.0, "{cpu} µs a message");
    folder.write("forks", &server("slices = true\n"));
    let out = folder.0.join("out");
    let words =
        ["duel", "epoll", "mio", "forks", "--quick", "--epochs", "1", "--workload", "session", "--out"];
    let (_, stdout, stderr) = folder.ioduel(&[&words[..], &[out.to_str().unwrap()]].concat());
    assert!(stdout.contains("forks: it starts and ends processes while it runs"), "{stdout}{stderr}");
}

/// A contestant that a shell makes of this program's `mio`, with an edit of what it is asked and one of what it says.
fn that_lies(folder: &Folder, name: &str, asked: &str, said: &str) {
    folder.enter(name, &format!("sed -u 's/{name}/mio/; {asked}' | {IODUEL} agent | sed -u '{said}'"));
}

fn run(folder: &Folder, words: &[&str]) -> Value {
    let (code, stdout, stderr) = folder.ioduel(&[&["run"], words, &["--json"]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

fn flags(run: &Value) -> String {
    run["flags"].to_string()
}

#[test]
fn a_program_is_charged_what_the_kernel_says_and_not_what_it_says() {
    let folder = Folder::new("cpu");
    that_lies(&folder, "liar", "", r#"s/"user_s":[^,]*/"user_s":0/; s/"system_s":[^,]*/"system_s":0/"#);
    let told = run(&folder, &["liar", "--duration", "500ms"]);
    let server = told["server_cpu_us_per_message"].as_f64().unwrap();
    assert!(server > 1.0, "{server} µs a message");
}

#[test]
fn counts_that_do_not_fit_and_a_window_of_its_own_are_named() {
    let folder = Folder::new("counts");
    // Honest as long as the numbers are small, as they are before it may take part.
    let more = r#"s/"messages_in_all":\([0-9]\{4,\}\),/"messages_in_all":1\1,/"#;
    that_lies(&folder, "boaster", "", more);
    let told = run(&folder, &["boaster", "--duration", "500ms"]);
    assert!(flags(&told).contains("untrue: the client tells"), "{}", flags(&told));
    that_lies(&folder, "slowpoke", r#"s/"window_ms":500/"window_ms":1500/"#, "");
    let told = run(&folder, &["slowpoke", "--duration", "500ms"]);
    assert!(flags(&told).contains("untrue: its window is 1.5"), "{}", flags(&told));
}

#[test]
fn a_child_that_stays_is_named_and_ended_also_where_it_has_left_the_group() {
    let folder = Folder::new("stays");
    folder.enter("stays", &format!("setsid sleep 4711 & sed -u 's/stays/mio/' | {IODUEL} agent"));
    let out = folder.0.join("out");
    let (code, _, stderr) = folder.ioduel(&[
        "duel",
        "epoll",
        "mio",
        "stays",
        "--quick",
        "--epochs",
        "1",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("left behind: sleep"), "{stderr}");
    assert!(!runs("4711"), "the child is still there");
}

/// Whether a process runs that was started with this word.
fn runs(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.split(|byte| *byte == 0).any(|is| is == word.as_bytes()))
}

#[test]
fn what_builds_a_contestant_ends_with_a_ctrl_c() {
    let folder = Folder::new("building");
    folder.write("slow", "command = \"true\"\nbuild = \"sleep 4712\"\n");
    let mut run = Command::new(IODUEL);
    run.env("IODUEL_CONTESTANTS", &folder.0).args(["run", "slow"]).process_group(0);
    let mut running = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the build", || runs("4712"));
    // As a terminal does it: to the whole group.
    killpg(Pid::from_raw(running.id().cast_signed()), Signal::SIGINT).unwrap();
    running.wait().unwrap();
    wait_until("its end", || !runs("4712"));
}

#[test]
fn what_lies_in_the_current_folder_is_neither_read_nor_run() {
    let folder = Folder::new("security");
    let contestants = folder.0.join("contestants");
    fs::create_dir(&contestants).unwrap();
    let mark = folder.0.join("mark");
    let text = format!(
        "name = \"mine\"\nsummary = \"-\"\nkind = {{ model = \"readiness\", threading = \"single\" }}\n\
         command = \"true\"\nversion = \"touch {}\"\n",
        mark.display()
    );
    fs::write(contestants.join("mine.toml"), text).unwrap();
    let listed = |words: &[&str]| {
        let output = Command::new(IODUEL).current_dir(&folder.0).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains("mine")
    };
    assert!(!listed(&["list"]) && !mark.exists());
    assert!(listed(&["--contestants", "contestants", "list"]) && mark.exists());
}

#[test]
fn a_first_server_in_each_language_is_measured_by_one_command() {
    let languages = [("python", "python3"), ("c", "cc"), ("rust", "rustc"), ("go", "go")];
    for (language, needs) in languages {
        let is_there = |needs: &str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&paths).any(|path| path.join(needs).exists())
        };
        if !is_there(needs) {
            eprintln!("skipped: no {needs} here");
            continue;
        }
        let folder = Folder::new(language);
        let out = folder.0.to_str().unwrap();
        let (code, printed, stderr) = folder.ioduel(&["new", "mine", "--language", language, "--out", out]);
        assert_eq!(code, Some(0), "{stderr}");
        let command = printed.lines().last().unwrap();
        let words: Vec<OsString> =
            shell_words::split(command).unwrap().into_iter().map(OsString::from).collect();
        let written =
            fs::read_dir(folder.0.join("mine")).unwrap().chain(fs::read_dir(&folder.0).unwrap()).flatten();
        let files = written.filter(|entry| entry.path().is_file());
        let lines: usize = files.map(|entry| fs::read_to_string(entry.path()).unwrap().lines().count()).sum();
        assert!(lines <= 60, "{language}: {lines} lines");
        let records = folder.0.join("records");
        let duel = Command::new(IODUEL)
            .args(&words[1..])
            .args(["--quick", "--epochs", "3", "--out"])
            .arg(records)
            .output();
        let duel = duel.unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&duel.stdout), String::from_utf8_lossy(&duel.stderr));
        assert!(duel.status.success(), "{language}: {stderr}");
        assert!(
            stdout.contains("the same client against each server") && stdout.contains("mine"),
            "{stdout}"
        );
    }
}
