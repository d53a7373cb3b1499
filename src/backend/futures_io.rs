//! The loop of the backends whose streams speak the futures-io traits: the smol family and async-std.

use std::time::Instant;

use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, future::yield_now};

use super::readiness::FULL_READS_PER_TURN;
use crate::protocol::{End, SessionError, Want};

/// Drives an end to the end of its session.
///
/// These streams try the socket before they wait, and nothing in their executors bounds how often that works. So a peer
/// that sends without waiting for replies is left for the others after a number of full reads.
pub(super) async fn converse<S>(stream: &mut S, end: &mut impl End) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    converse_in_turns(stream, end, yield_now).await
}

/// The same, where it takes something else than [`yield_now`] to let the others have their turn.
pub(super) async fn converse_in_turns<S>(
    stream: &mut S,
    end: &mut impl End,
    let_others: impl AsyncFn(),
) -> Result<(), SessionError>
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
                    let_others().await;
                }
            }
            Want::Close => return Ok(()),
        }
    }
}
