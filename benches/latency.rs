//! The round trip of one message: idle, with one connection, and loaded, with 64.
//!
//! An iteration is one round trip of each connection; its time is their mean. It is a round trip under that load in
//! a closed loop, which waits when the server does: no answer to how long a request waits that comes when it likes.

#![allow(clippy::print_stderr, reason = "a bench tells what spoilt it")]

use std::{process::ExitCode, time::Duration};

use criterion::Throughput;
use ioduel::load::Extent;

mod common;
use common::Group;

/// Holds the text of any message, since the messages of an iteration are all of one session.
const MESSAGE_BYTES: usize = 32;

fn main() -> ExitCode {
    common::main(&[group("idle", 1), group("loaded", 64)])
}

fn group(name: &'static str, connections: usize) -> Group {
    Group {
        name,
        connections,
        message_bytes: MESSAGE_BYTES,
        throughput: Throughput::Elements(1),
        samples: 20,
        time: Duration::from_secs(1),
        extent: run_round_trips,
        seconds: |round, round_trips| round.run.round_trip.mean_s() * round_trips as f64,
    }
}

/// So many round trips on each connection: one session of as many messages.
fn run_round_trips(connections: usize, round_trips: u64) -> (u32, Extent) {
    let messages =
        u32::try_from(round_trips).expect("criterion's samples are shorter than four billion messages");
    (messages, Extent::Sessions(connections as u64))
}
