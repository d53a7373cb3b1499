//! What needs the built program, or several modules at once.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(clippy::print_stderr, reason = "a test says which backend it is at")]

mod agents;
mod cli;
mod compare;
mod conform;
mod conformance;
mod contestants;
mod duel;
mod forbidden;
mod links;
mod machines;
mod others;
mod paced;
mod peers;
mod results;
mod slices;
mod stress;
mod surroundings;
mod tidy;
mod workloads;
