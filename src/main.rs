//! The program: parse, run, print the error, exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ioduel::main(&[])
}
