//! When a duel that runs until its intervals are narrow may end.

/// Epochs before it may end: an interval of fewer is narrow by luck.
const LEAST_EPOCHS: usize = 6;

/// Looks in a row that must find all intervals narrow, for one may stop where the error happens to be underestimated. The
/// simulations hold what that comes to: verdicts on equal arms no more often than in duels of a set length, and intervals that
/// hold the truth in at least 93 of 100.
const LOOKS_IN_A_ROW: usize = 2;

/// Follows how wide the intervals of a duel are, epoch by epoch.
#[derive(Clone, Copy, Debug)]
pub struct Precision {
    width: f64,
    in_a_row: usize,
    widest: Option<f64>,
}

impl Precision {
    /// Aims for intervals whose ends differ by less than this, as a share.
    pub fn new(width: f64) -> Self {
        Self { width, in_a_row: 0, widest: None }
    }

    /// Looks at the widest interval after so many epochs, `None` where an arm has none yet; returns whether that is enough.
    pub fn look(&mut self, epochs: usize, widest: Option<f64>) -> bool {
        self.widest = widest;
        let is_narrow = epochs >= LEAST_EPOCHS && widest.is_some_and(|widest| widest < self.width);
        self.in_a_row = if is_narrow { self.in_a_row + 1 } else { 0 };
        self.is_reached()
    }

    /// Whether the last look found the intervals narrow for long enough.
    pub fn is_reached(&self) -> bool {
        self.in_a_row >= LOOKS_IN_A_ROW
    }

    /// What it aims for, as a share.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// The widest interval of the last look.
    pub fn widest(&self) -> Option<f64> {
        self.widest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_narrow_look_or_few_epochs_are_not_enough() {
        let mut precision = Precision::new(0.02);
        let looks = [(5, 0.01), (6, 0.01), (7, 0.03), (8, 0.01), (9, 0.019)];
        let ends: Vec<bool> =
            looks.into_iter().map(|(epochs, widest)| precision.look(epochs, Some(widest))).collect();
        assert_eq!(ends, [false, false, false, false, true]);
        assert!(!precision.look(10, None) && precision.widest().is_none());
    }
}
