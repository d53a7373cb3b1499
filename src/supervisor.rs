//! Keeps a program of somebody else as an agent: starts it, tells from outside what it spends, and leaves nothing of it behind.
//!
//! A supervisor is a process of this program, between the one who asks and the program that is asked. It runs where that
//! program runs, also behind a prefix to another machine. All that the program starts, and all that those start, stay below it
//! in the tree of processes (PR_SET_CHILD_SUBREAPER, prctl(2)), so nobody's CPU time can get lost, and nobody can stay.
//!
//! Absent from here: what the program is asked; and any belief in what it says of its own cost.

mod alone;
mod meter;
mod relay;
mod tree;

use std::{
    ffi::OsString,
    io,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

pub use alone::serve_alone;
pub use relay::relay;

/// Ends all below this process, and then itself, once it is told to (SIGTERM, SIGHUP).
///
/// # Errors
/// When signals can't be handled.
pub fn end_all_when_told() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        tree::end_all();
        std::process::exit(143);
    })
}

/// The words that become a command, and end with this process: what `ioduel agent --with-parent PID -- COMMAND` makes of itself.
fn bound_to_this_process(command: &[OsString]) -> io::Result<Vec<OsString>> {
    let own = crate::processes::own_program()?;
    let number = std::process::id().to_string();
    let before = [own.into(), "agent".into(), "--with-parent".into(), number.into(), "--".into()];
    Ok(before.into_iter().chain(command.iter().cloned()).collect())
}

/// Starts a program that is asked and answers by lines, in the group of this process: who is stopped with it stands still.
fn start_asked(command: &[OsString]) -> io::Result<(Child, ChildStdin, ChildStdout)> {
    let words = bound_to_this_process(command)?;
    let mut started = Command::new(&words[0]);
    started.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = started.spawn()?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    Ok((child, input.expect("standard input is a pipe"), output.expect("standard output is a pipe")))
}
