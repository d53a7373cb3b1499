//! The processes below one in the tree of all.

use std::collections::BTreeMap;

use procfs::process::{Process, all_processes};

/// All processes below one, its own children before those of these; none where the system does not tell.
pub(crate) fn descendants(of: u32) -> Vec<Process> {
    let Ok(all) = all_processes() else { return Vec::new() };
    let mut by_parent: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all.flatten() {
        // One that is gone meanwhile is below nobody.
        if let Ok(stat) = process.stat() {
            by_parent.entry(stat.ppid).or_default().push(process);
        }
    }
    let mut below: Vec<Process> = by_parent.remove(&of.cast_signed()).unwrap_or_default();
    let mut next = 0;
    while next < below.len() {
        below.extend(by_parent.remove(&below[next].pid).unwrap_or_default());
        next += 1;
    }
    below
}
