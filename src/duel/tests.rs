//! The whole of a duel without waiting: a stand-in runner whose rounds are known.

use std::collections::BTreeMap;

use super::*;
use crate::{
    backend::Threading,
    placement::Placement,
    record::{Class, View},
    round::Flag,
};

fn three() -> Contest {
    contest(&plan(View::Own, Class::Mixed), &LOOPS.map(looping), &looping("epoll"))
}

const LOOPS: [&str; 3] = ["epoll", "mio", "tokio"];

fn looping(name: &str) -> Participant {
    Participant { name: name.to_owned(), threading: Threading::Loops }
}

fn plan(view: View, class: Class) -> ContestPlan {
    let workers = match class {
        Class::Multi => vec![2.into()],
        Class::Scaling => vec![1.into(), 4.into()],
        Class::Single | Class::Mixed => vec![1.into()],
    };
    let placement = Placement { server: None, client: None };
    let schedule = Schedule::Rounds { blocks: 2 };
    ContestPlan {
        workload: Workload::default(),
        arrivals: Arrivals::Closed,
        schedule,
        view,
        class,
        workers,
        placement,
    }
}

#[test]
fn a_contest_has_its_reference_first_and_its_copy_last() {
    let names: Vec<String> = three().arms.into_iter().map(|arm| arm.name).collect();
    assert_eq!(names, ["epoll", "mio", "tokio", "epoll again"]);
    let matrix = contest(&plan(View::Matrix, Class::Mixed), &LOOPS.map(looping)[1..], &looping("epoll"));
    let arms: Vec<(&str, &str)> =
        matrix.arms.iter().map(|arm| (arm.client.as_str(), arm.server.as_str())).collect();
    assert_eq!(
        arms,
        [("mio", "mio"), ("mio", "tokio"), ("tokio", "mio"), ("tokio", "tokio"), ("mio", "mio")]
    );
    let server = contest(&plan(View::Server, Class::Single), &LOOPS.map(looping), &looping("epoll"));
    assert!(server.arms.iter().all(|arm| arm.client == "epoll" && arm.client_workers == Some(1)));
}

#[test]
fn an_arm_has_workers_where_its_backend_has_such() {
    let each = Participant { name: "each".to_owned(), threading: Threading::PerConnection };
    let contest = contest(&plan(View::Own, Class::Multi), &[looping("epoll"), each], &looping("epoll"));
    let workers: Vec<_> = contest.arms.iter().map(|arm| (arm.server_workers, arm.client_workers)).collect();
    assert_eq!(workers, [(Some(2), Some(2)), (None, None), (Some(2), Some(2))]);
}

#[test]
fn who_is_to_show_what_workers_are_worth_has_each_number_of_them_and_a_client_that_is_no_limit() {
    let placement = Placement { server: None, client: Some("4-9".parse().unwrap()) };
    let plan = ContestPlan { placement, ..plan(View::Server, Class::Scaling) };
    let contest = contest(&plan, &LOOPS.map(looping)[1..], &looping("epoll"));
    let arms = contest.arms.iter().map(|arm| (arm.name.as_str(), arm.server_workers, arm.client_workers));
    assert_eq!(
        arms.collect::<Vec<_>>(),
        [
            ("mio/1", Some(1), Some(6)),
            ("mio/4", Some(4), Some(6)),
            ("tokio/1", Some(1), Some(6)),
            ("tokio/4", Some(4), Some(6)),
            ("mio/1 again", Some(1), Some(6))
        ]
    );
}

#[test]
fn the_same_seed_gives_the_same_order_and_every_arm_its_turn() {
    let contest = three();
    let mut firsts = BTreeMap::new();
    for epoch in 0..200 {
        let turns = order(7, &contest, epoch, 0);
        assert_eq!(turns, order(7, &contest, epoch, 0));
        let mut sorted = turns.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
        *firsts.entry(turns[0]).or_insert(0) += 1;
    }
    assert!(firsts.values().all(|times| (25..=75).contains(times)), "no arm leads too often: {firsts:?}");
    assert!((0..20).any(|epoch| order(7, &contest, epoch, 0) != order(8, &contest, epoch, 0)));
}

#[test]
fn at_rates_every_arm_has_each_of_them_once_a_block_next_to_the_other_arms() {
    let workload: Workload = "paced".parse().unwrap();
    let arrivals = Arrivals::Open { rates: vec![500.0, 20_000.0, 30_000.0], once: 1, objectives: Vec::new() };
    let plan = ContestPlan { workload, arrivals, ..plan(View::Server, Class::Mixed) };
    let contest = contest(&plan, &LOOPS.map(looping), &looping("pacer"));
    for block in 0..2 {
        let turns = turns(7, &contest, 3, block);
        assert_eq!(turns, super::turns(7, &contest, 3, block));
        // The first has one round an epoch.
        let rates: &[usize] = if block == 0 { &[0, 1, 2] } else { &[1, 2] };
        let mut sorted = turns.clone();
        sorted.sort_unstable();
        let all = (0..4).flat_map(|arm| rates.iter().map(move |step| (arm, Some(*step))));
        assert_eq!(sorted, all.collect::<Vec<_>>());
        for at_one in turns.chunks(4) {
            assert!(at_one.iter().all(|(_, step)| *step == at_one[0].1), "{turns:?}");
        }
    }
}

#[test]
fn epochs_at_rates_have_as_many_blocks_as_leave_eight_epochs_in_the_time() {
    let workload: Workload = "paced".parse().unwrap();
    let arrivals = Arrivals::Open { rates: vec![20_000.0; 10], once: 0, objectives: Vec::new() };
    let schedule = Schedule::Rounds { blocks: 5 };
    let plan = ContestPlan { workload, arrivals, schedule, ..plan(View::Server, Class::Mixed) };
    let contest = contest(&plan, &LOOPS.map(looping), &looping("pacer"));
    let blocks = |seconds| {
        let mut contest = contest.clone();
        fit_blocks(&mut contest, Duration::from_secs(seconds));
        contest.schedule.blocks()
    };
    // A block of four arms at ten rates takes some three seconds.
    assert_eq!(blocks(3600), 5);
    assert!((2..=4).contains(&blocks(80)), "{}", blocks(80));
    assert_eq!(blocks(5), 1);
}

/// A runner that only keeps count.
#[derive(Default)]
struct Counting {
    /// How many tries of each round at a rate are spoilt, and by what.
    spoilt: Vec<&'static str>,
    /// Tries of the round at hand.
    tries: usize,
    epochs: usize,
    open: bool,
    /// The slices of the epoch at hand: which arm, and its turn.
    slices: Vec<(usize, usize)>,
}

impl Runner for Counting {
    fn idle(&mut self, _contest: &Contest, place: Place) -> Option<Line> {
        assert!(!self.open, "it has processes of its own");
        Some(Line::Idle { place, bytes_per_connection: 1.0, kernel_bytes_per_connection: None })
    }

    fn begin_epoch(&mut self, _contest: &Contest, epoch: usize) {
        assert!(!self.open, "the processes before were ended");
        assert_eq!(epoch, self.epochs);
        self.open = true;
        self.epochs += 1;
        self.slices.clear();
    }

    fn slice(&mut self, contest: &Contest, arm: usize, turn: usize) {
        assert_eq!(self.slices.len() % contest.arms.len(), turn, "one turn after the other");
        self.slices.push((arm, turn));
    }

    fn sliced_round(&mut self, contest: &Contest, arm: usize, place: Place) -> Line {
        let blocks = self.slices.len() / contest.arms.len();
        let error = format!("{blocks} blocks");
        let turns = self.slices.iter().filter(|(of, _)| *of == arm).count();
        assert_eq!(turns, blocks, "every arm once a block");
        Line::Failed { place, error }
    }

    fn round(&mut self, _contest: &Contest, _arm: usize, place: Place) -> Line {
        let Some(reason) = self.spoilt.get(self.tries) else {
            self.tries = 0;
            return Line::Failed { place, error: "a stand-in".to_owned() };
        };
        self.tries += 1;
        let mut round = crate::analysis::tests::round(place, 1.0);
        round.excluded = vec![(*reason).to_owned()];
        Line::Round(Box::new(round))
    }

    fn end_epoch(&mut self) {
        self.open = false;
    }
}

/// A observer that stops after some blocks, or epochs of slices.
struct Patient {
    told: Vec<Vec<Line>>,
    most: usize,
}

impl Observer for Patient {
    fn lines(&mut self, lines: Vec<Line>, _elapsed: Duration) -> anyhow::Result<Next> {
        self.told.push(lines);
        Ok(if self.told.len() == self.most { Next::Stop } else { Next::GoOn })
    }

    fn is_interrupted(&self) -> bool {
        false
    }
}

fn fight_a_stand_in(schedule: Schedule, until: Until, most: usize) -> (Counting, Patient) {
    let plan = DuelPlan { contests: vec![Contest { schedule, ..three() }], seed: 1, until };
    let (mut runner, mut observer) = (Counting::default(), Patient { told: Vec::new(), most });
    fight(&plan, &mut runner, &mut observer).unwrap();
    assert!(!runner.open, "no process is left");
    (runner, observer)
}

const ROUNDS: Schedule = Schedule::Rounds { blocks: 2 };
const SLICES: Schedule = Schedule::Slices { warm_ms: 1, slice_ms: 2, blocks: 5 };

/// How many lines are rounds, and how many idle ones.
fn kinds(lines: &[Line]) -> (usize, usize) {
    let rounds = lines.iter().filter(|line| matches!(line, Line::Failed { .. })).count();
    (rounds, lines.len() - rounds)
}

#[test]
fn every_block_of_rounds_has_every_arm_once() {
    let (runner, observer) = fight_a_stand_in(ROUNDS, Until::Epochs(3), usize::MAX);
    assert_eq!((runner.epochs, observer.told.len()), (3, 6));
    for (index, lines) in observer.told.iter().enumerate() {
        assert_eq!(kinds(lines), (4, if index % 2 == 0 { 4 } else { 0 }));
        assert!(lines.iter().all(|line| line.place().epoch == index / 2 && line.place().block == index % 2));
    }
}

#[test]
fn every_epoch_of_slices_has_a_round_of_every_arm_and_only_three_have_idle_lines() {
    let (runner, observer) = fight_a_stand_in(SLICES, Until::Epochs(5), usize::MAX);
    assert_eq!((runner.epochs, observer.told.len()), (5, 5));
    for (epoch, lines) in observer.told.iter().enumerate() {
        assert_eq!(kinds(lines), (4, if epoch < 3 { 4 } else { 0 }));
        let of_five = |line: &&Line| matches!(line, Line::Failed { error, .. } if error == "5 blocks");
        assert_eq!(lines.iter().filter(of_five).count(), 4);
    }
}

#[test]
fn slices_are_as_long_as_the_workload_asks_for() {
    let crowd = Workload { connections: 1024, ..Workload::default() };
    assert_eq!(slices(&Workload::default(), 400), Schedule::Slices { warm_ms: 10, slice_ms: 20, blocks: 20 });
    assert_eq!(slices(&Workload::default(), 1).blocks(), 4);
    assert!(matches!(slices(&crowd, 400), Schedule::Slices { slice_ms, .. } if slice_ms > 20));
}

#[test]
fn a_short_duel_has_shorter_epochs_and_a_long_one_none_longer() {
    let blocks =
        |arms, seconds| fit(slices(&Workload::default(), 400), arms, Duration::from_secs(seconds)).blocks();
    assert_eq!((blocks(3, 3600), blocks(3, 1)), (20, 4));
    let (few, many) = (blocks(3, 10), blocks(13, 60));
    assert!((5..20).contains(&few) && (5..=20).contains(&many), "{few} {many}");
    assert_eq!(fit(ROUNDS, 3, Duration::from_secs(1)), ROUNDS);
}

#[test]
fn a_duel_ends_after_the_block_when_told_to() {
    for schedule in [ROUNDS, SLICES] {
        let (_, observer) = fight_a_stand_in(schedule, Until::Epochs(100), 3);
        assert_eq!(observer.told.len(), 3);
        let (_, observer) = fight_a_stand_in(schedule, Until::Time(Duration::ZERO), usize::MAX);
        assert_eq!(observer.told.len(), 0);
    }
}

/// Why each line of a block of two arms at a rate does not count.
fn tries_at_a_rate(arrivals: Arrivals, spoilt: &[&'static str]) -> Vec<String> {
    let schedule = Schedule::Rounds { blocks: 1 };
    let contest = Contest { schedule, arrivals, ..three() };
    let plan = DuelPlan { contests: vec![contest], seed: 1, until: Until::Epochs(1) };
    let mut runner = Counting { spoilt: spoilt.to_vec(), ..Counting::default() };
    let mut observer = Patient { told: Vec::new(), most: usize::MAX };
    fight(&plan, &mut runner, &mut observer).unwrap();
    let of_the_first = |line: &&Line| line.place().turn == 0 && !matches!(line, Line::Idle { .. });
    let why = |line: &Line| match line {
        Line::Round(round) => round.excluded.concat(),
        _ => "over".to_owned(),
    };
    observer.told.iter().flatten().filter(of_the_first).map(why).collect()
}

#[test]
fn a_round_at_a_rate_is_tried_again_while_the_machine_spoils_it() {
    let open = || Arrivals::Open { rates: vec![1000.0], once: 0, objectives: Vec::new() };
    let (late, still) = (Flag::PACER_LATE, Flag::PACER_STOOD_STILL);
    assert_eq!(tries_at_a_rate(open(), &[late]), [late, "over"]);
    assert_eq!(tries_at_a_rate(open(), &[still, late]), [still, late, "over"]);
    assert_eq!(tries_at_a_rate(open(), &[late; 9]), [late; TRIES], "in the end it is given up");
    assert_eq!(tries_at_a_rate(open(), &["kernel"]), ["kernel"], "that may be the arm's doing");
    assert_eq!(
        tries_at_a_rate(Arrivals::Closed, &["others"]),
        ["others"],
        "without a plan there is none to repeat"
    );
}
