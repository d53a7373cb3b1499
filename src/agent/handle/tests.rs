//! Agents that are no agents: shells.

use std::ffi::OsString;

use super::*;

/// An agent that is no agent: a shell that runs `script`.
fn shell(script: &str) -> Agent {
    let command = ["sh", "-c", script].map(OsString::from).to_vec();
    Agent::start(&AgentCommand { name: "server x".to_owned(), command, is_supervised: false }).unwrap()
}

fn complaint(script: &str, patience: Duration) -> String {
    format!("{:#}", shell(script).ask(&Request::Cost, patience).unwrap_err())
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_hang_is_ended_and_names_who_was_asked_what() {
    let begun = Instant::now();
    let message = complaint("sleep 60", Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(30), "it was not waited for");
    assert_eq!(
        message,
        "server x: hangs: no reply in 0.3 s when asked to tell its CPU time and memory; ended"
    );
}

#[test]
fn a_death_tells_the_exit_status() {
    let message = complaint("exit 7", LONG);
    assert_eq!(message, "server x: ended (exit status: 7) when asked to tell its CPU time and memory");
}

#[test]
fn what_is_no_reply_is_shown() {
    let message = complaint("read line; echo hello; read line", LONG);
    assert!(message.contains("it answered \"hello\", which is not the JSON"), "{message}");
}

#[test]
fn what_is_said_unasked_and_what_goes_on_is_told() {
    let ended =
        |script: &str| shell(script).end(Duration::from_millis(300)).err().map(|error| error.to_string());
    assert_eq!(ended("read line"), None);
    let expected = "server x: unasked, it said \"bye\"";
    assert_eq!(ended("read line; echo bye; echo bye").as_deref(), Some(expected));
    let expected = "server x: still runs 0.3 s after its input ended; ended";
    assert_eq!(ended("sleep 60").as_deref(), Some(expected));
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let command = AgentCommand {
        name: "client y".to_owned(),
        command: vec!["no-such-program".into()],
        is_supervised: false,
    };
    let message = format!("{:#}", Agent::start(&command).unwrap_err());
    assert!(message.starts_with("client y: cannot start \"no-such-program\""), "{message}");
}
