//! What is told of a round, held against what others can see of it: nobody is believed alone.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::{Asked, PATIENCE, Pair};
use crate::{
    agent::{Answer, Request},
    contestant,
    load::{Extent, LoadRun},
    service::ThreadWork,
};

/// What others see of a round: the server, the kernel, this process's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Messages that the server began to answer, where it tells.
    pub(super) served: Option<u64>,
    /// Whole sessions that the client counted while it ran, and the messages of each; `None` where its sessions don't count.
    pub(super) sessions: Option<(u64, u32)>,
    /// TCP segments that were sent in the network namespace of both; `None` where they are elsewhere.
    pub(super) segments: Option<u64>,
    /// From the request to the answer, where the round has a length of its own.
    pub(super) took: Option<Duration>,
}

/// What others had seen when a round began.
pub(super) struct Before {
    thread_work: Option<ThreadWork>,
    served: Option<u64>,
    segments: Option<u64>,
    /// When that was.
    pub(super) begun: Instant,
}

impl Pair {
    /// Looks at what others see, before a round.
    pub(super) fn begin_to_watch(&mut self, asked: &Asked) -> anyhow::Result<Before> {
        Ok(Before {
            thread_work: self.thread_work()?,
            served: self.served_by_an_older_one(asked)?,
            segments: self.segments(),
            begun: Instant::now(),
        })
    }

    /// What others have seen of a round that took so long, and what the threads of the server did in it.
    pub(super) fn seen_since(
        &mut self,
        before: &Before,
        asked: &Asked,
        took: Duration,
    ) -> anyhow::Result<(Option<ThreadWork>, Seen)> {
        let thread_work = self.thread_work()?.zip(before.thread_work.as_ref());
        let thread_work = thread_work.map(|(after, before)| after.since(before));
        let served_on_threads = thread_work.as_ref().map(|work| work.messages.iter().sum());
        let since =
            |after: Option<u64>, before: Option<u64>| after.zip(before).map(|(after, before)| after - before);
        let seen = Seen {
            served: served_on_threads.or(since(self.served_by_an_older_one(asked)?, before.served)),
            sessions: None,
            segments: since(self.segments(), before.segments),
            took: asked.offer.is_none().then_some(took),
        };
        Ok((thread_work, seen))
    }

    /// The segments that were sent until now in the namespace of both sides.
    pub(super) fn segments(&self) -> Option<u64> {
        self.here.then(|| self.network.segments()).flatten()
    }

    /// The messages that a server has answered on connections that are closed, where it knows the first version of requests alone.
    /// At a rate none is closed yet.
    fn served_by_an_older_one(&mut self, asked: &Asked) -> anyhow::Result<Option<u64>> {
        let server = contestant::find(&self.plan.server)?;
        if server.speaks() >= 2 || server.is_alone() || asked.offer.is_some() {
            return Ok(None);
        }
        match self.server.ask(&Request::Served, PATIENCE)?.answer {
            Answer::Served(served) => Ok(Some(served.messages)),
            other => bail!("server {}: asked what it served, it answered {other:?}", self.plan.server),
        }
    }
}

/// By how much a window may depart from what was asked for, as a share.
const WINDOW: f64 = 0.1;

/// How much longer than its ramp and its window a round may take, as a share, and beside that: connects, closes, and a busy
/// machine.
const LONGER: (f64, Duration) = (0.5, Duration::from_secs(3));

/// Says what can't be of what a client tells; `None` where all of it can.
///
/// `connections` are those that were open at a time: as many messages may have been served whose replies nobody counted.
pub(super) fn untrue(run: &LoadRun, extent: &Extent, connections: usize, seen: Seen) -> Option<String> {
    let counts =
        [("messages", run.messages, run.round_trip.count()), ("sessions", run.sessions, run.session.count())];
    // A build that times no reply has nothing in them; a load at a rate tells its stalls apart.
    let is_timed = !cfg!(feature = "blind") && run.open.is_none();
    if let Some((what, told, timed)) = counts.into_iter().find(|(_, told, timed)| is_timed && told != timed) {
        return Some(format!("it tells {told} {what}, and has timed {timed}"));
    }
    let told = run.messages_in_all;
    if let Some(served) = seen.served.filter(|served| !(told..=told + connections as u64).contains(served)) {
        return Some(format!("the client tells {told} messages, and the server {served}"));
    }
    // Each connection may have begun in the middle of a session, and have ended in the middle of another: neither is a whole one, and
    // the messages of both count.
    let off = |(sessions, messages): &(u64, u32)| {
        let of_a_session = u64::from(*messages);
        let of_sessions = sessions * of_a_session;
        !(of_sessions..=of_sessions + 2 * of_a_session * connections as u64).contains(&told)
    };
    if let Some((sessions, messages)) = seen.sessions.filter(|sessions| run.failures == 0 && off(sessions)) {
        return Some(format!("it tells {told} messages, and counted {sessions} sessions of {messages}"));
    }
    // A message is one segment at least, and so is its reply: nothing more is sent on a connection until that is there.
    if let Some(segments) = seen.segments.filter(|segments| *segments < 2 * told) {
        return Some(format!("{told} messages and their replies were sent in {segments} segments"));
    }
    window(run, extent, seen.took)
}

/// Holds the time that a client tells against what was asked for, and against the clock.
fn window(run: &LoadRun, extent: &Extent, took: Option<Duration>) -> Option<String> {
    let &Extent::Timed { ramp_ms, window_ms } = extent else { return None };
    let asked = Duration::from_millis(window_ms).as_secs_f64();
    if (run.window_s - asked).abs() > WINDOW * asked {
        return Some(format!("its window is {:.3} s, and {asked:.3} s were asked for", run.window_s));
    }
    let all = Duration::from_millis(ramp_ms + window_ms);
    let (least, most) = (all.mul_f64(1.0 - WINDOW), all.mul_f64(1.0 + LONGER.0) + LONGER.1);
    let took = took.filter(|took| !(least..=most).contains(took))?;
    Some(format!("it took {:.3} s for {:.3} s", took.as_secs_f64(), all.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load::LatencyHistogram, net::PortLimit};

    const CONNECTIONS: usize = 64;
    const EXTENT: Extent = Extent::Timed { ramp_ms: 100, window_ms: 1000 };

    fn of(count: u64) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        (0..count).for_each(|_| histogram.record(Duration::from_micros(10)));
        histogram
    }

    fn run() -> LoadRun {
        LoadRun {
            sessions: 100,
            messages: 800,
            messages_in_all: 900,
            window_s: 1.0,
            elapsed_s: 1.2,
            connect: of(100),
            round_trip: of(800),
            session: of(100),
            close: of(100),
            unfinished: of(0),
            failures: 0,
            first_failure: None,
            port_limit: PortLimit { ports: 1, rest_s: 0.0, destinations: 1 },
            open: None,
        }
    }

    fn seen() -> Seen {
        Seen {
            served: Some(905),
            sessions: Some((100, 8)),
            segments: Some(4000),
            took: Some(Duration::from_millis(1200)),
        }
    }

    fn told(run: &LoadRun, seen: Seen) -> Option<String> {
        untrue(run, &EXTENT, CONNECTIONS, seen)
    }

    #[test]
    fn what_all_agree_on_is_taken() {
        assert_eq!(told(&run(), seen()), None);
        assert_eq!(told(&run(), Seen::default()), None, "where nobody else sees anything");
        // 64 connections, each within its first session and within its last.
        let longer = LoadRun { messages_in_all: 2000, ..run() };
        assert_eq!(told(&longer, Seen { sessions: Some((122, 8)), served: None, ..seen() }), None);
        assert_eq!(told(&run(), Seen { sessions: Some((112, 8)), ..seen() }), None);
    }

    #[test]
    fn each_lie_is_named() {
        let lies = [
            (LoadRun { messages: 900, ..run() }, seen(), "it tells 900 messages, and has timed 800"),
            (LoadRun { sessions: 99, ..run() }, seen(), "it tells 99 sessions, and has timed 100"),
            (
                run(),
                Seen { served: Some(899), ..seen() },
                "the client tells 900 messages, and the server 899",
            ),
            (
                run(),
                Seen { served: Some(965), ..seen() },
                "the client tells 900 messages, and the server 965",
            ),
            (
                run(),
                Seen { sessions: Some((113, 8)), ..seen() },
                "it tells 900 messages, and counted 113 sessions of 8",
            ),
            (
                LoadRun { messages_in_all: 2000, ..run() },
                Seen { sessions: Some((121, 8)), served: None, ..seen() },
                "it tells 2000 messages, and counted 121 sessions of 8",
            ),
            (
                run(),
                Seen { segments: Some(1799), ..seen() },
                "900 messages and their replies were sent in 1799 segments",
            ),
            (LoadRun { window_s: 0.5, ..run() }, seen(), "its window is 0.500 s, and 1.000 s were asked for"),
            (run(), Seen { took: Some(Duration::from_secs(9)), ..seen() }, "it took 9.000 s for 1.100 s"),
            (run(), Seen { took: Some(Duration::from_millis(500)), ..seen() }, "it took 0.500 s for 1.100 s"),
        ];
        for (run, seen, expected) in lies {
            assert_eq!(told(&run, seen).as_deref(), Some(expected));
        }
    }
}
