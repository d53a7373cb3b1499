//! The conformance kit, held against agents of which each does one thing wrong.

use std::{
    ffi::OsString,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use ioduel::{
    conform::{self, Case, Side, Subject, Verdict},
    net::LinkShape,
};

const IODUEL: &str = env!("CARGO_BIN_EXE_ioduel");

/// An agent that a shell makes of `$0`, which is this program.
fn made_by(script: &str) -> Subject {
    Subject {
        command: ["sh", "-c", script, IODUEL].map(OsString::from).to_vec(),
        is_alone: false,
        takes_all_sizes: true,
        workers: None,
        backend: "mio".to_owned(),
        reference: IODUEL.into(),
        patience: Duration::from_secs(5),
        link: LinkShape::default(),
    }
}

/// A right agent, but for what stands between it and its answers.
fn that_answers(edit: &str) -> Subject {
    made_by(&format!("\"$0\" agent | sed -u '{edit}'"))
}

/// A right agent, but for what stands between it and its requests.
fn that_is_asked(edit: &str) -> Subject {
    made_by(&format!("sed -u '{edit}' | \"$0\" agent"))
}

/// The failures among the chosen cases: their names, and what is said of each.
fn failures(subject: &Subject, chosen: impl Fn(&Case) -> bool) -> Vec<(&'static str, String)> {
    let outcomes = conform::run(subject, chosen).unwrap();
    outcomes
        .filter_map(|outcome| match outcome.verdict {
            Verdict::Failed(error) => Some((outcome.case.name, format!("{error:#}"))),
            Verdict::Passed => None,
            // The reference has no threads for what blocks.
            Verdict::NotRun(why) if why.contains("nothing to have blocking work done by") => None,
            Verdict::NotRun(why) => panic!("{}: not run: {why}", outcome.case.name),
            Verdict::Skipped(first) => panic!("{}: not run, as {} failed", outcome.case.name, first.name),
        })
        .collect()
}

/// Checks that exactly these cases fail of a side, and that each says so.
fn fails_only(subject: &Subject, side: Side, expected: &[(&str, &str)]) {
    let got = failures(subject, |case| case.side == side);
    let names: Vec<_> = got.iter().map(|(name, _)| *name).collect();
    let expected_names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected_names, "{got:#?}");
    for ((name, why), (_, words)) in got.iter().zip(expected) {
        assert!(why.contains(words), "{name}: {why}");
        assert_eq!(why.lines().count(), 1, "{name}: {why}");
    }
}

#[test]
fn what_stands_between_is_no_fault_by_itself() {
    for side in [Side::Agent, Side::Server, Side::Client] {
        fails_only(&that_answers(""), side, &[]);
    }
}

#[test]
fn a_server_that_counts_no_failures_fails_where_there_are_some() {
    let expected = [
        (
            "a close inside a message costs only its own connection",
            "sent \"2 - Send\" and a close: failures counted: expected 1, got 0",
        ),
        (
            "a reset costs only its own connection",
            "sent \"2 - Send\" and a reset: failures counted: expected 1, got 0",
        ),
        (
            "a reset in the middle of a reply costs only its own connection",
            "a reset in the middle of a reply: failures counted: expected 1, got 0",
        ),
    ];
    let subject = that_answers("s/\"failures\":1,\"most_open\"/\"failures\":0,\"most_open\"/");
    fails_only(&Subject { patience: Duration::from_secs(2), ..subject }, Side::Server, &expected);
}

#[test]
fn counts_that_are_not_what_happened_are_told() {
    let subject = that_answers("s/\"messages\":400,/\"messages\":401,/");
    let expected = ("a server's counts are what happened", "messages counted: expected 400, got 401");
    fails_only(&subject, Side::Server, &[expected]);

    let subject = that_answers("s/\"messages_in_all\":320,/\"messages_in_all\":319,/");
    let expected = ("a client's counts are what happened", "messages_in_all: expected 320, got 319");
    fails_only(&subject, Side::Client, &[expected]);
}

#[test]
fn a_cost_that_is_not_what_the_kernel_charges_is_told() {
    let subject =
        that_answers("s/\"user_s\":[0-9.e-]*,\"system_s\":[0-9.e-]*/\"user_s\":0.0,\"system_s\":0.0/");
    let says = ", it says 0.000 s";
    let spent = "expected 0.256 s of CPU time and a little more, got 0.000";
    let expected = [
        ("a server's cost is what the kernel charges it", says),
        ("a server computes for as long as a message asks", spent),
    ];
    fails_only(&subject, Side::Server, &expected);
    fails_only(&subject, Side::Client, &[("a client's cost is what the kernel charges it", says)]);
}

#[test]
fn a_server_that_takes_a_wrong_size_for_a_message_is_told_at_once_and_the_rest_is_left_out() {
    let subject = that_is_asked("s/\"fixed\":{\"message_bytes\":16}/\"fixed\":{\"message_bytes\":15}/");
    let outcomes: Vec<_> = conform::run(&subject, |case| case.side == Side::Server).unwrap().collect();
    let Verdict::Failed(why) = &outcomes[0].verdict else { panic!("{outcomes:?}") };
    let expected = "sent \"1 - Send Message\": expected \"Re:1 - Send Message\", got \"Re:1 - Send Messag\"";
    assert!(format!("{why:#}").starts_with(expected), "{why:#}");
    let left_out = |outcome: &conform::Outcome| matches!(outcome.verdict, Verdict::Skipped(_));
    assert!(outcomes[1..].iter().all(left_out), "{outcomes:?}");
}

#[test]
fn a_server_that_knows_no_chunks_fails_that_alone() {
    let subject = that_is_asked("s/\"framing\":\"chunk\"/\"framing\":{\"fixed\":{\"message_bytes\":16}}/");
    let expected = (
        "a chunk server answers whatever a read returns",
        "sent \"hello\": expected \"Re:hello\", got nothing, then nothing in 3 s",
    );
    fails_only(&Subject { patience: Duration::from_secs(3), ..subject }, Side::Server, &[expected]);
}

#[test]
fn a_client_that_keeps_to_one_destination_fails_that_alone() {
    let subject = that_is_asked("s/\"destinations\":\\[\\(\"[^\"]*\"\\),[^]]*\\]/\"destinations\":[\\1]/");
    let expected = (
        "a client's sessions rotate over all destinations",
        "10 sessions to 2 destinations: expected 5 and 5, got 10 and 0",
    );
    fails_only(&subject, Side::Client, &[expected]);
}

#[test]
fn a_client_that_names_the_wrong_message_fails_that_alone() {
    let subject = that_answers("s/message 3: wrong byte/message 4: wrong byte/");
    let expected = (
        "one wrong byte fails the load, and is told exactly",
        "expected a failure that names \"message 3\", got \"the program under test: session 2, message 4: wrong byte",
    );
    fails_only(&subject, Side::Client, &[expected]);
}

#[test]
fn a_client_that_runs_on_or_measures_another_time_fails_that_alone() {
    let name = "a timed load ends in time, and its numbers fit together";
    let subject = that_is_asked("s/\"window_ms\":200}},\"workers\"/\"window_ms\":350}},\"workers\"/");
    let expected = [(name, "window_s: expected 0.2, got 0.35")];
    fails_only(&subject, Side::Client, &expected);

    let subject = that_is_asked("s/\"ramp_ms\":50,\"window_ms\":200/\"ramp_ms\":50,\"window_ms\":60000/");
    let expected =
        [(name, "the program under test: hangs: no reply in 2 s when asked to drive 8 connections")];
    fails_only(&Subject { patience: Duration::from_secs(2), ..subject }, Side::Client, &expected);
}

#[test]
fn an_agent_that_stays_is_told() {
    let subject = made_by("\"$0\" agent; exec >&-; sleep 60");
    let subject = Subject { patience: Duration::from_secs(1), ..subject };
    let stays = "the program under test: still runs 1 s after its input ended; ended";
    let expected = [
        ("an agent exits at the end of its input", stays),
        ("an agent exits at the end of its input while it serves", stays),
        ("an agent exits at the end of its input while it drives", stays),
    ];
    let got = failures(&subject, |case| case.name.contains("exits"));
    assert_eq!(got, expected.map(|(name, why)| (name, why.to_owned())));
}

/// Checks that nothing but the first case is run of what is no agent, and what is said of it.
fn is_no_agent(script: &str, expected: &str) {
    let begun = Instant::now();
    let subject = Subject { patience: Duration::from_secs(1), ..made_by(script) };
    let outcomes: Vec<_> = conform::run(&subject, |_| true).unwrap().collect();
    let Verdict::Failed(why) = &outcomes[0].verdict else { panic!("{outcomes:?}") };
    assert!(format!("{why:#}").starts_with(expected), "{script}: {why:#}");
    assert!(outcomes[1..].iter().all(|outcome| matches!(outcome.verdict, Verdict::Skipped(_))));
    assert!(begun.elapsed() < Duration::from_secs(20), "{script}: {:?}", begun.elapsed());
}

#[test]
fn what_is_no_agent_is_told_in_one_line_and_soon() {
    let asked = "when asked to tell its CPU time and memory";
    is_no_agent("exit 7", &format!("the program under test: ended (exit status: 7) {asked}"));
    is_no_agent("exec sleep 60", &format!("the program under test: hangs: no reply in 1 s {asked}; ended"));
    is_no_agent(
        "exec cat",
        "the program under test: asked to tell its CPU time and memory, it answered \"{\\\"request",
    );
    is_no_agent(
        "exec yes",
        "the program under test: asked to tell its CPU time and memory, it answered \"y\", which is not the JSON",
    );
    is_no_agent(
        "while read x; do echo '{\"cost\":{}}'; done",
        "the program under test: asked to tell its CPU time and memory, it",
    );
    is_no_agent("\"$0\" agent | sed -u p", "the program under test: unasked, it said \"{");
    is_no_agent("exec no-such-program 2>&-", "the program under test: ended (exit status: 127)");
}

fn ioduel(words: &[&str]) -> Output {
    Command::new(IODUEL).args(words).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_command_prints_a_line_for_each_case_and_a_sum() {
    let output = ioduel(&["conform", "--backend", "epoll", "--case", "one line"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert!(text.starts_with("Each line is a requirement."), "{text}");
    assert_eq!(
        lines,
        ["ok       an agent answers every request with one line of JSON", "1 passed, 0 failed"]
    );
    assert_eq!(output.status.code(), Some(0));

    let output = ioduel(&["conform", "--case", "its input", "sh", "-c", "exit 3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(
        "FAILED:  an agent exits at the end of its input while it serves\n         the program under test: ended"
    ));
    assert!(text.ends_with("\n1 passed, 2 failed\n"), "to end is all that it can: {text}");
    assert_eq!(output.status.code(), Some(1));

    let output = ioduel(&["conform", "--json", "--case", "one line", "sh", "-c", "exit 3"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["side"], &json["verdict"]), (&"agent".into(), &"failed".into()));
    assert_eq!(
        json["why"],
        "the program under test: ended (exit status: 3) when asked to tell its CPU time and memory"
    );
}

#[test]
fn the_cases_of_a_side_can_be_listed() {
    let listed = |words: &[&str]| {
        let output = ioduel(&[&["conform", "--list"], words].concat());
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(listed(&[]).len(), conform::CASES.len());
    assert_eq!(listed(&["--json"]).len(), conform::CASES.len());
    let server = listed(&["--side", "server"]);
    assert!(
        server.iter().all(|line| line.starts_with("server ") || line.starts_with("agent ")),
        "{server:?}"
    );
}
