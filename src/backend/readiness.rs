//! The loop of the backends that poll for readiness themselves: one turn on a nonblocking stream.

use std::{
    io::{ErrorKind, Read, Write},
    time::Instant,
};

use crate::protocol::{End, SessionError, Want};

/// What a poll said of a stream, edge by edge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// There may be something to read.
    pub readable: bool,
    /// The peer has closed its side, so that what there is to read ends.
    pub closed: bool,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next edge will tell when to go on.
    Waits,
    /// The session is over; close the connection.
    Over,
}

/// Takes a session as far as the stream lets it.
///
/// A read that did not fill the buffer has emptied the socket, and what comes later makes an edge of its own
/// (epoll(7), question 9), so no second read is made to be told WouldBlock. Only the end of the stream makes no
/// further edge once it was reported: then reading goes on until it is reached.
pub(super) fn advance<S: Read + Write>(
    stream: &mut S,
    end: &mut impl End,
    ready: Ready,
) -> Result<Turn, SessionError> {
    let mut emptied = !ready.readable;
    loop {
        match end.want() {
            Want::Write(bytes) => match stream.write(bytes) {
                Ok(n) => end.wrote(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Waits),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            },
            Want::Read(_) if emptied => return Ok(Turn::Waits),
            Want::Read(buffer) => {
                let room = buffer.len();
                match stream.read(buffer) {
                    Ok(0) => end.eof()?,
                    Ok(n) => {
                        emptied = n < room && !ready.closed;
                        end.read(n, Instant::now)?;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Waits),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Want::Close => return Ok(Turn::Over),
        }
    }
}
