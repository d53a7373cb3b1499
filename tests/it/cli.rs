//! The program, used as a person would.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use ioduel::{
    backend::all,
    conform::peers::{answer_all, raw_server},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::peers::{PATIENCE, connect, wait_until};

fn ioduel(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ioduel"));
    command.args(words).stdin(Stdio::null());
    command
}

fn output(words: &[&str]) -> Output {
    ioduel(words).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Runs what must fail with one line that holds these words.
fn refuses(words: &[&str], code: i32, expected: &str) {
    let output = output(words);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
    assert!(error.contains(expected), "{words:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{words:?}: one line: {error}");
    assert_eq!(stdout(&output), "");
}

/// A `serve` that listens, and where. Dropping it ends it.
struct Serve {
    child: Child,
    address: SocketAddr,
    /// Kept open, or the child would write into a closed pipe.
    _stderr: BufReader<std::process::ChildStderr>,
}

impl Serve {
    fn start(words: &[&str]) -> Self {
        let all = [&["serve"], words, &["--listen", "127.0.0.1:0"]].concat();
        let mut child = ioduel(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        // Notes may come first, of what the machine lacks.
        while !line.contains(" serves at ") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it serves");
        }
        let address = line.split_whitespace().nth(3).unwrap().trim_end_matches(';');
        let address = address.parse().unwrap_or_else(|_| panic!("{line}"));
        Self { child, address, _stderr: stderr }
    }

    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn list_shows_every_backend_with_its_locked_version() {
    let output = output(&["list"]);
    let text = stdout(&output);
    for backend in all() {
        let about = backend.about();
        assert!(text.contains(about.name) && text.contains(&about.version()), "{text}");
    }
    assert!(text.contains("RUSTSEC-2025-0052"));
}

#[test]
fn serve_is_the_original_server_and_ends_cleanly_on_either_signal() {
    for (backend, signal) in all().iter().zip([Signal::SIGINT, Signal::SIGTERM].into_iter().cycle()) {
        let name = backend.about().name;
        let serve = Serve::start(&[name]);
        let mut original = connect(serve.address);
        (1..=8).for_each(|n| original.exchange(n).unwrap());
        // Open beside the first, so that how many there are at a time does not depend on when a
        // server counts a close; and open to the end, where the server closes it.
        let mut idle = connect(serve.address);
        idle.exchange(1).unwrap();
        original.half_close().unwrap();
        original.expect_end().unwrap();
        let (code, totals) = serve.end(signal);
        assert_eq!(code, Some(0), "{name}");
        assert_eq!(
            totals, "served 2 connections (2 at most at a time), 9 messages; 0 connections failed\n",
            "{name}"
        );
        idle.expect_end().unwrap();
    }
}

#[test]
fn a_client_alone_shows_the_eight_exchanges() {
    let serve = Serve::start(&["epoll"]);
    let address = serve.address.to_string();
    for backend in all() {
        let output = output(&["client", backend.about().name, "--connect", &address]);
        let mut expected = format!("connected to {address}\n");
        for n in 1..=8 {
            expected +=
                &format!("sent \"{n} - Send Message\"\nreceived \"Re:{n} - Send Message\" (19 bytes)\n");
        }
        assert_eq!(stdout(&output), expected + "closed\n");
        assert!(output.status.success());
    }
}

#[test]
fn a_client_with_many_sessions_prints_a_table_or_json() {
    let serve = Serve::start(&["tokio"]);
    let address = serve.address.to_string();
    let client = |more: &[&str]| output(&[&["client", "mio", "--connect", &address], more].concat());

    let output = client(&["--connections", "4", "--sessions", "40"]);
    let text = stdout(&output).to_owned();
    for word in ["40 sessions", "sessions/s", "messages/s", "connect", "round trip", "p99.9", "max"] {
        assert!(text.contains(word), "{word}: {text}");
    }

    let output = client(&["--duration", "100ms", "--json"]);
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert!(json["sessions"].as_u64().unwrap() > 0);
    assert!(json["round_trip_us"]["p99"].as_f64().unwrap() > 0.0);
}

#[test]
fn an_interrupted_client_prints_what_it_has_and_exits_130() {
    let answered = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&answered);
    let server = raw_server(usize::MAX, PATIENCE, move |_, mut stream| {
        answer_all(&mut stream)?;
        seen.fetch_add(1, Relaxed);
        Ok(())
    });
    let address = server.unwrap().address.to_string();
    let words = ["client", "tokio", "--connect", &address, "--duration", "1h", "--json"];
    let child = ioduel(&words).stdout(Stdio::piped()).spawn().unwrap();
    wait_until("it has something to print", || answered.load(Relaxed) > 10);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert!(json["sessions"].as_u64().unwrap() > 0);
}

#[test]
fn run_prints_the_fields_that_it_promises() {
    for workload in ["session", "solo", "crowd", "stream", "bulk"] {
        let words =
            ["run", "epoll", "--server", "tokio", "--workload", workload, "--duration", "2s", "--json"];
        let output = output(&words);
        assert!(output.status.success(), "{workload}: {}", stderr(&output));
        let json: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
        assert_eq!((&json["backend"], &json["server"]), (&"epoll".into(), &"tokio".into()));
        assert_eq!(json["workload"], workload);
        assert_eq!(json["errors"], 0);
        for field in ["sessions_per_second", "server_cpu_us_per_message", "client_cpu_us_per_message"] {
            assert!(json[field].as_f64().unwrap() >= 0.0, "{field}");
        }
        assert!(json["messages_per_second"].as_f64().unwrap() > 0.0);
        // Where no session ended, as of long ones on a busy machine, there is nothing to tell of one.
        let of_sessions = json["sessions"].as_u64().unwrap() > 0;
        for field in ["connect_us", "round_trip_us", "session_us"] {
            if !of_sessions && field != "round_trip_us" {
                continue;
            }
            for figure in ["p50", "p90", "p99", "p999", "max", "mean"] {
                assert!(json[field][figure].is_f64(), "{field} {figure}");
            }
        }
        assert!(json["flags"].is_array());
    }
}

#[test]
fn a_wrong_command_line_is_told_in_one_line() {
    refuses(&["run", "tokyo"], 2, "did you mean \"tokio\"?");
    refuses(&["serve", "smoll"], 2, "did you mean \"smol\"?");
    refuses(&["run", "tokio", "--workload", "sesion"], 2, "there are session, solo, crowd, stream, bulk");
    refuses(&["run", "tokio", "--duration", "soon"], 2, "write it like 5s, 500ms or 1m");
    refuses(&["run", "tokio", "--duration", "0s"], 2, "not between 1ms and 24h");
    refuses(&["run", "tokio", "--server-cpus", "x"], 2, "write it like 0 or 0-3 or 0,2");
    refuses(&["run", "tokio", "--server-cpus", "1000"], 2, "processor 1000 is not available");
    refuses(&["run", "tokio-current", "--workers", "2"], 2, "leave --workers out");
    refuses(
        &["client", "tokio", "--messages", "65536"],
        2,
        "in a session of 65536 messages, a message must have at least 20 bytes, not 16",
    );
    refuses(&["client", "tokio", "--sessions", "0"], 2, "at least 1");
    refuses(&["client", "tokio", "--connect", "localhost"], 2, "write it like 127.0.0.1:31400 or localhost");
    refuses(&["bisect", "tokio-current", "1.54.1..1.40.0"], 2, "1.54.1 is not older than 1.40.0");
    refuses(&["conform", "no-such-program"], 2, "there is no program no-such-program");
    refuses(&["client", "tokio", "--connections", "10000000"], 1, "descriptors");
    refuses(&["serve", "tokio", "--message-size", "0"], 2, "a message must be 1 to");
    refuses(&["serve", "tokio", "--listen", "nowhere"], 2, "invalid socket address");
    refuses(&["conform"], 2, "name a program");
    refuses(&["conform", "--backend", "tokyo"], 2, "did you mean \"tokio\"?");
    refuses(&["conform", "--case", "no such", "true"], 2, "`ioduel conform --list` shows all");
    refuses(&["agent", "--", "no-such-program"], 1, "cannot start \"no-such-program\"");
}

#[test]
fn help_has_an_example_for_each_subcommand() {
    let subcommands =
        ["list", "serve", "client", "run", "duel", "report", "compare", "doctor", "conform", "agent"];
    for subcommand in subcommands {
        let output = output(&[subcommand, "--help"]);
        assert!(output.status.success());
        assert!(stdout(&output).contains("Example"), "{subcommand}");
    }
    assert_eq!(output(&[]).status.code(), Some(2), "help alone is no success");
}

#[test]
fn bad_peers_are_told_in_one_line() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    refuses(&["client", "tokio", "--connect", &free], 1, "is a server running there?");

    let serve = Serve::start(&["threads"]);
    let taken = serve.address.to_string();
    refuses(&["serve", "tokio", "--listen", &taken], 1, "choose another with --listen");

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let _ = stream.unwrap().write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
        }
    });
    for backend in all() {
        let words = ["client", backend.about().name, "--connect", &address, "--sessions", "1"];
        refuses(&words, 1, "is the peer an echo server of the same message size?");
    }
}

#[test]
fn a_peer_that_stays_silent_is_told_and_no_hang() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    refuses(&["client", "smol", "--connect", &address, "--sessions", "1"], 1, "no reply from 127.0.0.1");
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_not() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = ioduel(&["list"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot write to standard output: No space left"),
        "{}",
        stderr(&output)
    );

    let mut child = ioduel(&["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}
