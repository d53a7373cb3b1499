//! Hands requests to a program and its answers back, with what it has spent in place of what it says.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{ChildStdout, ExitCode, ExitStatus},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::{Signal, raise};

use super::{meter::Meter, start_asked, tree};
use crate::agent::LONGEST_LINE_BYTES;

/// How long what a program has said may take to be handed on once it has ended.
const UNTIL_TOLD: Duration = Duration::from_millis(200);

/// Runs a program as an agent, until it ends; and ends as it did.
///
/// # Errors
/// When it can't be started, or standard output can't be written any more.
pub fn relay(command: &[OsString]) -> anyhow::Result<ExitCode> {
    tree::keep_all()?;
    let (mut child, mut input, output) = start_asked(command).context("cannot start it")?;
    let mut meter = Meter::new(child.id());
    // Ends with this process at the latest; its own end closes the program's input.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut input);
    });
    let (told_all, wait_until_told) = channel();
    thread::spawn(move || {
        let relayed = relay_answers(output, &mut meter);
        // Nobody waits any more where the program ended first.
        let _ = told_all.send(relayed);
    });
    let status = child.wait()?;
    // What it has started may keep its output open.
    if let Ok(relayed) = wait_until_told.recv_timeout(UNTIL_TOLD) {
        relayed?;
    }
    end_the_rest()?;
    as_it_ended(status)
}

fn relay_answers(output: ChildStdout, meter: &mut Meter) -> anyhow::Result<()> {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.by_ref().take(LONGEST_LINE_BYTES).read_until(b'\n', &mut line)? > 0 {
        let told = with_cost(&line, meter).unwrap_or_else(|| std::mem::take(&mut line));
        let mut out = io::stdout().lock();
        out.write_all(&told).and_then(|()| out.flush()).context("cannot write the reply")?;
        line.clear();
    }
    Ok(())
}

/// An answer with what was spent since the one before; `None` where it is none.
fn with_cost(line: &[u8], meter: &mut Meter) -> Option<Vec<u8>> {
    let mut reply: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).ok()?;
    reply.insert("cost".to_owned(), serde_json::to_value(meter.read()).ok()?);
    let mut told = serde_json::to_vec(&reply).ok()?;
    told.push(b'\n');
    Some(told)
}

/// Ends what the program has left behind, and says so in its place.
fn end_the_rest() -> anyhow::Result<()> {
    // Helpers that end a moment later have done nothing wrong.
    let deadline = Instant::now() + UNTIL_TOLD;
    let mut left = tree::running();
    while !left.is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
        left = tree::running();
    }
    tree::end_all();
    if left.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "it ended and left behind: {}", left.join(", ")).and_then(|()| out.flush())?;
    Ok(())
}

/// Ends this process as another has ended.
fn as_it_ended(status: ExitStatus) -> anyhow::Result<ExitCode> {
    if let Some(signal) = status.signal() {
        raise(Signal::try_from(signal)?)?;
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
