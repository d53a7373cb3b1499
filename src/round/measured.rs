//! What one round measured.

use super::{BegunApart, Flag, Neighbours, Offer, Slice, flag};
use crate::{
    agent::Cost,
    load::{Extent, LoadRun},
    net::LinkShape,
    placement::{Cpus, Placement},
    service::ThreadWork,
};

/// What one round measured.
#[derive(Clone, Debug)]
pub struct Round {
    /// Sessions at a time.
    pub connections: usize,
    /// Messages in a session.
    pub messages: u32,
    /// Load machines.
    pub clients: usize,
    /// When it was to be over.
    pub extent: Extent,
    /// What was offered; `None` in a closed loop.
    pub offer: Option<Offer>,
    /// Worker threads of the server; `None` where connections decide.
    pub server_workers: Option<usize>,
    /// Worker threads of the client; `None` where connections decide.
    pub client_workers: Option<usize>,
    /// Where both ran.
    pub placement: Placement,
    /// What the client measured.
    pub run: LoadRun,
    /// The slices, where it was cut into such; in the order of the blocks.
    pub slices: Vec<Slice>,
    /// What the server spent, ramp included.
    pub server: Cost,
    /// What the client spent, ramp included.
    pub client: Cost,
    /// The server's context switches per message, where they were counted apart.
    pub server_switches_per_message: Option<f64>,
    /// What each thread of the server did, where it tells.
    pub thread_work: Option<ThreadWork>,
    /// What can't be of what was told of it.
    pub untrue: Option<String>,
    /// What others did on the machine.
    pub neighbours: Neighbours,
    /// What stands in place of what the platform lacks.
    pub fallbacks: Vec<String>,
    /// How far apart several clients began; `None` for one.
    pub begun_apart: Option<BegunApart>,
    /// The link that it went over, if it did.
    pub link: Option<LinkShape>,
    /// What each connection that is silent beside takes of the kernel's own memory, both ends together, in bytes.
    pub idle_kernel_bytes: Option<f64>,
}

impl Round {
    /// The server's CPU time per message, in microseconds.
    pub fn server_cpu_us_per_message(&self) -> f64 {
        self.per_message_us(self.server)
    }

    /// The client's CPU time per message, in microseconds.
    pub fn client_cpu_us_per_message(&self) -> f64 {
        self.per_message_us(self.client)
    }

    fn per_message_us(&self, cost: Cost) -> f64 {
        cost.cpu_s() * 1e6 / self.run.messages_in_all.max(1) as f64
    }

    /// The share of its processors that the server used, from 0 to 1; `None` where a prefix chose them.
    pub fn server_share(&self) -> Option<f64> {
        self.share(self.server, self.placement.server.as_ref(), 1)
    }

    /// The share of their processors that the clients used, from 0 to 1; `None` where a prefix chose them.
    pub fn client_share(&self) -> Option<f64> {
        self.share(self.client, self.placement.client.as_ref(), self.clients)
    }

    fn share(&self, cost: Cost, cpus: Option<&Cpus>, machines: usize) -> Option<f64> {
        Some(cost.cpu_s() / (self.run.elapsed_s * (cpus?.count() * machines) as f64))
    }

    /// How unevenly messages spread over the server's workers: the largest share over the mean one; `None` where connections
    /// decide, or the server does not tell.
    pub fn worker_spread(&self) -> Option<f64> {
        self.thread_work.as_ref()?.spread(self.server_workers?)
    }

    /// What a reader must know before believing the round; empty when nothing spoilt it.
    pub fn flags(&self) -> Vec<Flag> {
        flag::round_flags(self)
    }
}
