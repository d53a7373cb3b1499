//! A row a surrounding: how it is made, and what the program does there. Each is a script for sh(1) that finds the program as
//! `ioduel`, and a folder of its own at `$OUT`; 77 is the exit code of one that can't be made here.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::results::Results;

/// What must be so: the exit code, and what stands on one of the two streams.
struct Row {
    surrounding: &'static str,
    forbidden: Forbidden,
    script: &'static str,
    code: i32,
    says: &'static str,
}

/// What a filter of system calls refuses, with EPERM, as a container's does (seccomp(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forbidden {
    Nothing,
    Calls(&'static [libc::c_long]),
    /// `setsockopt` with SO_BINDTODEVICE.
    BindToDevice,
    /// What container/seccomp.json refuses, of the calls that a program could need at all.
    OwnProfile,
}

const NAMESPACES: Forbidden = Forbidden::Calls(&[libc::SYS_unshare, libc::SYS_setns]);
const AFFINITY: Forbidden = Forbidden::Calls(&[libc::SYS_sched_setaffinity]);
/// Of what Docker's default profile forbids, what this program may ask for.
const CONTAINER: Forbidden = Forbidden::Calls(&[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_perf_event_open,
    libc::SYS_mount,
]);

const fn row(surrounding: &'static str, script: &'static str, code: i32, says: &'static str) -> Row {
    Row { surrounding, forbidden: Forbidden::Nothing, script, code, says }
}

const fn without(
    forbidden: Forbidden,
    surrounding: &'static str,
    script: &'static str,
    code: i32,
    says: &'static str,
) -> Row {
    Row { surrounding, forbidden, script, code, says }
}

/// What goes before a script that makes a control group of its own, as root, in version 1 or 2 of the tree: `limit CONTROLLER FILE
/// VALUE` puts what runs after it under that limit.
const LIMIT: &str = r#"
limit() {
    for group in /sys/fs/cgroup/$1/ioduel-$$ /sys/fs/cgroup/ioduel-$$; do
        mkdir "$group" 2>/dev/null && echo "$3" >"$group/$2" 2>/dev/null && break
        rmdir "$group" 2>/dev/null; group=
    done
    [ -n "$group" ] || exit 77
    parent=$(dirname "$group")
    trap 'echo $$ >"$parent/cgroup.procs"; rmdir "$group"' EXIT
    echo $$ >"$group/cgroup.procs" || exit 77
}
# The file of a limit in version 1, and in version 2.
cpu_quota() { if [ -d /sys/fs/cgroup/cpu ]; then limit cpu cpu.cfs_quota_us "$1"; else limit cpu cpu.max "$1 100000"; fi; }
memory_limit() { if [ -d /sys/fs/cgroup/memory ]; then limit memory memory.limit_in_bytes "$1"; else limit memory memory.max "$1"; fi; }
# An ordinary user, for whom the program lies where anybody may read it.
as_nobody() { [ "$(id -u)" = 0 ] || exit 77; chmod 777 "$OUT"; setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
# A network namespace of somebody else's, with loopback up.
in_network() { command -v ip >/dev/null || exit 77; unshare --user --map-root-user --net sh -c "ip link set lo up && $1" || { code=$?; unshare -Urn true || exit 77; return $code; }; }
# A small disk of its own, mounted at $OUT.
with_disk() { unshare --user --map-root-user --mount sh -c "mount -t tmpfs -o $1 tmpfs $OUT && $2" || { code=$?; unshare -Urm true || exit 77; return $code; }; }
"#;

static ROWS: &[Row] = &[
    // What was asked for.
    row("no sessions", "ioduel run epoll --sessions 0", 2, "0 is not in 1.."),
    row("no rounds", "ioduel run epoll --rounds 0", 2, "0 is not in 1.."),
    row("no workers", "ioduel run tokio --workers 0", 2, "must be at least 1"),
    row("no rate", "ioduel run epoll --rate 0", 2, "a rate must be 1 to 1000000 messages a second"),
    row(
        "no time",
        "ioduel duel --time 1ms --out $OUT/r; code=$?; test ! -e $OUT/r && exit $code",
        2,
        "too short to measure every backend once",
    ),
    row("no such file", "ioduel run epoll --workload nowhere.toml", 2, "cannot read nowhere.toml"),
    row("no such workload", "ioduel workloads sesion", 2, "there are session, solo, crowd"),
    row("no such backend", "ioduel run tokyo", 2, "tokio"),
    row("a name twice", "ioduel duel epoll epoll --out $OUT", 2, "epoll is named twice"),
    row(
        "a processor that is not there",
        "ioduel run epoll --server-cpus 1000",
        2,
        "processor 1000 is not available",
    ),
    row(
        "a window in which nothing is answered",
        "printf 'name = \"long\"\\nconnections = 1\\nmessage_bytes = 32\\nwork = { kind = \"wait\", time = \"300ms\" }\\n' >$OUT/long.toml; ioduel run epoll --workload $OUT/long.toml --duration 50ms",
        1,
        "measure longer",
    ),
    // The network.
    row(
        "loopback is down",
        "unshare -Urn ioduel run epoll --network shared --duration 100ms || { code=$?; unshare -Urn true || exit 77; exit $code; }",
        1,
        "`ip link set lo up`",
    ),
    row(
        "loopback is down, in a network of its own",
        "unshare -Urn ioduel run epoll --duration 100ms || { code=$?; unshare -Urn true || exit 77; exit $code; }",
        0,
        "messages/s",
    ),
    row(
        "loopback is down, told by the doctor",
        "unshare -Urn ioduel doctor --network shared || { code=$?; unshare -Urn true || exit 77; exit $code; }",
        0,
        "ip link set lo up",
    ),
    row(
        "all ports are clients'",
        "in_network 'echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range && ioduel run epoll --network shared --duration 100ms'",
        0,
        "lies in the ephemeral range",
    ),
    row(
        "all ports are clients', in a network of its own",
        "in_network 'echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range && ioduel run epoll --duration 100ms'",
        0,
        "messages/s",
    ),
    row(
        "ports that are reserved",
        "in_network 'echo 33000-60999 >/proc/sys/net/ipv4/ip_local_reserved_ports && ioduel doctor --network shared'",
        0,
        "which are reserved",
    ),
    row(
        "few ports",
        "in_network 'echo 60000 60999 >/proc/sys/net/ipv4/ip_local_port_range && ioduel doctor --network shared'",
        0,
        "sysctl net.ipv4.ip_local_port_range",
    ),
    row(
        "a short backlog",
        "in_network 'echo 16 >/proc/sys/net/core/somaxconn && ioduel run epoll --network shared --duration 100ms'",
        0,
        "backlog 16 instead of 4096",
    ),
    row(
        "ports that rest for a minute",
        "in_network 'echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse && ioduel doctor --network shared'",
        0,
        "sysctl net.ipv4.tcp_tw_reuse=2",
    ),
    without(NAMESPACES, "namespaces are forbidden", "ioduel run epoll --duration 100ms", 0, "messages/s"),
    without(
        NAMESPACES,
        "namespaces are forbidden, told by the doctor",
        "ioduel doctor",
        0,
        "allow network namespaces",
    ),
    without(
        NAMESPACES,
        "namespaces are forbidden, and one is asked for",
        "ioduel run epoll --network own",
        1,
        "cannot make a network namespace",
    ),
    without(
        Forbidden::BindToDevice,
        "no socket may be bound to a device",
        "ioduel run epoll --duration 100ms",
        0,
        "listening on 127.0.0.1 alone",
    ),
    // System calls.
    without(
        AFFINITY,
        "no process may be kept on a processor",
        "ioduel run epoll --duration 100ms",
        0,
        "kept on no processor",
    ),
    without(
        AFFINITY,
        "no process may be kept on a processor, told by the doctor",
        "ioduel doctor",
        0,
        "sched_setaffinity",
    ),
    without(CONTAINER, "a container", "ioduel doctor", 0, "allow io_uring_setup in the filter"),
    without(
        CONTAINER,
        "a container, and a ring is asked for",
        "ioduel run uring",
        1,
        "io_uring is forbidden",
    ),
    without(
        CONTAINER,
        "a container, in a duel",
        "ioduel duel epoll mio --quick --epochs 1 --workload solo --out $OUT",
        0,
        "recorded in",
    ),
    without(
        Forbidden::OwnProfile,
        "a container with the profile of this repository",
        "ioduel duel epoll uring --network own --quick --epochs 1 --workload solo --out $OUT",
        0,
        "recorded in",
    ),
    // Limits.
    row(
        "512 descriptors",
        "ulimit -n 512; ioduel duel epoll mio --quick --epochs 1 --out $OUT",
        0,
        "recorded in",
    ),
    row("512 descriptors, told by the doctor", "ulimit -n 512; ioduel doctor", 0, "512 per process"),
    row("64 descriptors", "ulimit -n 64; ioduel run epoll", 1, "raise the hard limit"),
    row("half a processor, told by the doctor", "cpu_quota 50000; ioduel doctor", 0, "0.50 processors"),
    row(
        "a twentieth of a processor",
        "cpu_quota 5000; ioduel run epoll --duration 1s",
        0,
        "a CPU quota was used up",
    ),
    row(
        "half a processor, in a duel",
        "cpu_quota 50000; ioduel duel epoll mio --quick --epochs 1 --out $OUT",
        0,
        "CPU quota: 0.50 processors",
    ),
    row(
        "a duel of one record a line, whose rounds tell the quota",
        "cpu_quota 5000; ioduel duel epoll mio --quick --epochs 1 --out $OUT && cat $OUT/*/rounds.jsonl",
        0,
        "throttled: ",
    ),
    row("few tasks, told by the doctor", "limit pids pids.max 60; ioduel doctor", 0, "pids.max"),
    row(
        "too few tasks for the workers of epoll",
        "limit pids pids.max 18; ioduel run epoll --workers 16",
        1,
        "cannot start a worker",
    ),
    row(
        "too few tasks for the workers of tokio, which panics",
        "limit pids pids.max 18; ioduel run tokio --workers 16",
        1,
        "Resource temporarily unavailable",
    ),
    row(
        "too few tasks for the workers of smol, which panics",
        "limit pids pids.max 18; ioduel run smol --workers 16",
        1,
        "Resource temporarily unavailable",
    ),
    row(
        "too few tasks for a thread for each connection",
        "limit pids pids.max 30; ioduel run threads",
        1,
        "threads",
    ),
    row("little memory", "memory_limit 268435456; ioduel doctor", 0, "256 MiB"),
    row("one processor", "taskset -c 0 ioduel run epoll --duration 100ms", 0, "messages/s"),
    row("one processor, told by the doctor", "taskset -c 0 ioduel doctor", 0, "1 available, of 1 cores"),
    row(
        "one processor at a rate",
        "taskset -c 0 ioduel run epoll --rate 1000 --duration 200ms",
        0,
        "no processor of its own",
    ),
    row(
        "one processor for several workers at a rate",
        "taskset -c 0 ioduel duel tokio smol --class multi --workload paced --out $OUT",
        2,
        "With --workers 1",
    ),
    // Who starts it.
    row("an ordinary user", "as_nobody ioduel run epoll --duration 100ms", 0, "messages/s"),
    row("an ordinary user, told by the doctor", "as_nobody ioduel doctor", 0, "io_uring"),
    row(
        "an ordinary user, in a duel",
        "as_nobody ioduel duel epoll mio uring --quick --epochs 1 --out $OUT",
        0,
        "recorded in",
    ),
    row(
        "an ordinary user without descriptors",
        "ulimit -n 64; as_nobody ioduel run epoll",
        1,
        "raise the hard limit",
    ),
    row(
        "a folder that is another's",
        "mkdir -m 755 $OUT/theirs; as_nobody ioduel duel epoll mio --quick --epochs 1 --out $OUT/theirs/r",
        1,
        "Permission denied",
    ),
    row(
        "an environment of nothing",
        "ioduel=$(command -v ioduel); env -i $ioduel run epoll --duration 100ms",
        0,
        "messages/s",
    ),
    row(
        "no folder for temporary files",
        "TMPDIR=/nowhere ioduel duel epoll mio --quick --epochs 1 --workload solo --out $OUT",
        0,
        "recorded in",
    ),
    // Files.
    row(
        "a full disk",
        "with_disk size=16k 'ioduel duel epoll mio --quick --epochs 2 --out '$OUT",
        1,
        "No space left on device",
    ),
    row(
        "a disk that is read only",
        "with_disk ro 'ioduel duel epoll mio --quick --epochs 1 --out '$OUT/r",
        1,
        "Read-only file system",
    ),
    row(
        "no /proc",
        "unshare -Urm sh -c 'mount --make-rprivate / && mount -t tmpfs tmpfs /proc && ioduel run epoll --duration 100ms' || { code=$?; unshare -Urm true || exit 77; exit $code; }",
        0,
        "messages/s",
    ),
    // What it goes over.
    row("a link", "ioduel run epoll --link plain --duration 100ms 2>&1", 0, "over a link, plain: round trip"),
    row(
        "a link of an ordinary user",
        "as_nobody ioduel run epoll --link plain --duration 100ms 2>&1",
        0,
        "over a link, plain: round trip",
    ),
    row(
        "a link that delays, where the kernel can, and what to do where it can't",
        "ioduel run epoll --link metro --duration 100ms 2>&1 | grep -E 'over a link, metro|modprobe sch_netem|link is not as'",
        0,
        "metro",
    ),
    row("no link", "ioduel duel epoll mio --link fast", 2, "or name one: plain, lan, metro, wan, mobile"),
    row(
        "a link behind a prefix",
        "ioduel duel epoll mio --link plain --client-exec env",
        1,
        "joins two networks of this machine",
    ),
    // Where it prints.
    row("nobody reads", "ioduel workloads | head -n 1", 0, "workload"),
    row("standard output is full", "ioduel list >/dev/full", 1, "No space left on device"),
    row("standard output is closed", "ioduel list >&- && echo goes on", 0, "goes on"),
    row("standard input is closed", "ioduel run epoll --duration 100ms <&-", 0, "messages/s"),
    row("standard error is closed", "ioduel run epoll --duration 100ms 2>&-", 0, "messages/s"),
    row(
        "a terminal that can do nothing",
        "TERM=dumb script -qec \"ioduel duel epoll mio --quick --epochs 1 --workload solo --out $OUT\" /dev/null >$OUT/told; tr -d '\\033' <$OUT/told | cmp - $OUT/told && cat $OUT/told",
        0,
        "recorded in",
    ),
    row(
        "a narrow terminal",
        "COLUMNS=60 ioduel report $RECORD --format text >$OUT/told && ! grep -E '.{61}' $OUT/told && echo fits",
        0,
        "fits",
    ),
    // Behind prefixes.
    row("a prefix that leads nowhere", "ioduel run epoll --client-exec /no/such/prefix", 1, "cannot start"),
    row(
        "a prefix that leads to another program",
        "ioduel run epoll --client-exec 'echo {}'",
        1,
        "another version of this program",
    ),
    row(
        "a prefix that leads to another build",
        "printf '#!/bin/sh\\nread line; echo %s\\n' \"'{\\\"answer\\\":{\\\"build\\\":{\\\"version\\\":\\\"0.0.1\\\",\\\"revision\\\":\\\"\\\",\\\"rustc\\\":\\\"\\\",\\\"profile\\\":\\\"\\\",\\\"crates\\\":{}}}}'\" >$OUT/other && chmod 755 $OUT/other; ioduel run epoll --client-exec $OUT/other",
        1,
        "copy this program there",
    ),
    // Under a bench's name.
    row(
        "a bench that is to list",
        "cd $OUT && ioduel bench -- --list && test ! -e results",
        0,
        "duel/epoll: benchmark",
    ),
    row(
        "a bench that is to help",
        "cd $OUT && ioduel bench -- --help && test ! -e results",
        0,
        "--sample-size",
    ),
    row(
        "a bench in a source that is read only",
        "with_disk ro 'cd $OUT && $OUT/../ioduel bench -- --bench --quick --sample-size 1 \"^duel/(epoll|mio)$\"'; code=$?; rm -rf $OUT/../results; exit $code",
        0,
        "recorded in",
    ),
    row(
        "a request beyond all bounds",
        "echo '{\"request\":\"hold\",\"destinations\":[\"127.0.0.1:1\"],\"connections\":1,\"message_bytes\":18446744073709551615}' | ioduel agent",
        0,
        "a message must be 1 to",
    ),
];

/// Rows that may be impossible where the check runs: a test that says nothing is worse than none.
const MOST_SKIPPED: usize = 8;

#[test]
fn it_runs_where_people_start_it_or_says_why_not() {
    let documented =
        include_str!("../../../METHODOLOGY.md").contains(&format!("in {} surroundings", ROWS.len()));
    assert!(documented, "METHODOLOGY.md, \"Where it runs\": there are {} rows", ROWS.len());
    let folder = Results::new("surroundings");
    let program = copy_for_everybody(&folder.0);
    let (mut skipped, mut wrong) = (Vec::new(), Vec::new());
    for (index, row) in ROWS.iter().enumerate() {
        let out = folder.0.join(index.to_string());
        fs::create_dir_all(&out).unwrap();
        let output = run(row, &program, &out);
        let told = [&output.stdout, &output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .concat();
        match output.status.code() {
            Some(77) => skipped.push(row.surrounding),
            code if code == Some(row.code) && is_right(row, &told) => {}
            code => wrong.push(format!(
                "{}: {code:?} instead of {}, without {:?}:\n{told}",
                row.surrounding, row.code, row.says
            )),
        }
    }
    eprintln!("{} surroundings, {} of them skipped: {skipped:?}", ROWS.len(), skipped.len());
    assert!(wrong.is_empty(), "{} are wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
    let is_checked = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!is_checked || skipped.len() <= MOST_SKIPPED, "{skipped:?}");
}

/// Whether it says what it is to: a refusal in one line, and no panic but, where a row is about that, a runtime's.
fn is_right(row: &Row, told: &str) -> bool {
    let is_calm = row.surrounding.ends_with("which panics") || !told.contains("panicked");
    let errors = told.lines().filter(|line| line.starts_with("error")).count();
    told.contains(row.says) && is_calm && (row.code != 2 || errors == 1)
}

/// A copy of the program in a folder that every user may read.
fn copy_for_everybody(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.join("ioduel");
    // By another process: this one's other threads start programs, which would hold the file open for writing.
    assert!(
        Command::new("cp")
            .args([env!("CARGO_BIN_EXE_ioduel").as_ref(), program.as_os_str()])
            .status()
            .unwrap()
            .success()
    );
    program
}

fn run(row: &Row, program: &Path, out: &Path) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{LIMIT}\n{}", row.script)]).env("PATH", path).env("OUT", out);
    command.env("RECORD", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/records/small")).current_dir(out);
    let Some(filter) = row.forbidden.filter() else { return command.output().unwrap() };
    // A filter binds the thread that it is put on, and every process that this thread starts.
    thread::scope(|scope| {
        let within = scope.spawn(|| {
            seccompiler::apply_filter(&filter).unwrap();
            command.output().unwrap()
        });
        within.join().unwrap()
    })
}

/// The numbers of the system calls in container/seccomp.json.
fn refused_by_own_profile() -> Vec<libc::c_long> {
    macro_rules! numbers {
        ($($name:literal => $number:ident),+ $(,)?) => { [$(($name, libc::$number)),+] };
    }
    let numbers = numbers! {
        "acct" => SYS_acct, "add_key" => SYS_add_key, "bpf" => SYS_bpf, "clock_settime" => SYS_clock_settime,
        "delete_module" => SYS_delete_module, "finit_module" => SYS_finit_module, "init_module" => SYS_init_module,
        "kexec_file_load" => SYS_kexec_file_load, "kexec_load" => SYS_kexec_load, "keyctl" => SYS_keyctl,
        "mount" => SYS_mount, "move_mount" => SYS_move_mount, "open_by_handle_at" => SYS_open_by_handle_at,
        "open_tree" => SYS_open_tree, "pivot_root" => SYS_pivot_root, "quotactl" => SYS_quotactl, "reboot" => SYS_reboot,
        "request_key" => SYS_request_key, "setdomainname" => SYS_setdomainname, "sethostname" => SYS_sethostname,
        "settimeofday" => SYS_settimeofday, "swapoff" => SYS_swapoff, "swapon" => SYS_swapon, "umount2" => SYS_umount2,
        "userfaultfd" => SYS_userfaultfd,
    };
    let profile: serde_json::Value =
        serde_json::from_str(include_str!("../../../container/seccomp.json")).unwrap();
    let names = profile["syscalls"][0]["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    names
        .map(|name| numbers.iter().find(|(is, _)| *is == name).unwrap_or_else(|| panic!("{name}")).1)
        .collect()
}

impl Forbidden {
    fn filter(self) -> Option<BpfProgram> {
        let rules: Vec<(libc::c_long, Vec<SeccompRule>)> = match self {
            Self::Nothing => return None,
            Self::Calls(calls) => calls.iter().map(|call| (*call, Vec::new())).collect(),
            Self::OwnProfile => refused_by_own_profile().into_iter().map(|call| (call, Vec::new())).collect(),
            Self::BindToDevice => {
                let is = |argument, value: i32| {
                    let value = u64::from(value.cast_unsigned());
                    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).unwrap()
                };
                let both = vec![is(1, libc::SOL_SOCKET), is(2, libc::SO_BINDTODEVICE)];
                vec![(libc::SYS_setsockopt, vec![SeccompRule::new(both).unwrap()])]
            }
        };
        let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let filter = SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, refused, arch);
        Some(filter.unwrap().try_into().unwrap())
    }
}
