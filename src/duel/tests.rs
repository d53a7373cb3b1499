//! The whole of a duel without waiting: a stand-in arena whose rounds are known.

use std::collections::BTreeMap;

use super::*;

fn three() -> Contest {
    contest(&terms(View::Own, Class::Mixed), &LOOPS.map(looping), &looping("epoll"))
}

const LOOPS: [&str; 3] = ["epoll", "mio", "tokio"];

fn looping(name: &str) -> Contender {
    Contender { name: name.to_owned(), threading: Threading::Loops }
}

fn terms(view: View, class: Class) -> Terms {
    let workers = if class == Class::Multi { 2 } else { 1 };
    let placement = Placement { server: None, client: None };
    Terms { workload: "session".to_owned(), view, class, workers, placement }
}

#[test]
fn a_contest_has_its_reference_first_and_its_copy_last() {
    let names: Vec<String> = three().arms.into_iter().map(|arm| arm.name).collect();
    assert_eq!(names, ["epoll", "mio", "tokio", "epoll again"]);
    let matrix = contest(&terms(View::Matrix, Class::Mixed), &LOOPS.map(looping)[1..], &looping("epoll"));
    let arms: Vec<(&str, &str)> =
        matrix.arms.iter().map(|arm| (arm.client.as_str(), arm.server.as_str())).collect();
    assert_eq!(
        arms,
        [("mio", "mio"), ("mio", "tokio"), ("tokio", "mio"), ("tokio", "tokio"), ("mio", "mio")]
    );
    let server = contest(&terms(View::Server, Class::Single), &LOOPS.map(looping), &looping("epoll"));
    assert!(server.arms.iter().all(|arm| arm.client == "epoll" && arm.client_workers == Some(1)));
}

#[test]
fn an_arm_has_workers_where_its_backend_has_such() {
    let each = Contender { name: "each".to_owned(), threading: Threading::PerConnection };
    let contest = contest(&terms(View::Own, Class::Multi), &[looping("epoll"), each], &looping("epoll"));
    let workers: Vec<_> = contest.arms.iter().map(|arm| (arm.server_workers, arm.client_workers)).collect();
    assert_eq!(workers, [(Some(2), Some(2)), (None, None), (Some(2), Some(2))]);
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

/// An arena that only keeps count.
#[derive(Default)]
struct Counting {
    epochs: usize,
    open: bool,
}

impl Arena for Counting {
    fn begin_epoch(&mut self, _contest: &Contest) {
        assert!(!self.open, "the processes before were ended");
        self.open = true;
        self.epochs += 1;
    }

    fn round(&mut self, _contest: &Contest, _arm: usize, place: Place) -> Line {
        Line::Failed { place, error: "a stand-in".to_owned() }
    }

    fn idle(&mut self, _contest: &Contest, _arm: usize, place: Place) -> Option<Line> {
        Some(Line::Idle { place, bytes_per_connection: 1.0 })
    }

    fn end_epoch(&mut self) {
        self.open = false;
    }
}

/// A witness that stops after some blocks.
struct Patient {
    blocks: Vec<Vec<Line>>,
    most: usize,
}

impl Witness for Patient {
    fn block(&mut self, lines: Vec<Line>, _elapsed: Duration) -> anyhow::Result<Next> {
        self.blocks.push(lines);
        Ok(if self.blocks.len() == self.most { Next::Stop } else { Next::GoOn })
    }
}

fn fight_a_stand_in(until: Until, most: usize) -> (Counting, Patient) {
    let plan = DuelPlan { contests: vec![three()], seed: 1, blocks: 2, until };
    let (mut arena, mut witness) = (Counting::default(), Patient { blocks: Vec::new(), most });
    fight(&plan, &mut arena, &mut witness).unwrap();
    assert!(!arena.open, "no process is left");
    (arena, witness)
}

#[test]
fn every_block_has_every_arm_once_and_every_epoch_an_idle_line_for_each() {
    let (arena, witness) = fight_a_stand_in(Until::Epochs(3), usize::MAX);
    assert_eq!((arena.epochs, witness.blocks.len()), (3, 6));
    for (index, lines) in witness.blocks.iter().enumerate() {
        let rounds = lines.iter().filter(|line| matches!(line, Line::Failed { .. })).count();
        let idle = lines.len() - rounds;
        assert_eq!((rounds, idle), (4, if index % 2 == 0 { 4 } else { 0 }));
        assert!(lines.iter().all(|line| line.place().epoch == index / 2 && line.place().block == index % 2));
    }
}

#[test]
fn a_duel_ends_after_the_block_when_told_to() {
    let (_, witness) = fight_a_stand_in(Until::Epochs(100), 3);
    assert_eq!(witness.blocks.len(), 3);
    let (_, witness) = fight_a_stand_in(Until::Time(Duration::ZERO), usize::MAX);
    assert_eq!(witness.blocks.len(), 0);
}
