//! The loop of the backends whose streams speak the futures-io traits: the smol family and async-std.

use std::time::Instant;

use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, future::yield_now};

use super::readiness::FULL_READS_PER_TURN;
use crate::{
    protocol::{End, SessionError, Want},
    service::spend,
};

/// What a runtime has beside streams.
pub(super) trait Runtime {
    /// Lets the other tasks have their turn.
    async fn let_others() {
        yield_now().await;
    }

    /// Sleeps until then.
    async fn sleep_until(until: Instant);

    /// Has work done where it may block.
    async fn offload(work: impl FnOnce() + Send + 'static);
}

/// Drives an end to the end of its session.
///
/// These streams try the socket before they wait, and nothing in their executors bounds how often that works. So a peer
/// that sends without waiting for replies is left for the others after a number of full reads.
pub(super) async fn converse<R: Runtime, S>(stream: &mut S, end: &mut impl End) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut full_reads = 0;
    loop {
        match end.want() {
            Want::Write(bytes) => {
                let n = stream.write(bytes).await?;
                end.wrote(n);
            }
            Want::Read(buffer) => {
                let room = buffer.len();
                match stream.read(buffer).await? {
                    0 => end.eof()?,
                    n => {
                        full_reads += u32::from(n == room);
                        end.read(n, Instant::now)?;
                    }
                }
                if full_reads == FULL_READS_PER_TURN {
                    full_reads = 0;
                    R::let_others().await;
                }
            }
            Want::Wait(until) => {
                R::sleep_until(until).await;
                end.woke(Instant::now());
            }
            Want::Offload(time) => {
                R::offload(move || spend(time)).await;
                end.woke(Instant::now());
            }
            Want::Close => return Ok(()),
        }
    }
}
