//! How numbers are written: three significant digits, and units that fit.

use crate::analysis::{ContestResult, Measure};

/// A level with the unit in which the largest of its contest is told, so that those of all arms can be compared by eye.
pub(super) fn level_among(contest: &ContestResult, measure: Measure, level: f64) -> String {
    let all = contest.arms.iter().filter_map(|arm| arm.levels.get(&measure));
    level_text_beside(measure, level, all.copied().fold(0.0, f64::max))
}

/// A level with its unit, to three significant digits; from 10,000 on in the next larger unit.
pub(super) fn level_text(measure: Measure, level: f64) -> String {
    level_text_beside(measure, level, level)
}

/// The same in the unit that fits the largest of those beside it.
fn level_text_beside(measure: Measure, level: f64, largest: f64) -> String {
    let (level, unit) = match measure.unit() {
        "1/s" => (level, ""),
        "µs" if largest >= 9_999_500.0 => (level / 1e6, "s"),
        "µs" if largest >= 9_995.0 => (level / 1e3, "ms"),
        "B" if largest >= 9_995.0 => (level / 1024.0, "KiB"),
        unit => (level, unit),
    };
    let (digits, thousands) = three_digits(level);
    format!("{digits}{thousands} {unit}").trim_end().to_owned()
}

/// A number to three significant digits, thousands as `k`, without zeros at its end.
pub(super) fn short(value: f64) -> String {
    let (digits, thousands) = three_digits(value);
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => &digits,
    };
    format!("{digits}{thousands}")
}

/// The three digits of a number, and `k` or `M` from 10,000 on.
fn three_digits(value: f64) -> (String, &'static str) {
    let (value, thousands) = match value.abs() {
        size if size >= 999_500.0 => (value / 1e6, "M"),
        size if size >= 9_995.0 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        size if size >= 999.5 => format!("{:.0}", (value / 10.0).round() * 10.0),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    (digits, thousands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let all = [0.0, 0.1234, 0.98, 1.0, 12.34, 163.3, 1633.0, 163_300.0, 1_633_000.0].map(short);
        assert_eq!(all, ["0", "0.123", "0.98", "1", "12.3", "163", "1630", "163k", "1.63M"]);
    }

    #[test]
    fn levels_have_units_that_fit() {
        let us = [6.4, 845.2, 9_991.0, 9_999.0, 12_345.0, 30e6].map(|us| level_text(Measure::SessionP99, us));
        assert_eq!(us, ["6.40 µs", "845 µs", "9990 µs", "10.0 ms", "12.3 ms", "30.0 s"]);
        assert_eq!(level_text_beside(Measure::SessionP99, 9_840.0, 10_900.0), "9.84 ms");
        assert_eq!(level_text(Measure::Throughput, 69_095.0), "69.1k");
        let bytes = [2048.0, 102_400.0].map(|bytes| level_text(Measure::IdleMemory, bytes));
        assert_eq!(bytes, ["2050 B", "100 KiB"]);
    }
}
