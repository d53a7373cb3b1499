//! What more workers are worth: each number of them beside the fewest of the same backend, in a closed loop.

use serde::Serialize;

use super::{Compared, Measure, Scope};
use crate::record::{Arm, Class};

/// The share of its workers' time up to which a server could plainly have done more: what limits it is something else.
const IDLE: f64 = 0.70;

/// A backend with so many workers, beside itself with the fewest that it was measured with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScalingPoint {
    /// The backend.
    pub backend: String,
    /// Its workers.
    pub workers: usize,
    /// The fewest that it was measured with.
    pub fewest: usize,
    /// How many times the messages/s of the fewest it has.
    pub speedup: f64,
    /// The lower end of that's 95% interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The share of its workers' time that the server spent computing.
    pub busy: Option<f64>,
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
        if self.contest().class != Class::Scaling || self.scope() != Scope::Closed {
            return Vec::new();
        }
        let arms = &self.contest().arms;
        // A known handicap is no number of workers.
        let judged: Vec<usize> = self.arms().into_iter().filter(|arm| arms[*arm].burn_ns == 0).collect();
        let fewest = |arm: usize| {
            let own = judged.iter().copied().filter(|other| arms[*other].server == arms[arm].server);
            own.min_by_key(|other| workers(&arms[*other]))
        };
        let point = |arm: usize| {
            let base = fewest(arm).filter(|base| *base != arm)?;
            let found = self.comparisons(Measure::Throughput, base);
            let (_, found) = found.into_iter().find(|(other, _)| *other == arm)?;
            Some(ScalingPoint {
                backend: arms[arm].server.clone(),
                workers: workers(&arms[arm]),
                fewest: workers(&arms[base]),
                speedup: found.ratio,
                low: found.low,
                high: found.high,
                busy: self.busy(arm),
                void: self.void(arm).or_else(|| self.void(base)),
            })
        };
        let mut points: Vec<ScalingPoint> = judged.iter().filter_map(|arm| point(*arm)).collect();
        let place = |backend: &str| arms.iter().position(|arm| arm.server == backend);
        points.sort_by_key(|point| (place(&point.backend), point.workers));
        points
    }

    /// The share of its workers' time that an arm's server spent computing.
    fn busy(&self, arm: usize) -> Option<f64> {
        let arm = &self.contest().arms[arm];
        let level = |measure| self.level(measure, &arm.name);
        // Microseconds of CPU time per message, and messages per second.
        Some(level(Measure::ServerCpu)? * level(Measure::Throughput)? / 1e6 / workers(arm) as f64)
    }

    /// Why an arm shows something else than what its workers can do.
    fn void(&self, arm: usize) -> Option<String> {
        let Arm { name, void, .. } = &self.contest().arms[arm];
        let idle = self.busy(arm).filter(|busy| *busy < IDLE);
        if let Some(why) = void {
            Some(format!("{name} {why}"))
        } else if self.client_bound(arm) {
            Some(format!("the client was the limit of {name}"))
        } else if self.contest().workload.connections < workers(&self.contest().arms[arm]) {
            Some(format!("{name} has more workers than connections"))
        } else {
            idle.map(|busy| format!("{name} was busy for only {:.0}% of the time", 100.0 * busy))
        }
    }
}

fn workers(arm: &Arm) -> usize {
    arm.server_workers.unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        agent::Cost,
        analysis::{Measure, Ranked, analyse, tests::record_of},
        record::{Arrivals, Line, Record, View},
        report::{markdown, page, text},
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
        for arm in &mut contest.arms {
            let (server, workers) = arm.name.split_once('/').unwrap_or(("epoll", "1"));
            (arm.server, arm.server_workers) = (server.to_owned(), workers.parse().ok());
        }
        for line in &mut record.lines {
            if let Line::Round(round) = line {
                (round.place.class, round.place.view) = (Class::Scaling, View::Server);
                // Busy all the time, of a second.
                let workers = round.place.arm.split_once('/').and_then(|(_, workers)| workers.parse().ok());
                round.server = Cost { user_s: workers.unwrap_or(1.0), ..Cost::default() };
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
    fn at_rates_there_is_no_speed_up() {
        let mut record = scaled(|name, epoch, block| 100.0 * grain(name, epoch, block));
        record.setup.contests[0].arrivals =
            Arrivals::Open { rates: vec![1000.0], once: 0, objectives: Vec::new() };
        assert!(analyse(&record).unwrap().contests.iter().all(|contest| contest.scaling.is_empty()));
    }

    #[test]
    fn a_backend_without_its_fewest_is_held_against_the_next_and_said_so() {
        let mut record = scaled(|name, epoch, block| 100.0 * grain(name, epoch, block));
        for line in &mut record.lines {
            if let Line::Round(round) = line
                && round.place.arm == "mio/1"
            {
                round.excluded.push("others".to_owned());
            }
        }
        let of_mio: Vec<(usize, usize)> = points(&record)
            .iter()
            .filter(|point| point.backend == "mio")
            .map(|point| (point.fewest, point.workers))
            .collect();
        assert_eq!(of_mio, [(2, 4)]);
        let shown = text(&record.setup, &analyse(&record).unwrap(), 100);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("mio, messages/s compared with 2 workers: 4 workers 1.00"), "{shown}");
    }

    #[test]
    fn a_point_is_void_where_something_else_was_the_limit() {
        let whole = || scaled(|name, epoch, block| 100.0 * grain(name, epoch, block));
        let voids = |record: &Record| -> Vec<String> {
            points(record).into_iter().map(|point| point.void.unwrap_or_default()).collect()
        };
        let mut narrow = whole();
        for arm in &mut narrow.setup.contests[0].arms {
            arm.void = arm.name.ends_with("/4").then(|| "has 2 processors".to_owned());
        }
        assert_eq!(voids(&narrow), ["", "epoll/4 has 2 processors", "", "mio/4 has 2 processors"]);
        let mut crowded = whole();
        crowded.setup.contests[0].workload.connections = 3;
        let more = |backend| format!("{backend}/4 has more workers than connections");
        assert_eq!(voids(&crowded), ["", &more("epoll"), "", &more("mio")]);
        let mut idle = whole();
        for line in &mut idle.lines {
            if let Line::Round(round) = line {
                round.server.user_s = 1.0;
            }
        }
        let at = |share, name| format!("{name} was busy for only {share}% of the time");
        assert_eq!(voids(&idle), [at(50, "epoll/2"), at(25, "epoll/4"), at(50, "mio/2"), at(25, "mio/4")]);
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
            narrow in any::<bool>(),
        ) {
            let place = |name: &str| ["epoll/1", "epoll/2", "epoll/4", "mio/1", "mio/2", "mio/4"].iter().position(|is| *is == name);
            let mut record = scaled(|name, epoch, block| {
                let cell = 12 * epoch + 6 * block + place(name).map_or(0, |place| place + 1);
                100.0 * times[place(name).unwrap_or(0)] * noise[cell % noise.len()]
            });
            for arm in record.setup.contests[0].arms.iter_mut().filter(|_| narrow) {
                arm.void = Some("has 1 processor".to_owned());
            }
            let analysis = analyse(&record).unwrap();
            let contest = &analysis.contests[0];
            let ratio = |name: &str| match contest.arms.iter().find(|arm| arm.arm.name == name) {
                Some(arm) => arm.comparisons.get(&Measure::Throughput).map_or(1.0, |found| found.ratio),
                None => f64::NAN,
            };
            let shown = text(&record.setup, &analysis, 100).split_whitespace().collect::<Vec<_>>().join(" ");
            let page = page(&record, Ranked::default()).unwrap();
            let markdown = markdown(&record.setup, &analysis);
            prop_assert_eq!(contest.scaling.len(), 4);
            // Nothing is ranked, and without a point that holds there is no conclusion.
            prop_assert!(contest.arms.iter().all(|arm| arm.rank().is_none()));
            prop_assert_eq!(shown.contains("No conclusion"), narrow);
            prop_assert!(!shown.contains(" leads in ") && !markdown.contains(" leads in ") && !page.contains(" leads in messages"), "{}", shown);
            for point in &contest.scaling {
                let [more, fewest] = [point.workers, point.fewest].map(|workers| ratio(&format!("{}/{workers}", point.backend)));
                prop_assert!((point.speedup / (more / fewest) - 1.0).abs() < 1e-9, "{:?}", point);
                prop_assert!(point.low <= point.speedup && point.speedup <= point.high);
                let told = format!("{} workers {:.2}× ({:.2} to {:.2})", point.workers, point.speedup, point.low, point.high);
                prop_assert!(shown.contains(&told), "{}: {}", told, shown);
                prop_assert!(markdown.contains(&told) && page.contains(&told), "{}", told);
                prop_assert_eq!(point.void.is_some(), narrow);
                let drawn = format!("{} with {} workers {:.2}", point.backend, point.workers, point.speedup);
                prop_assert!(page.contains(&drawn), "{}", drawn);
            }
        }
    }
}
