//! How figures and verdicts are written, in every table alike.

use crate::{
    analysis::Measure,
    record::{Class, View},
    stats::{Comparison, Verdict},
};

/// What a contest of this view and class is called in a heading.
pub(super) fn heading(view: View, class: Class) -> String {
    let view = match view {
        View::Own => "each client against its own server",
        View::Server => "one neutral client against each server",
        View::Matrix => "every client against every server",
    };
    match class {
        Class::Mixed => view.to_owned(),
        class => format!("{view}, {}", class_words(class)),
    }
}

/// What a class is called.
pub(super) fn class_words(class: Class) -> &'static str {
    match class {
        Class::Single => "one thread each",
        Class::Multi => "several threads each",
        Class::Mixed => "each with the threads that it comes with",
    }
}

/// A level with its unit.
pub(super) fn level_text(measure: Measure, level: f64) -> String {
    match measure {
        Measure::Throughput => format!("{level:.0}"),
        _ => format!("{level:.2} {}", measure.unit()).trim_end().to_owned(),
    }
}

/// The sign of a verdict.
pub(super) fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "▲",
        Verdict::Worse => "▼",
        Verdict::NoDifferenceSeen => "=",
    }
}

/// A ratio with its interval and the sign of its verdict; where no difference was seen, with what could have been.
pub(super) fn ratio_text(comparison: &Comparison) -> String {
    let Comparison { ratio, low, high, detectable, verdict, .. } = comparison;
    let limit = match verdict {
        Verdict::NoDifferenceSeen => format!(" {:.1}%", detectable * 100.0),
        _ => String::new(),
    };
    format!("{ratio:.3} ({low:.3} to {high:.3}) {}{limit}", sign(*verdict))
}

/// Why a round was set aside, in words.
pub(super) fn reason_words(reason: &str) -> &str {
    match reason {
        "kernel" => "the kernel’s counters moved: drops, timeouts, or segments sent again",
        "port-limited" => "the rate was near what the ports allow",
        "Little's law" => "rate and session time do not fit the number of connections",
        "blind" => "replies were not verified",
        other => other,
    }
}
