//! Arms that are stopped and continued: a rest leaves no trace, for whichever backend.

use std::{
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use ioduel::{
    contestant::{self, Contestant},
    load::Workload,
    placement::{Cpus, Placement},
    round::{Flag, Launch, PairPlan, REST_CPU, Round, Slice, SliceLength, SlicedPair},
};
use nix::{
    sys::signal::{Signal, kill},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use crate::{peers::wait_until, results::Results};

/// So long that no round trip of a busy machine is taken for a rest.
const REST: Duration = Duration::from_millis(400);

const SLICES: usize = 6;

const LENGTH: SliceLength = SliceLength { warm: Duration::from_millis(5), window: Duration::from_millis(30) };

fn workload() -> Workload {
    Workload { connections: 16, ..Workload::default() }
}

/// Both sides on all processors, with two workers where there are such.
fn start(contestant: &Contestant) -> SlicedPair {
    let all = Cpus::of_this_process().unwrap();
    let placement = Placement { server: Some(all.clone()), client: Some(all) };
    let launch = Launch::here(env!("CARGO_BIN_EXE_ioduel").into(), placement);
    let workers = contestant.threading().has_free_workers().then_some(2);
    // A server alone is driven by another's client.
    let client = if contestant.is_alone() { "epoll" } else { contestant.name() };
    let plan = PairPlan {
        server_workers: workers,
        client_workers: workers,
        ..PairPlan::new(contestant.name(), client, &workload())
    };
    SlicedPair::start(&launch, plan, &workload(), 7).unwrap()
}

fn sliceable() -> impl Iterator<Item = &'static Contestant> {
    contestant::all().iter().filter(|it| it.available().is_ok() && it.is_sliceable())
}

/// Whoever looks for agents at rest must not find those of another test.
static REST_ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_rest_leaves_no_trace_in_any_backend() {
    let _alone = REST_ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut slices, mut timely) = (0, 0);
    for contestant in sliceable() {
        contestant.prepare(&|_| {}).unwrap();
        let mut pair = start(contestant);
        let mut rested = Duration::ZERO;
        for turn in 0..SLICES {
            let before = pair.spent().unwrap();
            thread::sleep(REST);
            rested += pair.spent().unwrap() - before;
            pair.slice(LENGTH, turn).unwrap();
        }
        let round = pair.end().unwrap();
        let name = contestant.name();
        // In all rests together no more than excludes a slice in one: what a stop itself may still cost.
        assert!(rested <= REST_CPU, "{name} spent {rested:?} of CPU time while it rested");
        no_trace(name, &round);
        slices += SLICES;
        timely += round.slices.iter().filter(|slice| !is_late(slice)).count();
    }
    assert!(timely * 2 > slices, "only {timely} of {slices} slices were read at one moment");
}

/// Its readings are of more than one moment, since the machine stood still between them.
fn is_late(slice: &Slice) -> bool {
    slice.excluded.as_deref() == Some("late")
}

fn no_trace(name: &str, round: &Round) {
    let run = &round.run;
    assert_eq!((round.slices.len(), run.failures), (SLICES, 0), "{name}: {:?}", run.first_failure);
    for histogram in [&run.connect, &run.round_trip, &run.session, &run.close, &run.unfinished] {
        assert!(histogram.max_s() < REST.as_secs_f64() * 0.75, "{name}: {:?}", histogram.summary());
    }
    assert!(run.elapsed_s < REST.as_secs_f64() * SLICES as f64 / 2.0, "{name}: {} s", run.elapsed_s);
    let little = round.flags().into_iter().find(|flag| matches!(flag, Flag::Little { .. }));
    assert_eq!(little, None, "{name}");
    assert_eq!(round.untrue, None, "{name}");
    let (messages, window_ns) = round
        .slices
        .iter()
        .fold((0, 0), |(messages, ns), slice| (messages + slice.messages, ns + slice.window_ns));
    assert!(run.window_s * 1e9 < window_ns as f64 * 0.95, "{name}: who waited for the reading is timed");
    let sliced = messages as f64 / (window_ns as f64 / 1e9);
    let timed = run.messages as f64 / run.window_s;
    let off = sliced / timed - 1.0;
    // Nothing is timed in the first eighth of a window, and one closes just after the last reading: among other tests that takes a while.
    assert!(off.abs() < 0.1, "{name}: {sliced} messages/s in the slices, {timed} in the histogram");
    let processors = Cpus::of_this_process().unwrap().count() as u64;
    for slice in &round.slices {
        let spent = slice.server_cpu_ns + slice.client_cpu_ns;
        assert!(slice.messages > 0 && spent > 0, "{name}: {slice:?}");
        let has_time = spent < processors * slice.window_ns * 11 / 10;
        assert!(has_time || is_late(slice), "{name}: {slice:?}");
        let ran = slice.excluded.as_deref() == Some("ran while it was to rest");
        assert!(!ran, "{name}");
        // A connection that is within a session at either end of a window makes a difference of less than one.
        let Workload { messages, connections, .. } = workload();
        let of_whole = slice.sessions.unwrap() * u64::from(messages);
        let off = of_whole.abs_diff(slice.messages);
        let is_whole = off <= u64::from(messages) * connections as u64;
        assert!(is_whole || is_late(slice), "{name}: {slice:?}");
    }
}

#[test]
fn an_arm_that_somebody_else_continues_is_noticed() {
    let _alone = REST_ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pair = start(sliceable().next().unwrap());
    pair.slice(LENGTH, 0).unwrap();
    let agents = children(std::process::id());
    for agent in &agents {
        kill(*agent, Signal::SIGCONT).unwrap();
    }
    thread::sleep(Duration::from_millis(50));
    pair.slice(LENGTH, 0).unwrap();
    let slices = pair.end().unwrap().slices;
    let ran = |slice: &Slice| slice.excluded.as_deref() == Some("ran while it was to rest");
    assert_eq!(slices.iter().map(ran).collect::<Vec<_>>(), [false, true]);
}

/// Reads the CPU clock of a process that never stops computing, then stops it and reads again: says how much the first
/// reading lacked.
fn lacking_when_read(
    busy: &std::process::Child,
    read_first: impl FnOnce(&dyn Fn() -> Duration) -> Duration,
) -> Duration {
    let pid = Pid::from_raw(busy.id().cast_signed());
    let clock = || clock_gettime(clock_getcpuclockid(pid).unwrap()).unwrap().into();
    let first = read_first(&clock);
    kill(pid, Signal::SIGSTOP).unwrap();
    wait_until("it stands still", || is_stopped(pid.as_raw()));
    let spent = clock() - first;
    kill(pid, Signal::SIGCONT).unwrap();
    thread::sleep(Duration::from_millis(11));
    spent
}

#[test]
fn what_a_process_spent_is_read_to_the_moment_where_it_runs() {
    const TRIES: usize = 40;
    let all = Cpus::of_this_process().unwrap();
    let theirs: Cpus = all.to_string().split(',').next().unwrap().parse().unwrap();
    let placement = Placement { server: Some(theirs.clone()), client: Some(theirs.clone()) };
    theirs.pin_this_process().unwrap();
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    all.pin_this_process().unwrap();
    let there = (0..TRIES).map(|_| {
        lacking_when_read(&busy, |clock| {
            let _away = placement.visit();
            clock()
        })
    });
    let near = there.filter(|lacking| *lacking < Duration::from_millis(1)).count();
    busy.kill().unwrap();
    busy.wait().unwrap();
    // From afar, with 250 ticks a second, it is so near in one of four.
    assert!(near > TRIES * 6 / 10, "{near} of {TRIES} readings were near");
}

/// The agents that a process has started and that are stopped.
fn children(id: u32) -> Vec<Pid> {
    // A thread may end between being listed and being read.
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let lists = tasks.flatten().flat_map(|task| std::fs::read_to_string(task.path().join("children")));
    let all: Vec<i32> =
        lists.flat_map(|it| it.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    all.into_iter().filter(|child| is_stopped(*child)).map(Pid::from_raw).collect()
}

fn is_stopped(id: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") T "))
}

#[test]
fn arms_at_rest_are_gone_when_the_duel_is_killed() {
    let results = Results::new("rest");
    let words = ["epoll", "mio", "--time", "60s"];
    let mut duel: std::process::Child = results.duel(&words).spawn().unwrap();
    let id = duel.id();
    let stopped = || children(id).len();
    wait_until("arms rest", || stopped() >= 4);
    let agents = children(id);
    duel.kill().unwrap();
    duel.wait().unwrap();
    wait_until("they are gone", || agents.iter().all(|agent| kill(*agent, None).is_err()));
}

/// Stops a server for a while in the middle of a round of a workload, and says how long the longest round trip was, as
/// `run --json` tells it.
fn longest_of_a_round_with_a_stop(workload: &str, stop: Duration) -> (f64, String) {
    // In the network of all: there the server is the first process that is started.
    let words = ["run", "epoll", "--workload", workload, "--duration", "1s", "--json", "--network", "shared"];
    let is_paced = workload.parse::<Workload>().unwrap().arrivals.is_some();
    let rate: &[&str] = if is_paced { &["--rate", "2000"] } else { &[] };
    let run = Command::new(env!("CARGO_BIN_EXE_ioduel"))
        .args(words)
        .args(rate)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let id = run.id();
    let agents = || -> Vec<i32> {
        let list = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        list.split_whitespace().flat_map(str::parse).collect()
    };
    wait_until("both agents run", || agents().len() >= 2);
    let Workload { idle, connections, ramp_ms, .. } = workload.parse().unwrap();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", agents()[0])).map_or(0, Iterator::count);
    wait_until("all are connected", || open() >= idle + connections / 2);
    // Beyond the longest ramp, within the window.
    thread::sleep(Duration::from_millis(ramp_ms + 500));
    let server = Pid::from_raw(agents()[0]);
    kill(server, Signal::SIGSTOP).unwrap();
    let begun = Instant::now();
    thread::sleep(stop);
    kill(server, Signal::SIGCONT).unwrap();
    assert!(begun.elapsed() >= stop);
    let output = run.wait_with_output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let longest = [if is_paced { "response_us" } else { "round_trip_us" }, "unfinished_us"]
        .map(|of| json[of]["max"].as_f64().unwrap_or(0.0));
    (longest[0].max(longest[1]), json["flags"].to_string())
}

#[test]
fn a_server_that_stands_still_is_seen_in_every_workload() {
    let stop = Duration::from_millis(150);
    for workload in Workload::named() {
        let (longest_us, flags) = longest_of_a_round_with_a_stop(&workload.name, stop);
        let seen = longest_us >= stop.as_micros() as f64 * 0.95;
        assert!(seen || flags.contains("Little"), "{workload}: the longest is {longest_us} µs, {flags}");
    }
}
