//! Standard output and standard error: what happens when they are closed, full, or no terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// Standard output was closed by its reader.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(super) struct OutputClosed;

/// Prints a result.
///
/// # Errors
/// [`OutputClosed`] when nobody reads any more, or what else keeps it from being written, such as a full disk.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written =
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => OutputClosed.into(),
        _ => anyhow::anyhow!("cannot write to standard output: {error}"),
    })
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Tells what is no result.
pub(super) fn tell(text: &str) {
    // When standard error is gone, nobody is there to be told.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells an error.
pub(super) fn complain(text: &str) {
    tell(&format!("error: {text}"));
}

/// Whether results are read on a terminal, and not by a program or from a file.
pub(super) fn is_for_a_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The columns that there are to print in: what COLUMNS says, or the terminal, or eighty.
pub(super) fn columns() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    said.or_else(terminal).filter(|columns| *columns > 0).unwrap_or(80)
}

/// Whether [`progress`] shows anything.
pub(super) fn shows_progress() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Shows how far something has come, where standard error is a terminal, in place of what was shown before.
pub(super) fn progress(text: &str) {
    if shows_progress() {
        let mut err = io::stderr();
        // When standard error is gone, nobody is there to be told.
        let _ = write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush());
    }
}

/// Tells that something is being built: how far, where standard error is a terminal; elsewhere that it has begun.
pub(super) fn building(text: &str) {
    match (shows_progress(), text.contains(": ")) {
        (true, _) => progress(text),
        (false, false) => tell(text),
        (false, true) => {}
    }
}

/// Looks now and then how far something has come while `work` is done, and shows it where standard error is a
/// terminal: a position, of `total`, and a few words.
pub(super) fn with_progress<T>(
    total: u64,
    mut look: impl FnMut() -> (u64, String) + Send,
    work: impl FnOnce() -> T,
) -> T {
    const EVERY: Duration = Duration::from_millis(100);
    let style = ProgressStyle::with_template("{bar:30} {msg}").expect("a constant that indicatif takes");
    let bar = ProgressBar::new(total).with_style(style);
    let (done, wait_until_done) = std::sync::mpsc::channel::<()>();
    let result = std::thread::scope(|scope| {
        let bar = &bar;
        scope.spawn(move || {
            while wait_until_done.recv_timeout(EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let (position, message) = look();
                bar.set_message(message);
                bar.set_position(position);
            }
        });
        let result = work();
        drop(done);
        result
    });
    bar.finish_and_clear();
    result
}
