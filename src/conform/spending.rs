//! Whether the CPU time that an agent tells is what the kernel has charged to it.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use nix::unistd::Pid;
use procfs::process::all_processes;

use super::{
    CannotTell, Subject,
    started::{FIXED, sessions},
};
use crate::{agent::Request, load::LoadPlan, processes::cpu_time};

/// How much is driven: some tenth of a second of work for either side. A number, and no time, so that it is as much on
/// a machine that is busy with other things.
const DRIVEN_SESSIONS: u64 = 2500;

/// Connections over a link, so that the sessions end in the time of a step.
const CONNECTIONS_OVER_A_LINK: usize = 256;

/// By how much both may differ: what is spent between an answer and a look at the clock, and what a wrapper spends.
const TOLERANCE: (f64, f64) = (0.2, 0.02);

/// What a drive costs at least, in seconds. Where less was spent, the agent runs elsewhere.
const LEAST_S: f64 = 0.005;

pub(super) fn of_a_server(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve(FIXED)?;
    let mut client = subject.reference()?;
    let plan = plan(subject, &server.destinations);
    server.ask(&Request::Cost)?;
    let before = charged(server.agent.process_id())?;
    client.drive(plan)?;
    let told = server.ask(&Request::Cost)?.cost;
    compare(told.cpu_s(), charged(server.agent.process_id())?.saturating_sub(before))
}

pub(super) fn of_a_client(subject: &Subject) -> anyhow::Result<()> {
    let server = subject.serve_reference(FIXED)?;
    let mut client = subject.start()?;
    client.ask(&Request::Cost)?;
    let before = charged(client.agent.process_id())?;
    let (_, told) = client.drive_at_cost(plan(subject, &server.destinations))?;
    compare(told.cpu_s(), charged(client.agent.process_id())?.saturating_sub(before))
}

fn plan(subject: &Subject, destinations: &[SocketAddr]) -> LoadPlan {
    let connections = if subject.link.is_plain() { 8 } else { CONNECTIONS_OVER_A_LINK };
    sessions(destinations, connections, DRIVEN_SESSIONS)
}

fn compare(told_s: f64, charged: Duration) -> anyhow::Result<()> {
    let charged_s = charged.as_secs_f64();
    if charged_s < LEAST_S {
        let why = format!("what was started here spent only {charged_s:.3} s; the agent must be elsewhere");
        return Err(CannotTell(why).into());
    }
    let (relative, absolute_s) = TOLERANCE;
    ensure!(
        (told_s - charged_s).abs() <= relative * charged_s + absolute_s,
        "CPU time, user_s and system_s together: the kernel says {charged_s:.3} s, it says {told_s:.3} s"
    );
    Ok(())
}

/// What the kernel has charged to all processes of a group until now.
fn charged(group: u32) -> anyhow::Result<Duration> {
    let processes =
        all_processes().map_err(|error| CannotTell(format!("no processes to look at: {error}")))?;
    // One that is gone meanwhile takes no part.
    let of_group = processes.flatten().filter(|process| {
        process.stat().is_ok_and(|stat| u32::try_from(stat.pgrp).is_ok_and(|own| own == group))
    });
    Ok(of_group.filter_map(|process| cpu_time(Pid::from_raw(process.pid)).ok()).sum())
}
