//! `ioduel` answers one question: *for my workload, which I/O strategy should my Rust service use, and is the
//! difference real?*
//!
//! The same echo server and client are written once per backend behind one trait; every reply is verified, in
//! benchmarks too; server and client run in processes of their own. The modules, in reading order; each uses only
//! those above it:
//!
//! - [`protocol`]: the session, both ends of it, without I/O and without a clock
//! - [`seeded`] and [`work`]: draws that are functions, and what a server does for a message beside echoing it
//! - [`net`]: what must be the same for all: listeners, destinations, limits, kernel counters
//! - [`placement`]: which processors a process may run on
//! - [`load`] and [`service`]: what to drive and to serve, and what came of it
//! - [`pacer`]: the client of loads at a rate
//! - [`backend`]: the contract of a backend, and one file for each strategy
//! - [`agent`]: one backend in a process of its own, spoken to in JSON lines
//! - [`contestant`]: who takes part: backends, and programs of others
//! - [`round`]: a server agent and a client agent, and one measured round between them
//! - [`conform`]: what every contestant must stand, case by case
//! - [`environment`] and [`doctor`]: the machine, and what on it would spoil a measurement
//! - [`record`]: what is written to results/
//! - [`stats`]: ratios, intervals, verdicts; pure
//! - [`duel`]: the schedule of an interleaved comparison, and running it
//! - [`analysis`] and [`report`]: records in, comparisons and tables out; pure
//! - [`cli`]: the command line, the only code that prints
//!
//! The library has no stability promise beyond the program's: it is public so that benches and tests use the same
//! code.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "ioduel measures Linux: epoll, io_uring, /proc and SO_BINDTODEVICE; build it there, or in a virtual machine"
);

pub mod agent;
pub mod analysis;
pub mod backend;
pub mod cli;
pub mod conform;
pub mod contestant;
pub mod doctor;
pub mod duel;
pub mod environment;
pub mod load;
pub mod net;
pub mod pacer;
pub mod placement;
pub mod protocol;
pub mod record;
pub mod report;
pub mod round;
pub mod seeded;
pub mod service;
mod sharded;
pub mod stats;
pub mod work;
mod written;
