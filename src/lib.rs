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
//! - [`placement`] and [`cgroup`]: which processors a process may run on, and what else it is allowed
//! - [`load`] and [`service`]: what to drive and to serve, and what came of it
//! - [`pacer`]: the client of loads at a rate
//! - [`backend`]: the contract of a backend, and one file for each strategy
//! - [`agent`]: one backend in a process of its own, spoken to in JSON lines
//! - [`supervisor`]: a program of somebody else, kept as an agent, metered and ended from outside
//! - [`versions`]: this program built anew with one crate exchanged
//! - [`contestant`]: who takes part: backends, versions of them, and programs of others
//! - [`round`]: a server agent and a client agent, and one measured round between them
//! - [`conform`]: what every contestant must stand, case by case
//! - [`environment`] and [`doctor`]: the machine, and what on it would spoil a measurement
//! - [`record`]: what is written to results/
//! - [`stats`]: ratios, intervals, verdicts; pure
//! - [`duel`]: the schedule of an interleaved comparison, and running it
//! - [`analysis`] and [`report`]: records in, comparisons and tables out; pure
//! - [`cli`]: the command line, the only code that prints
//!
//! # A backend of one's own
//!
//! A crate that has this one as a library implements [`backend::Backend`] and hands it to [`main`]; `examples/own-backend` is such a
//! crate. It needs [`backend`], [`protocol`], [`load`], [`service`] and [`net`]: within a minor version these keep what they have,
//! and a change that breaks such a crate is named in CHANGELOG.md. With `default-features = false` no runtime is built. The other
//! modules are public for benches and tests, and promise nothing.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "ioduel measures Linux: epoll, io_uring, /proc and SO_BINDTODEVICE; build it there, or in a virtual machine"
);

pub mod agent;
pub mod analysis;
pub mod backend;
pub mod cgroup;
pub mod cli;
mod clock;
pub mod conform;
pub mod contestant;
pub mod doctor;
pub mod duel;
pub mod environment;
pub mod load;
pub mod net;
pub mod pacer;
pub mod placement;
mod processes;
pub mod protocol;
pub mod record;
pub mod report;
pub mod round;
pub mod seeded;
pub mod service;
mod sharded;
pub mod stats;
pub mod supervisor;
pub mod versions;
pub mod work;
mod written;

use std::process::ExitCode;

use backend::Backend;

/// What a backend of one's own is written with.
pub mod prelude {
    pub use crate::{
        backend::{About, Backend, Maintenance, Model, Threading, Unavailable},
        load::{Load, Slot},
        protocol::{End, SessionError, Want},
        service::{AfterAcceptError, Connection, Service, spend},
    };
}

/// Runs the whole program, with backends of one's own beside those that this build has: every subcommand, the kit and the duel
/// know them.
///
/// ```no_run
/// # use std::{io, net::TcpListener, sync::Arc};
/// # use ioduel::{backend::{About, Backend, Maintenance, Model, Threading}, load::Load, service::Service};
/// struct Mine;
/// # static ABOUT: About = About { name: "mine", crate_name: None, model: Model::Blocking, threading: Threading::Single,
/// #     maintenance: Maintenance::Active, advisories: &[], offload: None, portable: true, summary: "mine" };
/// # impl Backend for Mine {
/// #     fn about(&self) -> &'static About { &ABOUT }
/// #     fn serve(&self, _: TcpListener, _: &Arc<Service>) -> io::Result<()> { Ok(()) }
/// #     fn drive(&self, _: &Arc<Load>) -> io::Result<()> { Ok(()) }
/// # }
///
/// fn main() -> std::process::ExitCode {
///     ioduel::main(&[&Mine])
/// }
/// ```
pub fn main(own: &[&'static dyn Backend]) -> ExitCode {
    cli::main_with(own)
}
