//! The halving: which duel comes next, and what its outcome says.
//!
//! Each duel has both ends of what is left and the version in their middle, so the ends are held against each other again every
//! time, and n versions take ⌈log₂(n − 1)⌉ duels, one at least.

use crate::stats::Comparison;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// A duel of these, by their places.
    Duel {
        low: usize,
        /// `None` where the ends are neighbours.
        mid: Option<usize>,
        high: usize,
    },
    /// The measure moved between these two, by so much: neighbours, unless none of the steps between them is told alone; or nothing
    /// was seen to.
    Done(Option<(usize, usize, Comparison)>),
}

/// What a duel said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The high end to the low one.
    pub(super) ends: Comparison,
    /// The middle to the low end, and the high end to the middle.
    pub(super) halves: Option<[Comparison; 2]>,
}

/// A search over versions, from the oldest to the newest.
#[derive(Debug)]
pub(super) struct Search {
    low: usize,
    high: usize,
    /// What was said last of both ends.
    ends: Option<Comparison>,
    /// The narrowest part that was told to have moved.
    told: Option<(usize, usize, Comparison)>,
    done: bool,
}

impl Search {
    /// Searches among so many versions; two at least.
    pub(super) fn new(versions: usize) -> Self {
        Self { low: 0, high: versions - 1, ends: None, told: None, done: false }
    }

    /// The last that was said of both ends.
    pub(super) fn ends(&self) -> Option<Comparison> {
        self.ends
    }

    pub(super) fn step(&self) -> Step {
        let Self { low, high, told, done, .. } = *self;
        match done {
            true => Step::Done(told),
            false => Step::Duel { low, mid: (high - low > 1).then_some(low.midpoint(high)), high },
        }
    }

    /// Takes what a duel said, and keeps the half in which more has moved.
    pub(super) fn take(&mut self, found: Found) {
        self.know(found.ends);
        let Some([lower, upper]) = found.halves.filter(|_| found.ends.verdict.is_told()) else {
            self.done = true;
            return;
        };
        let mid = self.low.midpoint(self.high);
        let half = if moved(&lower) >= moved(&upper) {
            self.high = mid;
            lower
        } else {
            self.low = mid;
            upper
        };
        self.know(half);
        self.done = self.high - self.low == 1;
    }

    /// Takes note of what was said of both ends.
    fn know(&mut self, ends: Comparison) {
        self.ends = Some(ends);
        if ends.verdict.is_told() {
            self.told = Some((self.low, self.high, ends));
        }
    }

    /// Takes note that a version is no more, and those behind it have moved up.
    pub(super) fn forget(&mut self, place: usize) {
        if let Some(told) = &mut self.told {
            told.0 -= usize::from(place < told.0);
            told.1 -= usize::from(place <= told.1);
        }
        self.low -= usize::from(place < self.low);
        self.high -= usize::from(place <= self.high);
    }
}

/// By how much a measure moved: what is told before what is not, and then by its size.
fn moved(found: &Comparison) -> (bool, f64) {
    (found.verdict.is_told(), found.ratio.ln().abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Verdict;

    fn comparison(ratio: f64) -> Comparison {
        let verdict = if ratio == 1.0 { Verdict::Indistinguishable } else { Verdict::Worse };
        Comparison { ratio, low: ratio * 0.99, high: ratio * 1.01, verdict, needed: 0.02, blocks: 10 }
    }

    /// Searches versions with these levels; how many duels that took, and between which it found the move.
    fn search(levels: &[f64]) -> (usize, Option<(usize, usize)>) {
        let mut search = Search::new(levels.len());
        let mut duels = 0;
        loop {
            match search.step() {
                Step::Done(found) => return (duels, found.map(|(low, high, _)| (low, high))),
                Step::Duel { low, mid, high } => {
                    duels += 1;
                    let of = |one: usize, other: usize| comparison(levels[other] / levels[one]);
                    let halves = mid.map(|mid| [of(low, mid), of(mid, high)]);
                    search.take(Found { ends: of(low, high), halves });
                }
            }
        }
    }

    #[test]
    fn a_move_is_found_wherever_it_is_in_as_many_duels_as_halving_takes() {
        for versions in 2..40_usize {
            let most = (versions as f64).log2().ceil() as usize;
            for moved in 1..versions {
                let levels: Vec<f64> = (0..versions).map(|n| if n < moved { 1.0 } else { 0.9 }).collect();
                let (duels, found) = search(&levels);
                assert_eq!(found, Some((moved - 1, moved)), "{versions}");
                assert!(duels <= most.max(1), "{versions}: {duels} of {most}");
            }
        }
    }

    #[test]
    fn where_nothing_moved_one_duel_says_so_and_of_two_moves_the_larger_is_found() {
        assert_eq!(search(&[1.0; 9]), (1, None));
        let (_, found) = search(&[1.0, 0.99, 0.99, 0.99, 0.99, 0.8, 0.8, 0.8]);
        assert_eq!(found, Some((4, 5)));
    }

    #[test]
    fn a_move_in_steps_too_small_to_be_told_is_told_as_a_whole() {
        let mut search = Search::new(5);
        let small = Comparison { verdict: Verdict::Indistinguishable, ..comparison(0.95) };
        search.take(Found { ends: comparison(0.9), halves: Some([small, small]) });
        assert!(matches!(search.step(), Step::Duel { .. }));
        search.take(Found { ends: small, halves: Some([small, small]) });
        assert_eq!(search.step(), Step::Done(Some((0, 4, comparison(0.9)))));
    }

    #[test]
    fn a_version_that_is_no_more_moves_those_behind_it_up() {
        let mut search = Search::new(6);
        search.forget(2);
        assert_eq!(search.step(), Step::Duel { low: 0, mid: Some(2), high: 4 });
        search.forget(4);
        assert_eq!(search.step(), Step::Duel { low: 0, mid: Some(1), high: 3 });
    }
}
