//! A session as a task: the one loop of all backends that have an async runtime, each with its own streams, timers and threads.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::readiness::FULL_READS_PER_TURN;
use crate::{
    load::Slot,
    protocol::{End, SessionError, Want},
    service::Connection,
};

/// A connection, and what a task has beside it, in the way of one runtime.
pub(super) trait Stream: Sized {
    /// What the kernel reads into and writes from where it is lent a buffer of its own, kept from one session to the next;
    /// nothing where it reads into the end itself.
    type Lent: Default;

    /// Whether the socket is tried before the task waits, and nothing in the executor bounds how often that works: then a peer that
    /// sends without waiting for replies is left for the others after a number of full reads.
    const TRIES_FIRST: bool = false;

    /// Connects, without delay of small messages.
    async fn connect(destination: SocketAddr) -> io::Result<Self>;

    /// Sends these bytes, or the first of them; how many.
    async fn send(&mut self, bytes: &[u8], lent: &mut Self::Lent) -> io::Result<usize>;

    /// Receives; how many bytes, none at the end.
    async fn receive(&mut self, room: &mut [u8], lent: &mut Self::Lent) -> io::Result<usize>;

    /// Sleeps until then.
    async fn sleep_until(until: Instant) -> io::Result<()>;

    /// Spends so much CPU time where it may block. Asked only where [`offload`](super::About::offload) names such a place.
    async fn offload(_time: Duration) -> io::Result<()> {
        unreachable!("a backend without a place for blocking work is not asked to offload")
    }

    /// Lets the other tasks have their turn. Asked only where the socket is [tried first](Self::TRIES_FIRST).
    async fn let_others() {}

    /// Closes it.
    async fn close(self) {}
}

/// Serves a connection to its end. `place` is given up before the stream is closed: a descriptor that is closed may soon be another
/// connection's.
pub(super) async fn serve_connection<S: Stream, P>(mut stream: S, mut connection: Connection, place: P) {
    let outcome = converse(&mut stream, &mut connection, &mut S::Lent::default()).await;
    connection.ended(outcome);
    drop(place);
    stream.close().await;
}

/// Runs the sessions of a slot, one after the other.
pub(super) async fn run_sessions<S: Stream>(mut slot: Slot) {
    let mut lent = S::Lent::default();
    while let Some(destination) = slot.next_session() {
        let outcome = run_session::<S>(destination, &mut slot, &mut lent).await;
        slot.ended(outcome);
    }
}

async fn run_session<S: Stream>(
    destination: SocketAddr,
    slot: &mut Slot,
    lent: &mut S::Lent,
) -> Result<(), SessionError> {
    let mut stream = S::connect(destination).await?;
    slot.connected(Instant::now());
    let outcome = converse(&mut stream, slot, lent).await;
    stream.close().await;
    outcome
}

/// Drives an end to the end of its session.
async fn converse<S: Stream>(
    stream: &mut S,
    end: &mut impl End,
    lent: &mut S::Lent,
) -> Result<(), SessionError> {
    let mut full_reads = 0;
    loop {
        match end.want() {
            Want::Write(bytes) => {
                let n = stream.send(bytes, lent).await?;
                end.wrote(n);
            }
            Want::Read(room) => {
                let whole = room.len();
                match stream.receive(room, lent).await? {
                    0 => end.eof()?,
                    n => {
                        full_reads += u32::from(S::TRIES_FIRST && n == whole);
                        end.read(n, Instant::now)?;
                    }
                }
                if full_reads == FULL_READS_PER_TURN {
                    full_reads = 0;
                    S::let_others().await;
                }
            }
            Want::Wait(until) => {
                S::sleep_until(until).await?;
                end.woke(Instant::now());
            }
            Want::Offload(time) => {
                S::offload(time).await?;
                end.woke(Instant::now());
            }
            Want::Close => return Ok(()),
        }
    }
}
