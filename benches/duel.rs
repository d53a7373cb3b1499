//! The interleaved comparison under `cargo bench`: all backends in the headline workload, recorded in results/.
//!
//! Not criterion: it measures one backend after the other, and on a shared machine that calls identical programs
//! different. Nothing but the program itself is linked here: it knows how to be a bench.

use std::{io, os::unix::process::CommandExt as _, process::Command};

#[path = "common/program.rs"]
mod program;

fn main() -> io::Result<()> {
    let words = std::env::args_os().skip(1);
    // Nothing comes back from a program that runs.
    Err(Command::new(program::program()).arg("bench").arg("--").args(words).exec())
}
