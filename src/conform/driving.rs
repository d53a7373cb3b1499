//! What a client does against servers that do nothing wrong.

use std::{
    io::{ErrorKind, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{
    Subject,
    peers::{answer_all, expect_message, raw_server, reply_to},
    started::{FIXED, expect_sessions, sessions},
};
use crate::{
    load::{Extent, LoadPlan, LoadRun},
    protocol::{DEFAULT_MESSAGES, Framing, Shape, text},
    service::Served,
};

/// How long a reply is held back, to see whether the next message waits for it.
const HELD_BACK: Duration = Duration::from_millis(5);

pub(super) fn sends_a_session(subject: &Subject) -> anyhow::Result<()> {
    let held_back = HELD_BACK + subject.link.round_trip();
    let server = raw_server(2, subject.patience, move |session, mut stream: TcpStream| {
        if session > 0 {
            return answer_all(&mut stream);
        }
        let patience = stream.read_timeout()?;
        for n in 1..=8 {
            expect_message(&mut stream, n)?;
            stream.set_read_timeout(Some(held_back))?;
            let early = stream.peek(&mut [0]);
            stream.set_read_timeout(patience)?;
            let waits = early.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            ensure!(waits, "message {n}: it goes on before the reply");
            stream.write_all(&reply_to(text(n).as_bytes()))?;
        }
        let end = stream.peek(&mut [0]).context("after the last reply")?;
        ensure!(end == 0, "after the last reply it sends more");
        Ok(())
    })?;
    let run = subject.start()?.drive(sessions(&[server.address], 1, 2));
    expect_sessions(&server.finish_after(run)?, 2, 0)
}

pub(super) fn counts_what_happened(subject: &Subject) -> anyhow::Result<()> {
    let mut server = subject.serve_reference(FIXED)?;
    let begun = Instant::now();
    let run = subject.start()?.drive(sessions(&server.destinations, 4, 40))?;
    let took_s = begun.elapsed().as_secs_f64();
    expect_sessions(&run, 40, 0)?;
    let LoadRun { messages, messages_in_all, elapsed_s, window_s, .. } = run;
    for (what, expected, got) in [
        ("messages", 320, messages),
        ("messages_in_all", 320, messages_in_all),
        ("times to connect", 40, run.connect.count()),
        ("round trips", 320, run.round_trip.count()),
        ("times of sessions", 40, run.session.count()),
    ] {
        ensure!(got == expected, "{what}: expected {expected}, got {got}");
    }
    let possible = |seconds: f64| seconds > 0.0 && seconds <= took_s;
    ensure!(
        possible(elapsed_s) && possible(window_s),
        "the load took {took_s:.4} s: got elapsed_s {elapsed_s}, window_s {window_s}"
    );
    let longest_s = run.session.quantile(1.0).as_secs_f64();
    ensure!(
        longest_s <= took_s * 1.01,
        "the load took {took_s:.4} s, and its longest session {longest_s:.4} s"
    );
    let (round_trip_us, session_us) = (run.round_trip.mean_s() * 1e6, run.session.mean_s() * 1e6);
    ensure!(
        8.0 * round_trip_us <= session_us * 1.01,
        "8 round trips of {round_trip_us:.1} µs do not fit into a session of {session_us:.1} µs"
    );
    server.wait_for("messages", |served| served.messages, 320).context("the server of its load")?;
    let all = |served: &Served| Served { connections: 40, messages: 320, failures: 0, ..*served };
    server.stop_and_expect(all).context("the server of its load")
}

pub(super) fn rotates(subject: &Subject) -> anyhow::Result<()> {
    let counts = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let mut servers = Vec::new();
    for count in &counts {
        let count = Arc::clone(count);
        servers.push(raw_server(10, subject.patience, move |_, mut stream: TcpStream| {
            count.fetch_add(1, Relaxed);
            answer_all(&mut stream)
        })?);
    }
    let to: Vec<_> = servers.iter().map(|server| server.address).collect();
    let run = subject.start()?.drive(sessions(&to, 2, 10));
    let run = servers.into_iter().fold(run, |run, server| server.finish_after(run))?;
    expect_sessions(&run, 10, 0)?;
    let got = counts.map(|count| count.load(Relaxed));
    ensure!(got == [5, 5], "10 sessions to 2 destinations: expected 5 and 5, got {} and {}", got[0], got[1]);
    Ok(())
}

pub(super) fn exchanges_big_messages(subject: &Subject) -> anyhow::Result<()> {
    let shape = Shape::new(4, 65_536)?;
    let server = subject.serve_reference(shape.framing())?;
    let plan = LoadPlan { shape, ..sessions(&server.destinations, 4, 8) };
    let run = subject.start()?.drive(plan)?;
    expect_sessions(&run, 8, 0)?;
    ensure!(run.messages == 32, "messages: expected 32, got {}", run.messages);
    Ok(())
}

pub(super) fn completes_against_chunks(subject: &Subject) -> anyhow::Result<()> {
    let server = subject.serve_reference(Framing::Chunk)?;
    let run = subject.start()?.drive(sessions(&server.destinations, 4, 20))?;
    expect_sessions(&run, 20, 0)
}

/// What a load is discarded at its head, and what counts.
const TIMED: (u64, u64) = (50, 200);

/// How much later than its time a load may end: sessions end, the answer is written, and this machine is busy.
const LATE: Duration = Duration::from_secs(2);

/// By how much rate × time may depart from the number of connections. A correct client's do by less than a hundredth,
/// and by what is cut off at both ends of the window, which is no longer than the longest session; what is left out or
/// counted twice shows as more.
const MOST_DEPARTURE: f64 = 0.1;

/// How often it may depart by more: a machine that does something else at the end of a window spoils one, not three.
const TRIES: u32 = 3;

/// Sessions at a time.
const CONNECTIONS: usize = 8;

pub(super) fn ends_in_time(subject: &Subject) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        outcome = follows_little(&timed(subject)?);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn follows_little(run: &LoadRun) -> anyhow::Result<()> {
    let departure = run.little_departure(CONNECTIONS, DEFAULT_MESSAGES);
    let cut_off = run.session.quantile(1.0).as_secs_f64() / run.window_s;
    ensure!(
        departure.abs() < MOST_DEPARTURE + cut_off,
        "Little's law: {:.1} messages/s of {:.1} µs, with connects of {:.1} µs and closes of {:.1} µs, make {:.2} \
         connections at a time, not {CONNECTIONS}",
        run.messages_per_second(),
        run.round_trip.mean_s() * 1e6,
        run.connect.mean_s() * 1e6,
        run.close.mean_s() * 1e6,
        CONNECTIONS as f64 * (1.0 + departure)
    );
    Ok(())
}

/// Lets it drive for a time, and checks what does not depend on how busy the machine is.
fn timed(subject: &Subject) -> anyhow::Result<LoadRun> {
    // Over a link three sessions, and fifteen, of ten round trips.
    let round_trip_ms = subject.link.round_trip().as_millis() as u64;
    let (ramp_ms, window_ms) = (TIMED.0 + 30 * round_trip_ms, TIMED.1 + 150 * round_trip_ms);
    let server = subject.serve_reference(FIXED)?;
    let extent = Extent::Timed { ramp_ms, window_ms };
    let mut client = subject.start()?;
    let begun = Instant::now();
    let run = client.drive(LoadPlan { extent, ..sessions(&server.destinations, CONNECTIONS, 0) })?;
    let (took, asked) = (begun.elapsed(), Duration::from_millis(ramp_ms + window_ms));
    let in_time = took < asked + LATE + subject.delay_of_link() && took >= asked.mul_f64(0.98);
    ensure!(in_time, "asked for {asked:?}, it drives for {took:.1?}");
    let (window_s, asked_s) = (run.window_s, window_ms as f64 / 1e3);
    ensure!((window_s / asked_s - 1.0).abs() < 0.05, "window_s: expected {asked_s}, got {window_s}");
    let LoadRun { sessions, messages, messages_in_all, failures, .. } = run;
    ensure!(failures == 0, "failures: expected 0, got {failures}: {:?}", run.first_failure);
    ensure!(messages_in_all >= messages, "messages: got {messages}, and {messages_in_all} in all");
    // Sessions of eight that straddle an end of the window have some of their messages inside.
    let straddling = 8 * 2 * CONNECTIONS as u64;
    ensure!(
        messages.abs_diff(8 * sessions) <= straddling,
        "sessions of 8 messages: got {sessions} sessions and {messages} messages"
    );
    Ok(run)
}
