//! What many connections at once take of a machine, computed before the first is opened.

use std::{collections::BTreeMap, fmt};

use procfs::Current as _;

use super::{
    descriptors::{OVERHEAD, highest_descriptor_limit},
    listener::loopback_addresses,
    ports::ports_by,
};

/// What both ends of a connection that nothing is under way on take of the kernel, in bytes: two sockets with a file each
/// (METHODOLOGY.md, "Silent connections").
const KERNEL_BYTES: u64 = 8 << 10;

/// What a connection with short messages takes of an event-driven server, in bytes, with room (METHODOLOGY.md, "Silent connections").
const SERVER_BYTES: u64 = 4 << 10;

/// What connections that are open at the same time take of this machine, which has both ends of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrowdNeeds {
    /// Connections of each server.
    connections: u64,
    /// Servers at a time.
    servers: u64,
    /// Descriptors that a process may open.
    descriptors: u64,
    /// Ports that clients have at the addresses of each server.
    ports: u64,
    /// Memory that is available at most, in bytes; `None` where that is not told.
    memory_bytes: Option<u64>,
}

impl CrowdNeeds {
    /// What so many connections of each of so many servers take, in a network that has these settings; over a link, each server has
    /// one address. `most_memory` is what a control group allows this process, in bytes.
    ///
    /// # Errors
    /// When the kernel does not tell the limit on descriptors.
    pub fn new(
        connections: usize,
        servers: usize,
        settings: &BTreeMap<String, String>,
        over_link: bool,
        most_memory: Option<u64>,
    ) -> anyhow::Result<Self> {
        let addresses = if over_link { 1 } else { loopback_addresses().len() };
        let free = procfs::Meminfo::current().ok().and_then(|it| it.mem_available);
        Ok(Self {
            connections: connections as u64,
            servers: servers as u64,
            descriptors: highest_descriptor_limit()?,
            ports: (ports_by(settings) * addresses) as u64,
            memory_bytes: free.map(|free| free.min(most_memory.unwrap_or(u64::MAX))),
        })
    }

    /// Descriptors of the server's process.
    fn needed_descriptors(&self) -> u64 {
        self.connections + OVERHEAD
    }

    fn needed_bytes(&self) -> u64 {
        self.connections * self.servers * (KERNEL_BYTES + SERVER_BYTES)
    }

    /// Checks that there are descriptors and ports for all. Memory is an estimate, and refuses nothing.
    ///
    /// # Errors
    /// With what it lacks, and what to do.
    pub fn check(&self) -> Result<(), String> {
        let Self { descriptors, ports, .. } = *self;
        let lacks = if self.needed_descriptors() > descriptors {
            "raise the hard limit of descriptors (`ulimit -Hn`)"
        } else if self.connections > ports {
            "widen net.ipv4.ip_local_port_range"
        } else {
            return Ok(());
        };
        Err(format!("{self}: {lacks}, or ask for fewer connections"))
    }
}

impl fmt::Display for CrowdNeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, servers, descriptors, ports, memory_bytes } = self;
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let backends = if *servers == 1 { String::new() } else { format!(" with each of {servers} servers") };
        write!(
            f,
            "{connections} connections at a time{backends} need {} descriptors in one process (the limit is {descriptors}), {connections} \
             ports (there are {ports}) and about {:.1} GiB of memory",
            self.needed_descriptors(),
            gib(self.needed_bytes())
        )?;
        match *memory_bytes {
            None => Ok(()),
            Some(has) if self.needed_bytes() > has => {
                write!(f, ", which is more than the {:.1} GiB that are available", gib(has))
            }
            Some(has) => write!(f, " ({:.1} GiB are available)", gib(has)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: CrowdNeeds = CrowdNeeds {
        connections: 100_064,
        servers: 2,
        descriptors: 1 << 20,
        ports: 28_232 * 64,
        memory_bytes: Some(8 << 30),
    };

    #[test]
    fn what_a_crowd_needs_stands_beside_what_there_is() {
        assert_eq!(ENOUGH.check(), Ok(()));
        assert_eq!(
            ENOUGH.to_string(),
            "100064 connections at a time with each of 2 servers need 100088 descriptors in one process (the limit is 1048576), 100064 \
             ports (there are 1806848) and about 2.3 GiB of memory (8.0 GiB are available)"
        );
        let one = CrowdNeeds { servers: 1, memory_bytes: None, ..ENOUGH }.to_string();
        assert!(
            one.starts_with("100064 connections at a time need") && one.ends_with("about 1.1 GiB of memory"),
            "{one}"
        );
    }

    #[test]
    fn what_is_lacking_is_told_with_what_to_do() {
        for (lacking, says) in [
            (CrowdNeeds { descriptors: 20_000, ..ENOUGH }, "raise the hard limit"),
            (CrowdNeeds { ports: 28_232, ..ENOUGH }, "widen net.ipv4.ip_local_port_range"),
        ] {
            let told = lacking.check().unwrap_err();
            assert!(told.contains(says) && told.ends_with("or ask for fewer connections"), "{told}");
        }
        let crammed = CrowdNeeds { memory_bytes: Some(1 << 30), ..ENOUGH };
        assert_eq!(crammed.check(), Ok(()), "an estimate");
        assert!(crammed.to_string().ends_with("more than the 1.0 GiB that are available"), "{crammed}");
    }
}
