//! What `client` and `run` both show of a load.

use std::{fmt, process::ExitCode};

use serde::Serialize;

use super::{output, table::Table};
use crate::{
    load::{LatencyHistogram, LoadRun, Summary},
    round::{Flag, Round},
};

/// The figures of a load, as JSON has them; a table as [`fmt::Display`].
#[derive(Serialize)]
pub(super) struct Figures {
    sessions: u64,
    #[serde(skip)]
    window_s: f64,
    sessions_per_second: f64,
    messages_per_second: f64,
    /// Absent where none was counted, as are all of these.
    connect_us: Option<Summary>,
    round_trip_us: Option<Summary>,
    session_us: Option<Summary>,
    close_us: Option<Summary>,
    /// How long what had not ended when the window closed was under way by then, and how many those were.
    unfinished_us: Option<Summary>,
    unfinished: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    paced: Option<Paced>,
    errors: u64,
    #[serde(skip)]
    first_error: Option<String>,
    flags: Vec<Flag>,
}

/// What only a load at a rate has; of the messages that were to be sent within the window.
#[derive(Serialize)]
struct Paced {
    offered_per_second: f64,
    achieved_per_second: f64,
    /// From when a message was to be sent; of those that were answered.
    response_us: Option<Summary>,
    /// From when it was sent.
    service_us: Option<Summary>,
    /// By how much the pacer sent it too late.
    lateness_us: Option<Summary>,
    /// Messages that came due while the machine had the pacer's processor; they are in the other figures too.
    stalled: u64,
}

impl Figures {
    /// The figures of a round: with those of the pacer, where one drove.
    pub(super) fn of_round(round: &Round) -> Self {
        let figures = Self::new(&round.run, round.flags());
        let Some((open, offer)) = round.run.open.as_ref().zip(round.offer) else { return figures };
        let mut lateness = open.lateness.clone();
        lateness.merge(&open.stalled);
        let paced = Paced {
            offered_per_second: offer.rate,
            achieved_per_second: round.run.messages_per_second(),
            response_us: summary(&open.response),
            service_us: summary(&round.run.round_trip),
            lateness_us: summary(&lateness),
            stalled: open.stalled.count(),
        };
        Self { paced: Some(paced), unfinished: open.unfinished, ..figures }
    }

    pub(super) fn new(run: &LoadRun, flags: Vec<Flag>) -> Self {
        Self {
            sessions: run.sessions,
            window_s: run.window_s,
            sessions_per_second: run.sessions_per_second(),
            messages_per_second: run.messages_per_second(),
            connect_us: summary(&run.connect),
            round_trip_us: summary(&run.round_trip),
            session_us: summary(&run.session),
            close_us: summary(&run.close),
            unfinished_us: summary(&run.unfinished),
            unfinished: run.unfinished.count(),
            paced: None,
            errors: run.failures,
            first_error: run.first_failure.clone(),
            flags,
        }
    }

    /// Says whether sessions failed, and returns the exit code that this deserves.
    pub(super) fn complain(&self) -> ExitCode {
        let Some(first) = &self.first_error else { return ExitCode::SUCCESS };
        output::complain(&format!("{} sessions failed, the first: {first}", self.errors));
        ExitCode::FAILURE
    }
}

/// The figures of a distribution; nothing where nothing was counted.
pub(super) fn summary(histogram: &LatencyHistogram) -> Option<Summary> {
    (histogram.count() > 0).then(|| histogram.summary())
}

impl Figures {
    /// Writes the first line, and says which rows follow it.
    fn head(&self, f: &mut fmt::Formatter<'_>) -> Result<Vec<(&'static str, Option<Summary>)>, fmt::Error> {
        let Self { sessions, window_s, sessions_per_second: rate, messages_per_second: messages, .. } = self;
        if let Some(paced) = &self.paced {
            let Paced { offered_per_second: offered, achieved_per_second: achieved, .. } = paced;
            let unfinished = self.unfinished;
            writeln!(
                f,
                "{offered:.0} messages/s offered for {window_s:.2} s: {achieved:.0} answered, {unfinished} left"
            )?;
            let rows = [
                ("response", paced.response_us),
                ("service", paced.service_us),
                ("pacer late", paced.lateness_us),
            ];
            return Ok(rows.to_vec());
        }
        writeln!(
            f,
            "{sessions} sessions in {window_s:.2} s: {rate:.0} sessions/s, {messages:.0} messages/s"
        )?;
        let mut rows = vec![
            ("connect", self.connect_us),
            ("round trip", self.round_trip_us),
            ("close", self.close_us),
            ("session", self.session_us),
        ];
        if self.unfinished > 0 {
            rows.push(("unfinished", self.unfinished_us));
        }
        Ok(rows)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut latencies = Table::new(["µs", "p50", "p90", "p99", "p99.9", "max"]).of_numbers();
        for (name, summary) in self.head(f)? {
            let figures =
                |it: Summary| [it.p50, it.p90, it.p99, it.p999, it.max].map(|us| format!("{us:.1}"));
            let [p50, p90, p99, p999, max] = summary.map_or_else(|| ["–"; 5].map(str::to_owned), figures);
            latencies.add([name.to_owned(), p50, p90, p99, p999, max]);
        }
        write!(f, "{latencies}")?;
        self.flags.iter().try_for_each(|flag| write!(f, "\nflag: {flag}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::PortLimit;

    fn histogram(us: &[u64]) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        us.iter().for_each(|&us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    fn run() -> LoadRun {
        LoadRun {
            sessions: 2,
            messages: 16,
            messages_in_all: 20,
            window_s: 0.5,
            elapsed_s: 0.6,
            connect: histogram(&[30, 40]),
            round_trip: histogram(&[100, 110, 120, 2000]),
            session: histogram(&[1000, 3000]),
            close: histogram(&[5, 6]),
            unfinished: histogram(&[150_000]),
            failures: 0,
            first_failure: None,
            port_limit: PortLimit::towards(&[]),
            open: None,
        }
    }

    #[test]
    fn what_nothing_was_counted_for_has_no_figures() {
        let figures = Figures::new(&LoadRun { session: histogram(&[]), ..run() }, Vec::new());
        let session = figures.to_string().lines().find(|line| line.contains("session  ")).map(str::to_owned);
        assert_eq!(
            session.unwrap().split_whitespace().collect::<Vec<_>>(),
            ["session", "–", "–", "–", "–", "–"]
        );
        assert!(serde_json::to_value(&figures).unwrap()["session_us"].is_null());
    }

    #[test]
    fn figures_are_shown_as_a_table() {
        let figures = Figures::new(&run(), vec![Flag::Little { departure: 0.07 }]);
        insta::assert_snapshot!(figures, @r"
        2 sessions in 0.50 s: 4 sessions/s, 32 messages/s
         µs               p50       p90       p99     p99.9       max 
         connect         30.0      40.0      40.0      40.0      40.0 
         round trip     110.0    2000.9    2000.9    2000.9    2000.9 
         close            5.0       6.0       6.0       6.0       6.0 
         session       1000.4    3000.3    3000.3    3000.3    3000.3 
         unfinished  150077.4  150077.4  150077.4  150077.4  150077.4 
        flag: Little's law: rate × time is +7.0% off the number of connections
        ");
    }
}
