//! The interleaved comparison under `cargo bench`: all backends in the headline workload, recorded in results/.
//!
//! Not criterion: it measures one backend after the other, and on a shared machine that calls identical programs
//! different.

use std::process::ExitCode;

fn main() -> ExitCode {
    ioduel::cli::duel::bench(env!("CARGO_BIN_EXE_ioduel").into())
}
