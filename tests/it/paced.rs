//! Loads at a rate: what the pacer counts of a server that stands still, and a duel that finds capacities.

use std::{
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use ioduel::{
    analysis::{Measure, analyse},
    backend::all,
    load::{Extent, LatencyHistogram, Workload},
    pacer,
    placement::Placement,
    record::Record,
    round::{Launch, Offer, Pair, PairPlan, Round},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{peers::wait_until, results::Results};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ioduel");

fn paced() -> Workload {
    "paced".parse().unwrap()
}

/// Both on one processor: there the pacer sleeps, and takes no other test that has its processor for a moment apart.
fn start(server: &str, client: &str) -> Pair {
    start_at(server, client, Placement::or_default(None, None).unwrap())
}

fn start_at(server: &str, client: &str, placement: Placement) -> Pair {
    let launch = Launch::here(PROGRAM.into(), placement);
    Pair::start(&launch, PairPlan::new(server, client, &paced())).unwrap()
}

/// Stops the server of a pair for a while in the middle of what `work` measures.
fn with_a_stop(pair: &mut Pair, stop: Duration, work: impl FnOnce(&mut Pair) -> Round) -> Round {
    let server = Pid::from_raw(pair.server_id().cast_signed());
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(400));
            kill(server, Signal::SIGSTOP).unwrap();
            let begun = Instant::now();
            thread::sleep(stop);
            kill(server, Signal::SIGCONT).unwrap();
            assert!(begun.elapsed() >= stop);
        });
        work(pair)
    })
}

/// How many of these were as long.
fn at_least(histogram: &LatencyHistogram, long: Duration) -> u64 {
    let shorter = |share: f64| histogram.quantile(share) < long;
    let count = histogram.count();
    // The first rank at which it is as long.
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        if shorter((middle + 1) as f64 / count as f64) { low = middle + 1 } else { high = middle }
    }
    count - low
}

/// Messages a second: so few that every server has caught up with a stop within as long again, in a build of tests too.
const RATE: u32 = 4000;

const STOP: Duration = Duration::from_millis(200);

#[test]
fn whoever_comes_while_a_server_stands_still_is_counted_with_all_that_it_waited() {
    for backend in all().iter().filter(|backend| backend.available().is_ok()) {
        let mut pair = start(backend.about().name, pacer::NAME);
        counts_a_stop(&mut pair, backend.about().name, RATE, STOP);
    }
}

#[test]
#[ignore = "needs two processors that nobody else uses, and says what it counted"]
#[allow(clippy::print_stdout, reason = "the figures that METHODOLOGY.md has")]
fn so_it_is_at_twenty_thousand_a_second() {
    let of = |list: &str| Some(list.parse().unwrap());
    for backend in all().iter().filter(|backend| backend.available().is_ok()) {
        let name = backend.about().name;
        let placement = Placement::or_default(of("0"), of("1")).unwrap();
        let mut pair = start_at(name, pacer::NAME, placement);
        let late = counts_a_stop(&mut pair, name, 20_000, Duration::from_millis(100));
        println!("{name}: {late} messages waited for 50 ms and more");
    }
}

/// Stops the server for a while; returns how many messages waited for half as long or longer.
fn counts_a_stop(pair: &mut Pair, name: &str, rate: u32, stop: Duration) -> u64 {
    let offer = Offer::new(rate.into(), 5, 1500, &[]);
    let round = with_a_stop(pair, stop, |pair| pair.paced(&paced(), offer).unwrap());
    let open = round.run.open.unwrap();
    // Those that came due while the machine had the pacer's processor are counted apart.
    let counted = open.response.count() + open.unfinished + open.stalled.count();
    assert_eq!(open.planned, counted, "{name}");
    // Of those that came in its first half each waited for the second at least. Those behind wait until they are caught up
    // with; that takes less than the stop.
    let due = f64::from(rate) * stop.as_secs_f64() / 2.0;
    let late = at_least(&open.response, stop / 2);
    assert!((0.9 * due..1.1 * 2.0 * due).contains(&(late as f64)), "{name}: {late} of {due}");
    late
}

#[test]
fn a_closed_loop_beside_it_shows_one_for_each_connection() {
    let mut pair = start("epoll", "epoll");
    let extent = Extent::Timed { ramp_ms: 100, window_ms: 1500 };
    let round = with_a_stop(&mut pair, STOP, |pair| pair.workload(&paced(), extent).unwrap());
    let late = at_least(&round.run.round_trip, STOP / 2);
    // One more where a neighbour of the machine's stopped it again.
    assert!((1..=2 * 64).contains(&late), "{late} of 64");
}

fn run(words: &[&str]) -> Output {
    Command::new(PROGRAM).args(words).output().unwrap()
}

#[test]
fn one_rate_is_measured_with_all_that_its_json_promises() {
    let output = run(&["run", "tokio-current", "--rate", "2000", "--duration", "500ms", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["backend"].as_str(), json["server"].as_str()), (Some("pacer"), Some("tokio-current")));
    assert_eq!(json["offered_per_second"].as_f64(), Some(2000.0));
    for of in ["response_us", "service_us", "lateness_us"] {
        for quantile in ["p50", "p90", "p99", "p999", "max"] {
            assert!(json[of][quantile].as_f64().is_some(), "{of} {quantile}: {json}");
        }
    }
    assert!(json["achieved_per_second"].as_f64().unwrap() > 1000.0, "{json}");
    assert!(json["unfinished"].as_u64().is_some());
    let worse =
        |quantile: &str| json["response_us"][quantile].as_f64() >= json["service_us"][quantile].as_f64();
    assert!(worse("p50") && worse("max"), "{json}");
}

#[test]
fn a_duel_finds_the_capacity_of_each_arm() {
    let results = Results::new("capacity");
    let words = ["epoll", "mio", "--workload", "handler", "--objective", "p99 < 20ms", "--epochs", "2"];
    let duel = results.duel(&words).output().unwrap();
    let told = String::from_utf8_lossy(&duel.stderr);
    assert!(duel.status.success(), "{told}");
    assert!(String::from_utf8_lossy(&duel.stdout).contains("handler, capacity at p99 < 20ms"));
    let folder = results.record().unwrap();
    let record = Record::read(&folder).unwrap();
    assert_eq!(record.damage, None);
    let analysis = analyse(&record).unwrap();
    let first = &analysis.contests[0];
    assert_eq!(first.headline, Measure::Capacity);
    assert!(analysis.contests.iter().skip(1).all(|contest| contest.rate.is_some()));
    assert!(analysis.contests.len() > 2);
}

#[test]
fn all_arms_of_a_block_have_the_same_plan() {
    let results = Results::new("plans");
    let words = ["epoll", "mio", "--workload", "paced", "--rate", "3000", "--epochs", "2"];
    assert!(results.duel(&words).output().unwrap().status.success());
    let record = Record::read(&results.record().unwrap()).unwrap();
    let mut plans: std::collections::BTreeMap<(usize, usize), Vec<u64>> = Default::default();
    for line in &record.lines {
        let ioduel::record::Line::Round(round) = line else { continue };
        let place = &round.place;
        plans.entry((place.epoch, place.block)).or_default().push(round.open.as_ref().unwrap().planned);
    }
    assert!(
        plans.values().all(|planned| planned.len() >= 3 && planned.iter().all(|it| it == &planned[0])),
        "{plans:?}"
    );
    let all: std::collections::BTreeSet<u64> = plans.values().map(|planned| planned[0]).collect();
    assert!(all.len() > 1, "blocks differ: {plans:?}");
}

#[test]
fn what_cannot_be_offered_is_told_before_anything_is_started() {
    let rows: [(&[&str], &str); 9] = [
        (&["run", "epoll", "--rate", "0"], "a rate must be 1 to 1000000 messages a second, not 0"),
        (
            &["run", "epoll", "--rate", "2000000"],
            "a rate must be 1 to 1000000 messages a second, not 2000000",
        ),
        (&["run", "epoll", "--workload", "handler"], "give one, such as --rate 20000"),
        (
            &["duel", "epoll", "mio", "--objective", "p99"],
            "is not an objective such as 'p99 < 2ms': it has no <",
        ),
        (
            &["duel", "epoll", "mio", "--objective", "p98 < 1ms"],
            "the quantiles are p50, p90, p95, p99 and p99.9",
        ),
        (&["duel", "epoll", "mio", "--rate", "100", "--objective", "p99 < 1ms"], "cannot be used with"),
        (
            &["duel", "epoll", "mio", "--workload", "paced", "--view", "matrix"],
            "--view matrix compares clients",
        ),
        (
            &["duel", "epoll", "mio", "--workload", "paced", "--rate", "5"],
            "a round needs 918 messages for p99",
        ),
        (&["run", "epoll", "--rate", "1000000", "--duration", "10m"], "would be 600100000 messages"),
    ];
    for (words, says) in rows {
        let output = run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && told.contains(says) && !told.contains("panicked"),
            "{words:?}: {told}"
        );
    }
}

#[test]
fn an_objective_that_nobody_meets_is_told_with_the_rate_that_was_tried() {
    let results = Results::new("nobody");
    let duel =
        results.duel(&["epoll", "mio", "--workload", "paced", "--objective", "p99 < 1us"]).output().unwrap();
    let told = String::from_utf8_lossy(&duel.stderr);
    assert!(told.contains("no arm meets the objective, not even at"), "{told}");
    assert!(!duel.status.success() && results.record().is_none(), "and nothing is recorded");
}

#[test]
fn who_has_nothing_to_offload_to_is_told_so() {
    let results = Results::new("offload");
    std::fs::create_dir_all(&results.0).unwrap();
    let file = results.0.join("mine.toml");
    let text = "name = \"mine\"\nconnections = 4\nmessage_bytes = 32\nwork = { kind = \"offload\", time = \"1ms\" }\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let output = run(&["run", "epoll", "--workload", file]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("epoll: it has nothing to have blocking work done by"), "{told}");
    let output = run(&["run", "tokio-current", "--workload", file, "--duration", "200ms", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["server_cpu_us_per_message"].as_f64().unwrap() > 980.0, "{json}");
}

/// What the pacer does within a round, by strace: the calls of its sockets and no others.
#[test]
fn within_a_round_a_pacer_makes_the_calls_of_its_sockets_alone() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: there is no strace");
        return;
    }
    let results = Results::new("calls");
    std::fs::create_dir_all(&results.0).unwrap();
    let trace = results.0.join("trace");
    let prefix = format!("strace -f -o {}", trace.display());
    let words = [
        "run",
        "epoll",
        "--rate",
        "2000",
        "--duration",
        "500ms",
        "--client-exec",
        &prefix,
        "--client-cpus",
        "0",
    ];
    assert!(run(&words).status.success());
    wait_until("the trace is whole", || {
        std::fs::read_to_string(&trace).is_ok_and(|it| it.contains("exit_group"))
    });
    let text = std::fs::read_to_string(&trace).unwrap();
    // From the first message of the round to the last: before it, one was sent on each of 64 connections.
    let calls: Vec<&str> = text.lines().collect();
    let is_sent = |line: &str| {
        line.contains(" - Send Message") && (line.contains("write(") || line.contains("sendto("))
    };
    let sent: Vec<usize> = (0..calls.len()).filter(|number| is_sent(calls[*number])).collect();
    let (first, last) = (sent[64], sent[sent.len() - 1]);
    let thread = calls[first].split_whitespace().next().unwrap();
    let own = calls[first..last].iter().filter(|line| line.starts_with(thread) && !line.contains("resumed>"));
    let name = |line: &&str| {
        line.split_whitespace().nth(1).unwrap_or_default().split('(').next().unwrap_or_default().to_owned()
    };
    let mut names: Vec<String> = own.map(name).collect();
    assert!(names.len() > 1000, "{} calls", names.len());
    names.sort();
    names.dedup();
    let known = ["epoll_wait", "write", "sendto", "read", "recvfrom", "timerfd_settime", "---"];
    let others: Vec<&String> = names.iter().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{others:?}");
}
