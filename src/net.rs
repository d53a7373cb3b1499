//! What must be the same for every backend: listeners, rotation of destinations, limits, kernel counters; and the timer of loops
//! by hand.
//!
//! Everything here is a fact of the machine that decides a benchmark before any backend does. What a platform
//! lacks is replaced by the next best thing, and the replacement is said in [`Listening::fallbacks`], so that it
//! reaches the result. Absent from here: sessions, backends, and connections once they are accepted.

mod connect;
mod counters;
mod crowd;
mod descriptors;
mod link;
mod listener;
mod memory;
mod namespace;
mod netem;
mod ports;
mod probe;
mod settings;
mod timer;
mod veth;

pub use connect::{AT_A_TIME, connect_all};
pub use counters::{KernelCounters, segments_sent};
pub use crowd::CrowdNeeds;
pub use descriptors::{DescriptorLimit, raise_descriptor_limit};
pub use link::{LinkMeasured, LinkShape, RecordedLink};
pub use listener::{ListenAt, Listening, listen, loopback_is_up, share, spread};
pub use memory::kernel_memory_bytes;
pub use namespace::Namespace;
pub use netem::shape_loopback;
pub use ports::PortLimit;
pub use probe::{probe, probe_patience, reflect};
pub use settings::{setting, settings};
pub use timer::Timer;
pub use veth::{Role, make_end};
