//! The limit on open descriptors, which ends a run of 1,024 connections at Linux's default.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that a process has open besides its connections: standard streams, listener, pollers, wakers.
pub(super) const OVERHEAD: u64 = 24;

/// The most that is asked for: some programs size tables by the limit, and a hard limit of 2³⁰ is not rare in containers.
const MOST: u64 = 1 << 20;

/// How many descriptors this process may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit(u64);

impl DescriptorLimit {
    /// Checks that so many connections can be open at once.
    ///
    /// # Errors
    /// With the numbers, when they cannot.
    pub fn require(self, connections: usize) -> anyhow::Result<()> {
        let needed = connections as u64 + OVERHEAD;
        anyhow::ensure!(
            needed <= self.0,
            "{connections} connections need {needed} descriptors, and this process may open {}; \
             raise the hard limit (`ulimit -Hn`) or ask for fewer connections",
            self.0
        );
        Ok(())
    }
}

/// Raises the soft limit of this process to its hard limit, or to a million where that is more.
///
/// # Errors
/// When the kernel does not tell or take the limit.
pub fn raise_descriptor_limit() -> anyhow::Result<DescriptorLimit> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let highest = highest_descriptor_limit()?;
    if soft < highest {
        setrlimit(Resource::RLIMIT_NOFILE, highest, hard)?;
    }
    Ok(DescriptorLimit(highest))
}

/// How many descriptors a process started here may have, once it has raised its limit.
pub(super) fn highest_descriptor_limit() -> anyhow::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(soft.max(hard.min(MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_fit_is_refused_with_the_numbers() {
        let limit = DescriptorLimit(1024);
        limit.require(1000).unwrap();
        let message = limit.require(1024).unwrap_err().to_string();
        assert!(message.contains("1048") && message.contains("1024"), "{message}");
    }
}
