//! The pacer against servers that answer, answer wrongly, late, or not at all.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use super::*;
use crate::{
    load::{Part, Process},
    protocol::{REPLY_PREFIX, Shape},
};

const MESSAGE: usize = 32;

/// A server of one thread a connection; `answer` makes the reply to each message, or none.
fn server(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || converse(stream, answer));
        }
    });
    at
}

fn converse(mut stream: TcpStream, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let mut message = [0; MESSAGE];
    while stream.read_exact(&mut message).is_ok() {
        match answer(&message) {
            Some(reply) if stream.write_all(&reply).is_ok() => {}
            _ => return,
        }
    }
}

fn echo(message: &[u8]) -> Option<Vec<u8>> {
    Some([REPLY_PREFIX, message].concat())
}

fn plan(to: SocketAddr) -> OpenPlan {
    OpenPlan {
        destinations: vec![to],
        connections: 8,
        part: Part::default(),
        shape: Shape::new(512, MESSAGE).unwrap(),
        process: Process::Poisson,
        rate: 2000.0,
        skew: None,
        seed: 3,
        ramp_ms: 50,
        window_ms: 300,
        drain_ms: 2000,
        spins: false,
    }
}

fn pace(plan: &OpenPlan) -> anyhow::Result<LoadRun> {
    Pacer::connect(plan.clone())?.pace()
}

#[test]
fn every_message_of_the_plan_is_sent_and_answered() {
    let plan = plan(server(echo));
    let run = pace(&plan).unwrap();
    let open = run.open.unwrap();
    assert_eq!(run.messages_in_all, plan.arrivals().len() as u64);
    assert_eq!((open.unfinished, run.failures), (0, 0));
    assert_eq!(open.response.count(), open.planned);
    assert_eq!(run.round_trip.count(), open.planned);
    assert_eq!(open.lateness.count() + open.stalled.count(), open.planned);
}

#[test]
fn one_that_spins_does_the_same() {
    let plan = OpenPlan { spins: true, ..plan(server(echo)) };
    let run = pace(&plan).unwrap();
    let open = run.open.unwrap();
    assert_eq!(run.messages_in_all, plan.arrivals().len() as u64);
    assert_eq!(open.lateness.count() + open.stalled.count(), open.planned);
}

#[test]
fn a_wrong_byte_voids_the_run() {
    let wrong = |message: &[u8]| {
        echo(message).map(|mut reply| {
            reply[10] ^= 1;
            reply
        })
    };
    let error = pace(&plan(server(wrong))).unwrap_err().to_string();
    assert!(error.contains("wrong byte at offset 10"), "{error}");
}

#[test]
fn what_is_not_answered_is_unfinished_and_later_than_everything() {
    // Every message but those whose number ends with 0; its connection then has no more replies.
    let some = |message: &[u8]| {
        let is_tenth =
            message.iter().position(|byte| *byte == b' ').is_some_and(|at| message[at - 1] == b'0');
        if is_tenth { Some(Vec::new()) } else { echo(message) }
    };
    let plan = OpenPlan { drain_ms: 100, ..plan(server(some)) };
    let run = pace(&plan).unwrap();
    let open = run.open.unwrap();
    assert_eq!(open.planned, open.response.count() + open.unfinished);
    assert!(open.unfinished > open.planned / 2, "{open:?}");
    assert!(open.response_s(0.99).is_infinite());
    assert_eq!(run.failures, 0);
}

#[test]
fn connections_that_are_closed_leave_their_messages_without_replies() {
    // The message before the round is answered.
    let first = |message: &[u8]| echo(message).filter(|_| message.starts_with(b"1 "));
    let run = pace(&plan(server(first))).unwrap();
    let open = run.open.unwrap();
    assert_eq!((run.failures, run.messages_in_all), (8, 0));
    assert_eq!(open.unfinished, open.planned);
    assert!(run.first_failure.unwrap().starts_with("connection "));
}

#[test]
fn response_counts_from_when_a_message_was_to_be_sent_and_service_from_when_it_was() {
    // One connection, 500 messages a second, 10 ms each: the queue grows, the service does not.
    let slow = |message: &[u8]| {
        thread::sleep(Duration::from_millis(10));
        echo(message)
    };
    let plan = OpenPlan { connections: 1, rate: 500.0, drain_ms: 50, ..plan(server(slow)) };
    let run = pace(&plan).unwrap();
    let open = run.open.unwrap();
    assert!(open.unfinished > open.planned / 2, "{open:?}");
    let (response, service) = (open.response.quantile(0.5), run.round_trip.quantile(0.5));
    assert!(response > 5 * service && service >= Duration::from_millis(10), "{response:?} {service:?}");
    // And whoever waits for its connection is not late for that.
    assert!(open.lateness.quantile(0.5) < Duration::from_millis(5), "{:?}", open.lateness.quantile(0.5));
}

#[test]
fn who_does_not_answer_before_the_round_is_an_error() {
    let none = |_: &[u8]| None;
    assert!(pace(&plan(server(none))).is_err());
}

#[test]
fn long_replies_are_taken_in_pieces() {
    let shape = Shape::new(512, MESSAGE).unwrap().with_replies(Some(65_536)).unwrap();
    let long = move |message: &[u8]| {
        let mut end = crate::protocol::ClientEnd::new(shape);
        end.begin(0, 1);
        Some([REPLY_PREFIX, message, &end.reply()[REPLY_PREFIX.len() + MESSAGE..]].concat())
    };
    let plan = OpenPlan { shape, rate: 500.0, ..plan(server(long)) };
    let run = pace(&plan).unwrap();
    let open = run.open.unwrap();
    assert_eq!((open.response.count(), open.unfinished), (open.planned, 0));
}

#[test]
fn a_round_allocates_the_same_however_many_messages_it_has() {
    let to = server(echo);
    let allocations = |rate: f64| {
        let mut pacer = Pacer::connect(OpenPlan { rate, ..plan(to) }).unwrap();
        let mut messages = 0;
        let counted = allocation_counter::measure(|| messages = pacer.pace().unwrap().messages_in_all);
        (messages, counted.count_total)
    };
    let (few, many) = (allocations(400.0), allocations(4000.0));
    assert!(many.0 > 5 * few.0, "{few:?} {many:?}");
    assert_eq!(
        few.1, many.1,
        "what a round takes before it begins and when it is over, and nothing for a message"
    );
}
