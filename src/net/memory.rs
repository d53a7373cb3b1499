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
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn slabs_are_found_in_their_line() {
        assert_eq!(slab("MemTotal: 1 kB\nSlab:   12 kB\nSReclaimable: 3 kB\n"), Some(12 * 1024));
        assert_eq!(slab("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn connections_take_memory_of_the_kernel() {
        const CONNECTIONS: usize = 2000;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let Some(before) = kernel_memory_bytes() else { return };
        let held: Vec<_> = (0..CONNECTIONS)
            .map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0))
            .collect();
        let grown = kernel_memory_bytes().unwrap() as f64 - before as f64;
        // Two sockets of some KiB each; slabs that were empty before take some of them.
        let each = grown / held.len() as f64;
        assert!((500.0..20_000.0).contains(&each), "{each} bytes");
    }
}
