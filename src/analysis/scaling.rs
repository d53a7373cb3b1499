//! What more workers are worth: each number of them beside the fewest of the same backend.

use serde::Serialize;

use super::Compared;
use crate::record::{Arm, Class};

/// A backend with so many workers, beside itself with the fewest that it was measured with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScalingPoint {
    /// The backend.
    pub backend: String,
    /// Its workers.
    pub workers: usize,
    /// The fewest that it was measured with.
    pub fewest: usize,
    /// How many times what the fewest do it does, by the measure that the contest is ranked by.
    pub speedup: f64,
    /// The lower end of that's 95% interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Why it says nothing of what more processors would give; absent where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
}

impl ScalingPoint {
    /// A speed-up as a share of what as many times the workers would do at best.
    pub fn efficiency(&self, speedup: f64) -> f64 {
        speedup * self.fewest as f64 / self.workers as f64
    }
}

impl Compared<'_> {
    /// What each backend does with more workers than its fewest, where arms differ by them.
    pub fn scaling(&self) -> Vec<ScalingPoint> {
        if self.contest().class != Class::Scaling {
            return Vec::new();
        }
        let arms = &self.contest().arms;
        let workers = |arm: usize| arms[arm].server_workers.unwrap_or(1);
        let judged = self.arms();
        let fewest = |arm: usize| {
            let own = judged.iter().copied().filter(|other| arms[*other].server == arms[arm].server);
            own.min_by_key(|other| workers(*other))
        };
        let point = |arm: usize| {
            let base = fewest(arm).filter(|base| *base != arm)?;
            let (_, found) =
                self.comparisons(self.headline(), base).into_iter().find(|(other, _)| *other == arm)?;
            Some(ScalingPoint {
                backend: arms[arm].server.clone(),
                workers: workers(arm),
                fewest: workers(base),
                speedup: found.ratio,
                low: found.low,
                high: found.high,
                void: self.void(arm).or_else(|| self.void(base)),
            })
        };
        let mut points: Vec<ScalingPoint> = judged.iter().filter_map(|arm| point(*arm)).collect();
        let place = |backend: &str| arms.iter().position(|arm| arm.server == backend);
        points.sort_by_key(|point| (place(&point.backend), point.workers));
        points
    }

    /// Why an arm shows something else than what its workers can do.
    fn void(&self, arm: usize) -> Option<String> {
        let Arm { name, server_workers, .. } = &self.contest().arms[arm];
        let placement = &self.contest().placement;
        if self.client_bound(arm) {
            return Some(format!("the client was the limit of {name}"));
        }
        let processors = placement.server.as_ref().map(|cpus| cpus.count());
        match (server_workers, processors) {
            (Some(workers), Some(processors)) if *workers > processors => {
                Some(format!("{name} has {}", counted(processors, "processor")))
            }
            (_, Some(_)) if placement.client.is_some() && !placement.is_apart() => {
                Some("server and client share processors".to_owned())
            }
            _ => None,
        }
    }
}

/// A number of things, such as `1 processor` or `2 processors`.
fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        analysis::{Measure, Ranked, analyse, tests::record_of},
        placement::Placement,
        record::{Line, Record, View},
        report::{page, text},
    };

    /// Two backends with one, two and four workers each, on four processors beside the client's; each does so much.
    fn scaled(level: impl Fn(&str, usize, usize) -> f64) -> Record {
        let names: Vec<String> = ["epoll", "mio"]
            .iter()
            .flat_map(|it| [1, 2, 4].map(|workers| format!("{it}/{workers}")))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut record = record_of(&names, |name, epoch, block| Some(level(name, epoch, block)));
        let contest = &mut record.setup.contests[0];
        (contest.class, contest.view) = (Class::Scaling, View::Server);
        contest.placement =
            Placement { server: Some("0-3".parse().unwrap()), client: Some("4-7".parse().unwrap()) };
        for arm in &mut contest.arms {
            let (server, workers) = arm.name.split_once('/').unwrap_or(("epoll", "1"));
            (arm.server, arm.server_workers) = (server.to_owned(), workers.parse().ok());
        }
        for line in &mut record.lines {
            if let Line::Round(round) = line {
                (round.place.class, round.place.view) = (Class::Scaling, View::Server);
            }
        }
        record
    }

    fn points(record: &Record) -> Vec<ScalingPoint> {
        analyse(record).unwrap().contests[0].scaling.clone()
    }

    fn grain(name: &str, epoch: usize, block: usize) -> f64 {
        let seed = name.bytes().map(usize::from).sum::<usize>() + epoch * 5 + block * 3;
        1.0 + (seed % 11) as f64 * 1e-4
    }

    #[test]
    fn each_backend_is_held_against_its_own_fewest() {
        let times = |name: &str| match name {
            "epoll/2" => 1.8,
            "epoll/4" => 3.0,
            "mio/1" => 0.5,
            "mio/2" => 1.0,
            "mio/4" => 1.5,
            _ => 1.0,
        };
        let record = scaled(|name, epoch, block| 100.0 * times(name) * grain(name, epoch, block));
        let found: Vec<(String, usize, f64)> = points(&record)
            .iter()
            .map(|point| {
                (point.backend.clone(), point.workers, (point.efficiency(point.speedup) * 100.0).round())
            })
            .collect();
        let named = |backend: &str, workers, share| (backend.to_owned(), workers, share);
        assert_eq!(
            found,
            [named("epoll", 2, 90.0), named("epoll", 4, 75.0), named("mio", 2, 100.0), named("mio", 4, 75.0)]
        );
        assert!(points(&record).iter().all(|point| point.void.is_none()));
    }

    #[test]
    fn a_point_is_void_where_something_else_was_the_limit() {
        let whole = || scaled(|name, epoch, block| 100.0 * grain(name, epoch, block));
        let voids = |record: &Record| -> Vec<String> {
            points(record).into_iter().map(|point| point.void.unwrap_or_default()).collect()
        };
        let mut narrow = whole();
        narrow.setup.contests[0].placement.server = Some("0-1".parse().unwrap());
        assert_eq!(voids(&narrow), ["", "epoll/4 has 2 processors", "", "mio/4 has 2 processors"]);
        let mut shared = whole();
        shared.setup.contests[0].placement.client = Some("3-7".parse().unwrap());
        assert_eq!(voids(&shared), ["server and client share processors"; 4]);
        let mut busy = whole();
        for line in &mut busy.lines {
            if let Line::Round(round) = line {
                round.client_bound = ["epoll/4", "mio/1"].contains(&round.place.arm.as_str());
            }
        }
        let (of_four, of_all) = ("the client was the limit of epoll/4", "the client was the limit of mio/1");
        assert_eq!(voids(&busy), ["", of_four, of_all, of_all]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sentences_pictures_and_the_table_say_the_same(
            times in proptest::collection::vec(0.3f64..4.0, 6),
            noise in proptest::collection::vec(0.97f64..1.03, 97),
        ) {
            let place = |name: &str| ["epoll/1", "epoll/2", "epoll/4", "mio/1", "mio/2", "mio/4"].iter().position(|is| *is == name);
            let record = scaled(|name, epoch, block| {
                let cell = 12 * epoch + 6 * block + place(name).map_or(0, |place| place + 1);
                100.0 * times[place(name).unwrap_or(0)] * noise[cell % noise.len()]
            });
            let analysis = analyse(&record).unwrap();
            let contest = &analysis.contests[0];
            let ratio = |name: &str| match contest.arms.iter().find(|arm| arm.arm.name == name) {
                Some(arm) => arm.comparisons.get(&Measure::Throughput).map_or(1.0, |found| found.ratio),
                None => f64::NAN,
            };
            let shown = text(&record.setup, &analysis, 100).split_whitespace().collect::<Vec<_>>().join(" ");
            let page = page(&record, Ranked::default()).unwrap();
            prop_assert_eq!(contest.scaling.len(), 4);
            for point in &contest.scaling {
                let [more, fewest] = [point.workers, point.fewest].map(|workers| ratio(&format!("{}/{workers}", point.backend)));
                prop_assert!((point.speedup / (more / fewest) - 1.0).abs() < 1e-9, "{:?}", point);
                prop_assert!(point.low <= point.speedup && point.speedup <= point.high);
                let told = format!("{} do {:.2} times that ({:.2} to {:.2})", point.workers, point.speedup, point.low, point.high);
                prop_assert!(shown.contains(&told), "{}: {}", told, shown);
                let drawn = format!("{} with {} workers {:.2}", point.backend, point.workers, point.speedup);
                prop_assert!(page.contains(&drawn), "{}", drawn);
            }
        }
    }
}
