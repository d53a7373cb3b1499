//! What every contestant must stand, case by case: tells a program of any language from a correct one.
//!
//! The program is started anew for each case, as an agent, and is spoken to as [`crate::round`] speaks to it; the
//! case itself is the peer that misbehaves, and where a well-behaved one is needed, that is an agent of this program.
//! A case that fails says what was expected and what came. The same cases hold for the backends of this program, by
//! its tests, and for any other program, by `ioduel conform`.
//!
//! Absent from here: any backend's code, any measurement, and printing.

mod admission;
mod asking;
mod crowds;
mod driving;
mod faults;
pub mod peers;
mod replies;
mod serving;
mod spending;
mod started;
mod working;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

use crate::{
    agent::{Program, agent_words},
    contestant::Contestant,
    net::{LinkShape, raise_descriptor_limit},
    protocol::DEFAULT_MESSAGE_BYTES,
};

pub use admission::admit;

/// What is put to the test.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The words that start it as an agent, the program's name first.
    pub command: Vec<OsString>,
    /// Whether it is a server alone, of which nothing is known but its replies.
    pub is_alone: bool,
    /// Whether it takes messages of other sizes than the session's.
    pub takes_all_sizes: bool,
    /// How many workers it is to have; its default when `None`.
    pub workers: Option<usize>,
    /// The backend that requests name; a program that has but one ignores it.
    pub backend: String,
    /// This program, whose agent is the well-behaved other side.
    pub reference: PathBuf,
    /// How long anything may take that takes a correct program no time.
    pub patience: Duration,
    /// The link that lies between it and its peers.
    pub link: LinkShape,
}

impl Subject {
    /// A contestant, where `reference` is this program.
    pub fn of(contestant: &Contestant, reference: &Path, patience: Duration) -> Self {
        let program = contestant.program();
        let own = contestant.own_file().unwrap_or(reference);
        let is_alone = matches!(program, Program::Server(_));
        Self {
            command: agent_words(own, None, program),
            is_alone,
            takes_all_sizes: !is_alone || contestant.takes_messages_of(DEFAULT_MESSAGE_BYTES + 1),
            workers: None,
            backend: contestant.backend_name().to_owned(),
            reference: reference.to_owned(),
            patience,
            link: LinkShape::default(),
        }
    }

    /// The same over a link, which this process is on already: every step has more time, by its round trip and its rate.
    pub fn over(self, link: LinkShape) -> Self {
        let carried =
            link.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(8.0 * MOST_BYTES / rate));
        Self { patience: self.patience + ROUND_TRIPS * link.round_trip() + carried, link, ..self }
    }

    /// By how much a link may delay an answer: a round trip, and where it loses, two losses of the same segment.
    fn delay_of_link(&self) -> Duration {
        let resent = if self.link.loses() {
            3 * (LEAST_RETRANSMISSION + self.link.round_trip())
        } else {
            Duration::ZERO
        };
        self.link.round_trip() + resent
    }

    /// How often a case may fail. A reset that a link loses is not sent again (RFC 9293, 3.10.7), and so never arrives.
    fn tries(&self) -> u32 {
        if self.link.drops() { 3 } else { 1 }
    }

    /// Whether a case asks what this can be asked: a server alone answers nothing but the session.
    pub fn can_be_asked(&self, case: &Case) -> bool {
        let of_a_server = match case.side {
            Side::Server => !ASKED_OF_AGENTS.contains(&case.name),
            Side::Agent | Side::Client => false,
        };
        !self.is_alone || of_a_server
    }
}

/// What only a program that answers can be asked of a server.
const ASKED_OF_AGENTS: [&str; 2] =
    ["a chunk server answers whatever a read returns", "a server tells what its threads did"];

/// How long a subject has unless told otherwise: a hundred times what a busy machine adds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The round trips that the longest step takes: a thousand connections, opened one after the other.
const ROUND_TRIPS: u32 = 1200;

/// What the longest step sends, in bytes, both directions together.
const MOST_BYTES: f64 = 16e6;

/// The least time after which a segment is sent again (`TCP_RTO_MIN` of Linux). The second time it doubles.
const LEAST_RETRANSMISSION: Duration = Duration::from_millis(200);

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// How it is spoken to, and how it ends.
    Agent,
    /// What it does as a server.
    Server,
    /// What it does as a client.
    Client,
}

/// One thing that a subject must stand.
#[derive(Debug)]
pub struct Case {
    /// What is claimed of the subject.
    pub name: &'static str,
    /// What it is about.
    pub side: Side,
    run: fn(&Subject) -> anyhow::Result<()>,
}

const fn agent(name: &'static str, run: fn(&Subject) -> anyhow::Result<()>) -> Case {
    Case { name, side: Side::Agent, run }
}

const fn server(name: &'static str, run: fn(&Subject) -> anyhow::Result<()>) -> Case {
    Case { name, side: Side::Server, run }
}

const fn client(name: &'static str, run: fn(&Subject) -> anyhow::Result<()>) -> Case {
    Case { name, side: Side::Client, run }
}

/// All cases, in reading order. Without the first of a side the others of it mean nothing; without the very first, none
/// does.
pub static CASES: &[Case] = &[
    agent("an agent answers every request with one line of JSON", asking::answers_with_one_line),
    agent("an agent refuses what it does not know, and goes on", asking::refuses_and_goes_on),
    agent("an agent exits at the end of its input", asking::exits_when_idle),
    agent("an agent exits at the end of its input while it serves", asking::exits_while_it_serves),
    agent("an agent exits at the end of its input while it drives", asking::exits_while_it_drives),
    agent("an agent holds connections until it releases them", asking::holds_and_releases),
    server("a server answers the messages of a session", serving::answers_a_session),
    server("a server answers random messages, each once it is whole", serving::answers_what_was_drawn),
    server("a server answers whoever is connected, in whatever order", serving::answers_several),
    server("a server sends each reply whole", serving::sends_replies_whole),
    server("a server sends each reply at once", serving::sends_replies_at_once),
    server("a server listens where it is told", serving::listens_where_told),
    server("a server's counts are what happened", serving::counts_what_happened),
    server("a server's cost is what the kernel charges it", spending::of_a_server),
    server("a server takes a message a byte at a time", faults::a_byte_at_a_time),
    server("a server takes two messages and a half in one segment", faults::two_and_a_half_at_once),
    server("a server takes a burst of a thousand messages", faults::a_burst),
    server("a server answers messages of 64 KiB", serving::answers_big_messages),
    server("a chunk server answers whatever a read returns", serving::answers_chunks),
    server("a server answers all that was sent before a half close", faults::a_half_close),
    server("a close inside a message costs only its own connection", faults::a_close_inside_a_message),
    server("a reset costs only its own connection", faults::a_reset),
    server("a reset in the middle of a reply costs only its own connection", faults::a_reset_in_a_reply),
    server("a server that stalls in a reply goes on when it is taken", faults::a_stall),
    server("a flood on one connection delays no other", faults::a_flood),
    server("idle connections take no processor time, and delay no other", crowds::silence),
    server("a server holds a thousand connections at once", crowds::a_thousand_connections),
    server("out of descriptors a server neither spins nor dies", crowds::out_of_descriptors),
    server("a server that is stopped is gone, and can serve again", serving::stops_and_serves_again),
    server("a server answers at length", working::answers_at_length),
    server("a server computes for as long as a message asks", working::spins),
    server("a server computes on another thread if a message asks for it", working::offloads),
    server("a message that waits delays no other, and waits as long as it asks", working::waits),
    server("a client that leaves while its message waits disturbs no other", working::leaves_meanwhile),
    server("a server blocks for as long as a message asks", working::blocks),
    server("a server tells what its threads did", working::tells_of_its_threads),
    client("a client sends the messages of a session, one after the other", driving::sends_a_session),
    client("a client's counts are what happened", driving::counts_what_happened),
    client("a client's cost is what the kernel charges it", spending::of_a_client),
    client("a client's sessions rotate over all destinations", driving::rotates),
    client("a client exchanges messages of 64 KiB", driving::exchanges_big_messages),
    client("a client completes against a chunk server", driving::completes_against_chunks),
    client("a timed load ends in time, and its numbers fit together", driving::ends_in_time),
    client("a client holds a thousand connections at once", crowds::a_thousand_sessions),
    client("a client takes a reply a byte at a time", replies::a_byte_at_a_time),
    client("a client takes a last reply that comes together with the end", replies::the_last_with_the_end),
    client("a server that closes early costs only that session", replies::an_early_close),
    client("a server that resets costs only that session", replies::a_reset),
    client("one wrong byte fails the load, and is told exactly", replies::one_wrong_byte),
    client("a reply to another session fails the load", replies::of_another_session),
    client("a client to which nobody listens fails, and does not hang", replies::nobody_listening),
];

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: &'static Case,
    /// How it went.
    pub verdict: Verdict,
    /// How often it ran: more than once only over a link that drops packets.
    pub tries: u32,
}

/// How a case went.
#[derive(Debug)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// What was expected, and what came.
    Failed(anyhow::Error),
    /// Why it could not be told.
    NotRun(String),
    /// Not run, because this case failed, which all of its side depend on.
    Skipped(&'static Case),
}

/// Why a case can tell nothing here: no fault of the subject.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CannotTell(String);

/// Runs the chosen cases, one with each step of the iterator.
///
/// # Errors
/// When the kernel does not tell or take the limit on descriptors.
pub fn run<'a>(
    subject: &'a Subject,
    chosen: impl Fn(&Case) -> bool + 'a,
) -> anyhow::Result<impl Iterator<Item = Outcome> + 'a> {
    // What a subject starts with; it need not know how.
    raise_descriptor_limit()?;
    let mut broken: Vec<&'static Case> = Vec::new();
    let chosen = CASES.iter().filter(move |case| chosen(case) && subject.can_be_asked(case));
    Ok(chosen.map(move |case| {
        let without = broken.iter().find(|first| [Side::Agent, case.side].contains(&first.side));
        let (verdict, tries) = match without {
            Some(first) => (Verdict::Skipped(first), 0),
            None => decide(subject, case),
        };
        if matches!(verdict, Verdict::Failed(_)) && is_first_of_its_side(case) {
            broken.push(case);
        }
        Outcome { case, verdict, tries }
    }))
}

/// Runs a case as often as it may fail; how it went, and how often it ran.
fn decide(subject: &Subject, case: &Case) -> (Verdict, u32) {
    let mut tries = 0;
    loop {
        tries += 1;
        let verdict = verdict((case.run)(subject));
        if !matches!(verdict, Verdict::Failed(_)) || tries >= subject.tries() {
            return (verdict, tries);
        }
    }
}

fn verdict(outcome: anyhow::Result<()>) -> Verdict {
    match outcome {
        Ok(()) => Verdict::Passed,
        Err(error) if error.is::<CannotTell>() => Verdict::NotRun(error.to_string()),
        Err(error) => Verdict::Failed(error),
    }
}

fn is_first_of_its_side(case: &Case) -> bool {
    CASES.iter().find(|other| other.side == case.side).is_some_and(|first| first.name == case.name)
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agent => "agent",
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;
    use crate::contestant;

    static RUNS: AtomicU32 = AtomicU32::new(0);

    fn fails_twice(_: &Subject) -> anyhow::Result<()> {
        anyhow::ensure!(RUNS.fetch_add(1, Relaxed) >= 2, "a reset got lost");
        Ok(())
    }

    #[test]
    fn only_over_a_link_that_loses_a_case_may_fail_twice() {
        let subject = |link: &str| {
            let contestant = contestant::find("epoll").unwrap();
            Subject::of(contestant, "ioduel".as_ref(), PATIENCE).over(link.parse().unwrap())
        };
        let case = server("a reset is noticed", fails_twice);
        for (link, passes) in [("plain", false), ("metro", false), ("mobile", true)] {
            RUNS.store(0, Relaxed);
            let (verdict, tries) = decide(&subject(link), &case);
            let passed = matches!(verdict, Verdict::Passed);
            assert_eq!((passed, tries), (passes, if passes { 3 } else { 1 }), "{link}");
            assert_eq!(RUNS.load(Relaxed), tries, "{link}");
        }
    }

    #[test]
    fn a_step_takes_longer_over_a_longer_link() {
        let patience = |link: &str| {
            let contestant = contestant::find("epoll").unwrap();
            Subject::of(contestant, "ioduel".as_ref(), PATIENCE).over(link.parse().unwrap()).patience
        };
        assert_eq!(patience("plain"), PATIENCE);
        assert_eq!(patience("wan"), PATIENCE + Duration::from_secs(96));
        assert_eq!(patience("delay 1ms rate 1mbit"), PATIENCE + Duration::from_millis(1200 + 128_000));
    }

    #[test]
    fn every_case_has_a_name_of_its_own_and_its_side_together() {
        for case in CASES {
            assert_eq!(CASES.iter().filter(|other| other.name == case.name).count(), 1, "{}", case.name);
        }
        assert!(
            CASES.is_sorted_by_key(|case| case.side as u8),
            "the agent, then the server, then the client"
        );
    }
}
