//! The loop of the backends whose streams speak the futures-io traits: the smol family and async-std.

use std::time::Instant;

use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::protocol::{End, SessionError, Want};

/// Drives an end to the end of its session.
pub(super) async fn converse<S>(stream: &mut S, end: &mut impl End) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match end.want() {
            Want::Write(bytes) => {
                let n = stream.write(bytes).await?;
                end.wrote(n);
            }
            Want::Read(buffer) => match stream.read(buffer).await? {
                0 => end.eof()?,
                n => end.read(n, Instant::now)?,
            },
            Want::Close => return Ok(()),
        }
    }
}
