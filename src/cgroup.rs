//! What the control groups of this process allow it (cgroups(7)), in version 1 and in version 2.
//!
//! A limit holds at every level of the tree: what counts is the tightest from the process's own group up.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use procfs::process::{MountInfo, Process};

/// A control group of this process, or one above it.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    /// Whether it is of version 2.
    is_unified: bool,
}

impl Group {
    fn text(&self, name: &str) -> Option<String> {
        Some(fs::read_to_string(self.folder.join(name)).ok()?.trim().to_owned())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The quota in the words of version 2: microseconds, of how many.
    fn quota(&self) -> Option<String> {
        if self.is_unified {
            return self.text("cpu.max");
        }
        let (quota, period) = (self.text("cpu.cfs_quota_us")?, self.text("cpu.cfs_period_us")?);
        Some(format!("{quota} {period}"))
    }

    fn throttled(&self) -> Option<Duration> {
        let stat = self.text("cpu.stat")?;
        let value = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        let micros = value("throttled_usec ").map(Duration::from_micros);
        micros.or_else(|| value("throttled_time ").map(Duration::from_nanos))
    }
}

/// The groups that a controller has for this process, the innermost first.
fn groups(controller: &str) -> Vec<Group> {
    let read = || -> procfs::ProcResult<Vec<Group>> {
        let process = Process::myself()?;
        let mounts = process.mountinfo()?;
        let mut groups = Vec::new();
        for group in &process.cgroups()? {
            let is_unified = group.controllers.iter().all(String::is_empty);
            if !is_unified && !group.controllers.iter().any(|it| it == controller) {
                continue;
            }
            let holds = |mount: &&MountInfo| match is_unified {
                true => mount.fs_type == "cgroup2",
                false => mount.fs_type == "cgroup" && mount.super_options.contains_key(controller),
            };
            let Some(mount) = mounts.0.iter().find(holds) else { continue };
            let folders = folders(&mount.mount_point, &mount.root, &group.pathname);
            groups.extend(folders.into_iter().map(|folder| Group { folder, is_unified }));
        }
        Ok(groups)
    };
    // Where nothing is told, nothing is known to limit.
    read().unwrap_or_default()
}

/// The folders of a group and of all above it, where `root` of the tree is mounted at `mount_point`.
fn folders(mount_point: &Path, root: &str, group: &str) -> Vec<PathBuf> {
    // A group outside the namespace's root is told by steps up, which lead nowhere below this mount.
    let group = Path::new(group);
    let within = group.strip_prefix(root).or_else(|_| group.strip_prefix("/")).unwrap_or(group);
    let within = within.components().filter(|part| matches!(part, Component::Normal(_)));
    let own = within.fold(mount_point.to_owned(), |folder, part| folder.join(part));
    own.ancestors().take_while(|it| it.starts_with(mount_point)).map(Path::to_owned).collect()
}

/// Of the quotas of processor time, the one that allows least: microseconds, of how many; `None` where none limits.
pub fn cpu_quota() -> Option<String> {
    let quotas = groups("cpu").into_iter().filter_map(|group| group.quota());
    let limits = quotas.filter(|quota| processors_of(quota).is_finite());
    limits.min_by(|one, other| processors_of(one).total_cmp(&processors_of(other)))
}

/// How many processors a quota is worth: endlessly many, where there is none.
pub fn processors_of(quota: &str) -> f64 {
    let mut words = quota.split(' ').map(str::parse::<f64>);
    match (words.next(), words.next()) {
        (Some(Ok(quota)), Some(Ok(period))) if period > 0.0 && quota >= 0.0 => quota / period,
        _ => f64::INFINITY,
    }
}

/// For how long processors of this process have had to stand still until now, because a quota was used up: of the level at which that
/// was longest, summed over processors (`throttled_usec` in the kernel's admin-guide/cgroup-v2.rst).
pub fn throttled() -> Option<Duration> {
    static GROUPS: OnceLock<Vec<Group>> = OnceLock::new();
    let limited = || groups("cpu").into_iter().filter(|it| it.throttled().is_some()).collect();
    GROUPS.get_or_init(limited).iter().filter_map(Group::throttled).max()
}

/// A number that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// How many there are.
    pub now: u64,
    /// How many there may be.
    pub most: u64,
}

impl Limited {
    /// How many more there may be.
    pub fn left(self) -> u64 {
        self.most.saturating_sub(self.now)
    }
}

/// Processes and threads, in the group that allows fewest more; `None` where none limits.
pub fn tasks() -> Option<Limited> {
    let limited =
        |group: Group| Some(Limited { now: group.number("pids.current")?, most: group.number("pids.max")? });
    groups("pids").into_iter().filter_map(limited).min_by_key(|limited| limited.left())
}

/// The memory that the groups allow, in bytes; `None` where none limits.
pub fn memory_bytes() -> Option<u64> {
    // What version 1 says where nothing limits: the largest number of whole pages.
    const ENDLESS: u64 = 1 << 62;
    let most = |group: Group| group.number("memory.max").or_else(|| group.number("memory.limit_in_bytes"));
    groups("memory").into_iter().filter_map(most).filter(|most| *most < ENDLESS).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_so_many_processors() {
        assert_eq!(processors_of("50000 100000"), 0.5);
        assert_eq!(processors_of("max 100000"), f64::INFINITY);
        assert_eq!(processors_of("-1 100000"), f64::INFINITY, "version 1 without a quota");
    }

    #[test]
    fn every_group_from_the_own_one_up_to_the_mount_is_asked() {
        let of = |root, group| folders(Path::new("/sys/fs/cgroup"), root, group);
        let named = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(of("/", "/a/b"), named(&["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"]));
        assert_eq!(of("/", "/"), named(&["/sys/fs/cgroup"]));
        // In a container the mount begins at the container's own group.
        assert_eq!(of("/docker/x", "/docker/x/y"), named(&["/sys/fs/cgroup/y", "/sys/fs/cgroup"]));
        let beside = ["/sys/fs/cgroup/docker/xyz", "/sys/fs/cgroup/docker", "/sys/fs/cgroup"];
        assert_eq!(of("/docker/x", "/docker/xyz"), named(&beside));
        assert_eq!(of("/", "/../other"), named(&["/sys/fs/cgroup/other", "/sys/fs/cgroup"]));
    }
}
