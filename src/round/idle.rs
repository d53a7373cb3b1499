//! Silent connections: holding them beside a load, and what one costs.

use anyhow::Context as _;

use super::{PATIENCE, PATIENCE_PER_MESSAGE, Pair};
use crate::{
    agent::{Agent, Request},
    net::kernel_memory_bytes,
    protocol::Framing,
};

/// Connections that come and go before an idle one's memory is measured.
const FIRST: usize = 16;

/// What an idle connection costs, in bytes; absent where it is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IdleMemory {
    /// Resident memory of the server.
    pub server_bytes: Option<f64>,
    /// The kernel's own memory, both ends together.
    pub kernel_bytes: Option<f64>,
}

impl Pair {
    /// What an agent is asked that is to hold so many connections.
    fn hold(&self, connections: usize) -> Request {
        let Framing::Fixed { message_bytes, reply_bytes } = self.plan.shape.framing() else {
            unreachable!("a shape has messages of one size")
        };
        Request::Hold { destinations: self.destinations.clone(), connections, message_bytes, reply_bytes }
    }

    /// Holds so many silent connections from now on; the first that are asked for stay.
    pub(super) fn hold_idle(&mut self, connections: usize) -> anyhow::Result<()> {
        if connections == 0 || self.idle.is_some() {
            return Ok(());
        }
        let hold = self.hold(connections);
        // Some are opened at a time, have one reply each, and only then the next.
        let each = (PATIENCE_PER_MESSAGE + 4 * self.network.round_trip())
            .saturating_mul(u32::try_from(connections).unwrap_or(u32::MAX));
        let mut holder = Agent::start(&self.idle_holder)?;
        let before = self.kernel_memory();
        holder.ask(&hold, PATIENCE + each)?;
        self.idle_kernel_bytes = each_of(connections, before, self.kernel_memory());
        self.idle = Some(holder);
        Ok(())
    }

    /// The kernel's own memory, where both ends are in it.
    fn kernel_memory(&self) -> Option<u64> {
        self.here.then(kernel_memory_bytes).flatten()
    }

    /// What an idle connection costs: so many are opened by a client of no backend, each exchanges one message, and all are held.
    ///
    /// # Errors
    /// When an agent fails, dies or hangs.
    pub fn idle_memory(&mut self, connections: usize) -> anyhow::Result<IdleMemory> {
        let [first, hold] = [FIRST, connections].map(|connections| self.hold(connections));
        let client = self.clients.first_mut().context("a pair has at least one client")?;
        // What a server makes once, for its first connections, is not what each costs.
        client.ask(&first, PATIENCE)?;
        client.ask(&Request::Release, PATIENCE)?;
        let before = self.server.ask(&Request::Cost, PATIENCE)?.cost.resident_bytes;
        let of_kernel = self.kernel_memory();
        let client = self.clients.first_mut().context("a pair has at least one client")?;
        client.ask(&hold, PATIENCE)?;
        let kernel_bytes = each_of(connections, of_kernel, self.kernel_memory());
        let after = self.server.ask(&Request::Cost, PATIENCE)?.cost.resident_bytes;
        let client = self.clients.first_mut().context("a pair has at least one client")?;
        client.ask(&Request::Release, PATIENCE)?;
        Ok(IdleMemory { server_bytes: each_of(connections, before, after), kernel_bytes })
    }
}

/// What each of so many has added to what there was.
fn each_of(connections: usize, before: Option<u64>, after: Option<u64>) -> Option<f64> {
    before.zip(after).map(|(before, after)| (after as f64 - before as f64) / connections as f64)
}
