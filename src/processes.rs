//! The file of this program, and the processes below one in the tree of all.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{time::ClockId, unistd::Pid};
use procfs::process::{Process, all_processes};

/// The file of this program; where there is no /proc, what it was called by.
///
/// # Errors
/// When it can't be found.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    env::current_exe().or_else(|error| called_by().ok_or(error)).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot find this program's own file: {error}; call it by its whole path"),
        )
    })
}

/// What this program was called by: a path, or a name that is looked up as a shell does.
fn called_by() -> Option<PathBuf> {
    let name = PathBuf::from(env::args_os().next()?);
    let folders = env::var_os("PATH").unwrap_or_default();
    let looked_up =
        || env::split_paths(&folders).map(|folder| folder.join(&name)).find(|path| path.is_file());
    let is_path = name.parent().is_some_and(|folder| folder != Path::new(""));
    let found = if is_path { Some(name) } else { looked_up() };
    found?.canonicalize().ok()
}

/// The CPU time of a process since it was started, its threads that have ended included, to the nanosecond.
///
/// # Errors
/// When it is gone.
pub(crate) fn cpu_time(process: Pid) -> nix::Result<Duration> {
    Ok(ClockId::pid_cpu_clock_id(process)?.now()?.into())
}

/// All processes below one, its own children before those of these; none where the system does not tell.
pub(crate) fn descendants(of: u32) -> Vec<Process> {
    let of = of.cast_signed();
    match children(of) {
        Some(first) => below(first, |process| children(process).unwrap_or_default()),
        None => {
            let mut by_parent = by_parent();
            below(by_parent.remove(&of).unwrap_or_default(), |process| {
                by_parent.remove(&process).unwrap_or_default()
            })
        }
    }
}

fn below(first: Vec<i32>, mut children: impl FnMut(i32) -> Vec<i32>) -> Vec<Process> {
    let mut found = first;
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    // One that is gone meanwhile is below nobody.
    found.into_iter().filter_map(|process| Process::new(process).ok()).collect()
}

/// The children of a process, as the kernel lists them for each of its threads (proc(5), `/proc/pid/task/tid/children`); `None` where
/// it has no such list.
fn children(of: i32) -> Option<Vec<i32>> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).ok()?.flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let lists: Vec<String> = lists.collect::<Result<_, _>>().ok()?;
    Some(lists.iter().flat_map(|list| list.split_whitespace().flat_map(str::parse)).collect())
}

/// All processes by their parents: a walk over all of /proc.
fn by_parent() -> BTreeMap<i32, Vec<i32>> {
    let mut by_parent: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let stats = all_processes().into_iter().flatten().flatten().filter_map(|process| process.stat().ok());
    stats.for_each(|stat| by_parent.entry(stat.ppid).or_default().push(stat.pid));
    by_parent
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_of_children_are_found_in_both_ways() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & read line"]).stdin(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let own = std::process::id().cast_signed();
        let sleeps = |process: &Process| process.stat().is_ok_and(|stat| stat.comm == "sleep");
        let walked = || {
            let mut by_parent = by_parent();
            let first = by_parent.remove(&own).unwrap_or_default();
            below(first, |process| by_parent.remove(&process).unwrap_or_default())
        };
        while !descendants(std::process::id()).iter().any(sleeps) {}
        assert!(walked().iter().any(sleeps));
        for process in descendants(shell.id()) {
            let _ = nix::sys::signal::kill(Pid::from_raw(process.pid), nix::sys::signal::Signal::SIGKILL);
        }
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
