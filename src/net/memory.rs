//! The kernel's own memory, of which no process is charged for what its connections take.

use std::fs;

/// What the kernel has in slabs, sockets and their files among them (`Slab` in `/proc/meminfo`, proc(5)), in bytes; `None` where it is
/// not told.
///
/// All of the machine's: what else goes on meanwhile is in it. Data under way is not.
pub fn kernel_memory_bytes() -> Option<u64> {
    slab(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn slab(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_found_in_their_line() {
        assert_eq!(slab("MemTotal: 1 kB\nSlab:   12 kB\nSReclaimable: 3 kB\n"), Some(12 * 1024));
        assert_eq!(slab("MemTotal: 1 kB\n"), None);
    }
}
