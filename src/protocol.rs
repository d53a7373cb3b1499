//! The echo session: both ends of it as one kind of state machine, without I/O and without a clock.
//!
//! A client sends the messages of its session one by one, each only after the reply to the one before; a reply is
//! `Re:` followed by the message. An end never touches a socket: it says what it needs next ([`End::want`]) and is
//! told what happened ([`End::wrote`], [`End::read`], [`End::eof`]). So every backend has one loop for server and
//! client alike:
//!
//! ```text
//! loop {
//!     match end.want() {
//!         Want::Write(bytes) => end.wrote(stream.write(bytes)?),
//!         Want::Read(buffer) => match stream.read(buffer)? {
//!             0 => end.eof()?,
//!             n => end.read(n, Instant::now)?,
//!         },
//!         Want::Wait(until) => {
//!             sleep_until(until);
//!             end.woke(Instant::now());
//!         }
//!         Want::Offload(time) => {
//!             run_elsewhere(move || spend(time));
//!             end.woke(Instant::now());
//!         }
//!         Want::Close => return Ok(()),
//!     }
//! }
//! ```
//!
//! The client compares every byte of every reply with what it must be, always. Absent from here: sockets, threads,
//! histograms, and any source of time; the few instants that matter are asked of the caller, and only when needed.

mod client;
mod server;

use std::time::{Duration, Instant};

pub use client::{ClientEnd, RoundTrip};
pub use server::ServerEnd;

/// What a reply begins with.
pub const REPLY_PREFIX: &[u8] = b"Re:";

/// The size of a message unless told otherwise: the text of a one-digit message.
pub const DEFAULT_MESSAGE_BYTES: usize = 16;

/// The number of messages in a session unless told otherwise.
pub const DEFAULT_MESSAGES: u32 = 8;

/// The largest message: 16 MiB. Each connection holds one or two in memory.
pub const MOST_MESSAGE_BYTES: usize = 16 << 20;

/// The longest message of a server that takes whatever one read returns for a message: with `Re:` before it, it
/// fills the 128 bytes of the original's buffer.
pub const CHUNK_BYTES: usize = 125;

/// What an end needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Want<'a> {
    /// Send some of these bytes, then report how many went out with [`End::wrote`].
    Write(&'a [u8]),
    /// Receive into this buffer, then report how many bytes came with [`End::read`], or [`End::eof`] for none.
    ///
    /// The buffer is always larger than what the peer may send in answer to what it was sent, so that a read that
    /// does not fill it has emptied the socket.
    Read(&'a mut [u8]),
    /// Do nothing for this connection before this instant, by the runtime's own timer, then report [`End::woke`]. Only the
    /// server's end of a workload whose work is to wait asks for it, and nothing arrives for it meanwhile that cannot wait
    /// too.
    Wait(Instant),
    /// Spend so much CPU time where the runtime has blocking work done ([`crate::service::spend`]), then report [`End::woke`].
    /// Asked only of a backend that [says](crate::backend::About::offload) that it has such a place.
    Offload(Duration),
    /// Close the connection: the session is over.
    Close,
}

/// One end of a session.
pub trait End {
    /// Says what this end needs next. Asking again without an event in between gives the same answer.
    fn want(&mut self) -> Want<'_>;

    /// Takes note that the first `n` bytes of the last [`Want::Write`] went out.
    fn wrote(&mut self, n: usize);

    /// Takes the first `n > 0` bytes of the last [`Want::Read`] buffer as received.
    ///
    /// `now` is called at most once, and only by an end that measures.
    ///
    /// # Errors
    /// The client's names session, message and offset of the first wrong byte.
    fn read(&mut self, n: usize, now: impl FnOnce() -> Instant) -> Result<(), ProtocolError>;

    /// Takes note that the instant of the last [`Want::Wait`] has come, or that the last [`Want::Offload`] was done, and what
    /// time it is by now.
    fn woke(&mut self, _now: Instant) {}

    /// Takes note that the peer closed its side.
    ///
    /// # Errors
    /// An error unless that is the right moment: between two messages on the server, never on the client.
    fn eof(&mut self) -> Result<(), ProtocolError>;
}

/// How a server tells one message from the next; nothing on the wire delimits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Framing {
    /// A message is exactly this many bytes, however they arrive. Everything measured uses this.
    Fixed {
        /// The size of a message, in bytes; at least 1.
        message_bytes: usize,
        /// The size of a reply, in bytes, where it is longer than `Re:` and the message: [`filler`] follows these.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_bytes: Option<usize>,
    },
    /// Whatever one read returns, up to [`CHUNK_BYTES`], is a message.
    Chunk,
}

impl Framing {
    /// Messages of this size, answered with `Re:` before them.
    pub const fn fixed(message_bytes: usize) -> Self {
        Self::Fixed { message_bytes, reply_bytes: None }
    }

    /// Checks the sizes of its messages and replies.
    ///
    /// # Errors
    /// When none can have them.
    pub fn check(self) -> Result<Self, FramingError> {
        let Self::Fixed { message_bytes, reply_bytes } = self else { return Ok(self) };
        if !(1..=MOST_MESSAGE_BYTES).contains(&message_bytes) {
            return Err(FramingError::Message { message_bytes });
        }
        check_reply(message_bytes, reply_bytes)?;
        Ok(self)
    }
}

fn check_reply(message_bytes: usize, reply_bytes: Option<usize>) -> Result<(), FramingError> {
    let least = REPLY_PREFIX.len() + message_bytes;
    match reply_bytes {
        Some(reply_bytes) if !(least..=MOST_MESSAGE_BYTES).contains(&reply_bytes) => {
            Err(FramingError::Reply { reply_bytes, message_bytes, least })
        }
        _ => Ok(()),
    }
}

/// What follows `Re:` and the message in a longer reply: the byte at this offset of the reply, `Re:` included. Its period is
/// prime, so that a reply whose pieces are mixed up is noticed.
pub fn filler(offset: usize) -> u8 {
    (offset % 251) as u8
}

/// A size that no message or reply can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Each connection holds a message or two in memory.
    #[error("a message must be 1 to {MOST_MESSAGE_BYTES} bytes, not {message_bytes}")]
    Message {
        /// The size, in bytes.
        message_bytes: usize,
    },
    /// A reply holds its message, and each connection a reply.
    #[error(
        "a reply to {message_bytes} bytes must be {least} to {MOST_MESSAGE_BYTES} bytes, not {reply_bytes}"
    )]
    Reply {
        /// The size of the reply, in bytes.
        reply_bytes: usize,
        /// The size of the message, in bytes.
        message_bytes: usize,
        /// The shortest reply, in bytes.
        least: usize,
    },
}

/// The messages of one session: how many, how long, and how long their replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "UncheckedShape")]
pub struct Shape {
    messages: u32,
    message_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_bytes: Option<usize>,
}

impl Shape {
    /// Describes sessions of `messages` messages of `message_bytes` bytes each.
    ///
    /// # Errors
    /// When there is no message, or a message cannot hold its text.
    pub fn new(messages: u32, message_bytes: usize) -> Result<Self, ShapeError> {
        if messages == 0 {
            return Err(ShapeError::NoMessages);
        }
        if message_bytes > MOST_MESSAGE_BYTES {
            return Err(ShapeError::TooLarge);
        }
        let needed = text(messages).len();
        if message_bytes < needed {
            return Err(ShapeError::TooSmall { message: messages, needed, message_bytes });
        }
        Ok(Self { messages, message_bytes, reply_bytes: None })
    }

    /// The same with replies of so many bytes, where that is more than `Re:` and the message.
    ///
    /// # Errors
    /// When a reply cannot have that size.
    pub fn with_replies(self, reply_bytes: Option<usize>) -> Result<Self, ShapeError> {
        check_reply(self.message_bytes, reply_bytes)?;
        Ok(Self { reply_bytes, ..self })
    }

    /// The same messages, so many of them.
    ///
    /// # Errors
    /// When one cannot hold its text.
    pub fn of(self, messages: u32) -> Result<Self, ShapeError> {
        Self::new(messages, self.message_bytes)?.with_replies(self.reply_bytes)
    }

    /// The number of messages in a session.
    pub fn messages(self) -> u32 {
        self.messages
    }

    /// The size of each message, in bytes.
    pub fn message_bytes(self) -> usize {
        self.message_bytes
    }

    /// The size of each reply, in bytes.
    pub fn reply_bytes(self) -> usize {
        self.reply_bytes.unwrap_or(REPLY_PREFIX.len() + self.message_bytes)
    }

    /// How a server tells these messages apart.
    pub fn framing(self) -> Framing {
        Framing::Fixed { message_bytes: self.message_bytes, reply_bytes: self.reply_bytes }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self { messages: DEFAULT_MESSAGES, message_bytes: DEFAULT_MESSAGE_BYTES, reply_bytes: None }
    }
}

/// A shape as it stands in a request, before its check.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedShape {
    messages: u32,
    message_bytes: usize,
    #[serde(default)]
    reply_bytes: Option<usize>,
}

impl TryFrom<UncheckedShape> for Shape {
    type Error = ShapeError;

    fn try_from(unchecked: UncheckedShape) -> Result<Self, ShapeError> {
        Self::new(unchecked.messages, unchecked.message_bytes)?.with_replies(unchecked.reply_bytes)
    }
}

/// Why sessions of a shape cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A session of no messages shows nothing.
    #[error("a session needs at least one message")]
    NoMessages,
    /// Each connection holds a message or two in memory.
    #[error("a message is at most {MOST_MESSAGE_BYTES} bytes")]
    TooLarge,
    /// The text of the last message is the longest.
    #[error(
        "in a session of {message} messages, a message must have at least {needed} bytes, not {message_bytes}"
    )]
    TooSmall {
        /// The number of the message that does not fit.
        message: u32,
        /// The length of its text, in bytes.
        needed: usize,
        /// The size of a message, in bytes.
        message_bytes: usize,
    },
    /// A reply holds its message.
    #[error(transparent)]
    Reply(#[from] FramingError),
}

/// The text of message `n`, counted from 1.
pub fn text(n: u32) -> String {
    format!("{n} - Send Message")
}

/// What a peer did that the session does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A byte of a reply is not what it must be.
    #[error(
        "session {session}, message {message}: wrong byte at offset {offset} of the reply: \
         expected {:?}, received {:?}; is the peer an echo server of the same message size?",
        char::from(*expected), char::from(*received)
    )]
    WrongByte {
        /// The session's number, from 1.
        session: u64,
        /// The message's number within its session, from 1.
        message: u32,
        /// The offset of the first wrong byte within the reply, `Re:` included.
        offset: usize,
        /// What stands there in the right reply.
        expected: u8,
        /// What came.
        received: u8,
    },
    /// A reply has more bytes than it must have.
    #[error(
        "session {session}, message {message}: {excess} bytes more than the {reply_bytes} of the reply; \
         is the peer an echo server of the same message size?"
    )]
    Excess {
        /// The session's number, from 1.
        session: u64,
        /// The message's number within its session, from 1.
        message: u32,
        /// The length of the right reply, in bytes.
        reply_bytes: usize,
        /// How many bytes came beyond it.
        excess: usize,
    },
    /// The server closed before the session was over.
    #[error("session {session}, message {message}: the server closed at offset {offset} of the reply")]
    ServerClosed {
        /// The session's number, from 1.
        session: u64,
        /// The message's number within its session, from 1.
        message: u32,
        /// How many bytes of the reply had come.
        offset: usize,
    },
    /// The client closed inside a message.
    #[error("the client closed after {received} of the {message_bytes} bytes of a message")]
    ClientClosed {
        /// How many bytes of the message had come.
        received: usize,
        /// The size of a message, in bytes.
        message_bytes: usize,
    },
}

impl ProtocolError {
    /// Whether a reply was wrong, and the peer so no echo server, rather than gone too early.
    pub fn is_wrong_reply(&self) -> bool {
        matches!(self, Self::WrongByte { .. } | Self::Excess { .. })
    }
}

/// Why a session ended before its time: the peer's doing, or the socket's.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer did what the session does not allow.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The connection failed; only carried here.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
