//! Many sessions at a time: how long one takes when 1, 64 or 1,024 of them overlap.
//!
//! An iteration is one session of eight messages. With several at a time its time is the inverse of the throughput,
//! and no latency.

#![allow(clippy::print_stderr, reason = "a bench tells what spoilt it")]

use std::{process::ExitCode, time::Duration};

use criterion::Throughput;
use ioduel::{
    load::Extent,
    protocol::{DEFAULT_MESSAGE_BYTES, DEFAULT_MESSAGES},
};

mod common;
use common::Group;

fn main() -> ExitCode {
    // Short names, as in C10K: criterion's plots cut off long ones.
    common::main(&[
        group("c1", 1, 20, Duration::from_secs(1)),
        group("c64", 64, 20, Duration::from_secs(1)),
        // Fewer samples and longer ones: each slot runs one or two sessions in each.
        group("c1024", 1024, 10, Duration::from_millis(2500)),
    ])
}

fn group(name: &'static str, connections: usize, samples: usize, time: Duration) -> Group {
    Group {
        name,
        connections,
        message_bytes: DEFAULT_MESSAGE_BYTES,
        throughput: Throughput::Elements(DEFAULT_MESSAGES.into()),
        samples,
        time,
        extent: |_, sessions| (DEFAULT_MESSAGES, Extent::Sessions(sessions)),
        seconds: |round, _| round.run.window_s,
    }
}
