//! What is counted of a round at a rate.

use std::time::{Duration, Instant};

use crate::{
    load::{Arrival, LatencyHistogram, LoadRun, OpenPlan, OpenRun},
    net::PortLimit,
};

pub(super) struct RoundCounts {
    opens: Instant,
    closes: Instant,
    open: OpenRun,
    service: LatencyHistogram,
    /// Replies that came within the window.
    in_window: u64,
    in_all: u64,
    /// Replies to messages that came due within the window, while the pacer stood still.
    apart: u64,
    last_reply: Instant,
    failures: u64,
    first_failure: Option<String>,
}

impl RoundCounts {
    /// Begins to count in a round that has begun.
    pub(super) fn new(plan: &OpenPlan, arrivals: &[Arrival], begun: Instant) -> Self {
        let opens = begun + Duration::from_millis(plan.ramp_ms);
        let mut counts = Self {
            opens,
            closes: opens + Duration::from_millis(plan.window_ms),
            open: OpenRun::default(),
            service: LatencyHistogram::new(),
            in_window: 0,
            in_all: 0,
            apart: 0,
            last_reply: begun,
            failures: 0,
            first_failure: None,
        };
        let due = arrivals.iter().map(|arrival| begun + Duration::from_nanos(arrival.at_ns));
        counts.open.planned = due.filter(|due| counts.counts(*due)).count() as u64;
        counts
    }

    /// When the window closes.
    pub(super) fn closes(&self) -> Instant {
        self.closes
    }

    /// Whether a message that was to be sent then counts.
    fn counts(&self, due: Instant) -> bool {
        (self.opens..self.closes).contains(&due)
    }

    /// Takes note that the pacer stood still.
    pub(super) fn stood_still(&mut self, (from, to): (Instant, Instant)) {
        let within = to.min(self.closes).saturating_duration_since(from.max(self.opens));
        self.open.stood_still_ns += u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
    }

    /// Takes note of a message that was sent so late; `apart` for one that came due while the pacer stood still.
    pub(super) fn sent(&mut self, due: Instant, late: Duration, apart: bool) {
        if self.counts(due) {
            let lateness = if apart { &mut self.open.stalled } else { &mut self.open.lateness };
            lateness.record(late);
        }
    }

    /// Takes note of a reply.
    pub(super) fn replied(&mut self, due: Instant, sent: Instant, now: Instant, apart: bool) {
        self.in_all += 1;
        self.last_reply = now;
        self.in_window += u64::from((self.opens..self.closes).contains(&now));
        match (self.counts(due), apart) {
            (false, _) => {}
            (true, true) => self.apart += 1,
            (true, false) => {
                self.open.response.record(now.saturating_duration_since(due));
                self.service.record(now.saturating_duration_since(sent));
            }
        }
    }

    /// Takes note of a connection that failed.
    pub(super) fn failed(&mut self, told: impl FnOnce() -> String) {
        self.failures += 1;
        self.first_failure.get_or_insert_with(told);
    }

    /// What all of it comes to.
    pub(super) fn close(self, plan: &OpenPlan, begun: Instant) -> LoadRun {
        let answered = self.open.response.count() + self.apart;
        let unfinished = self.open.planned - answered;
        LoadRun {
            sessions: 0,
            messages: self.in_window,
            messages_in_all: self.in_all,
            window_s: plan.window_ms as f64 / 1e3,
            elapsed_s: (self.last_reply - begun).as_secs_f64(),
            connect: LatencyHistogram::new(),
            round_trip: self.service,
            session: LatencyHistogram::new(),
            close: LatencyHistogram::new(),
            unfinished: LatencyHistogram::new(),
            failures: self.failures,
            first_failure: self.first_failure,
            port_limit: PortLimit::towards(&plan.destinations),
            open: Some(Box::new(OpenRun { unfinished, ..self.open })),
        }
    }
}
