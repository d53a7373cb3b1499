//! The server's end: finds the messages in what arrives, and answers each in place.

use std::{ops::Range, time::Instant};

use super::{CHUNK_BYTES, End, Framing, ProtocolError, REPLY_PREFIX, Want, filler};

/// Where the first message begins: behind the room for its prefix.
const ORIGIN: usize = REPLY_PREFIX.len();

/// The server's end of one session, whatever the number of its messages.
///
/// A message is answered where it lies: the three bytes before it, room at first and later the tail of a message
/// that is answered already, become its `Re:`. So a reply is one write, and nothing is copied; where replies are longer
/// than that, the message is copied to the head of one that is kept.
#[derive(Debug)]
pub struct ServerEnd {
    framing: Framing,
    buffer: Box<[u8]>,
    /// The reply with all that follows a message in it, where that is anything.
    long_reply: Option<Box<[u8]>>,
    /// What has arrived and is not answered yet.
    held: Range<usize>,
    /// What of the current reply has still to go out: of the buffer, or of the long reply where there is one.
    reply: Range<usize>,
    /// The length of the message that it answers.
    answering: usize,
    messages: u64,
    closed: bool,
}

impl ServerEnd {
    /// Prepares for one connection.
    pub fn new(framing: Framing) -> Self {
        // One byte more than a message, so that a read that brings just the message is short.
        let room = match framing {
            Framing::Fixed { message_bytes, .. } => CHUNK_BYTES.max(message_bytes + 1),
            Framing::Chunk => CHUNK_BYTES,
        };
        let long_reply = match framing {
            Framing::Fixed { reply_bytes: Some(bytes), .. } => Some(new_reply(bytes)),
            _ => None,
        };
        Self {
            framing,
            buffer: vec![0; ORIGIN + room].into(),
            long_reply,
            held: ORIGIN..ORIGIN,
            reply: 0..0,
            answering: 0,
            messages: 0,
            closed: false,
        }
    }

    /// How many messages were answered, to the last byte.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The length of the first unanswered message, once it is whole.
    fn whole_message(&self) -> Option<usize> {
        let held = self.held.len();
        match self.framing {
            Framing::Fixed { message_bytes, .. } => (held >= message_bytes).then_some(message_bytes),
            Framing::Chunk => (held > 0).then_some(held),
        }
    }

    /// The message that is being answered; empty where none is.
    pub fn message(&self) -> &[u8] {
        &self.buffer[self.held.start..self.held.start + self.answering]
    }

    /// Makes the reply to the first unanswered message, if that is whole.
    fn answer(&mut self) {
        let Some(length) = self.whole_message() else { return };
        self.answering = length;
        let message = self.held.start..self.held.start + length;
        self.reply = if let Some(reply) = &mut self.long_reply {
            reply[ORIGIN..ORIGIN + length].copy_from_slice(&self.buffer[message]);
            0..reply.len()
        } else {
            let start = message.start - REPLY_PREFIX.len();
            self.buffer[start..message.start].copy_from_slice(REPLY_PREFIX);
            start..message.end
        };
    }

    /// Moves a message that has begun to the front when its rest would fill the buffer.
    fn make_room(&mut self) {
        let rest = match self.framing {
            Framing::Fixed { message_bytes, .. } => message_bytes - self.held.len(),
            Framing::Chunk => 0,
        };
        if self.buffer.len() - self.held.end <= rest {
            self.buffer.copy_within(self.held.clone(), ORIGIN);
            self.held = ORIGIN..ORIGIN + self.held.len();
        }
    }
}

/// A reply of so many bytes, whole but for its message.
fn new_reply(bytes: usize) -> Box<[u8]> {
    let mut reply: Box<[u8]> = (0..bytes).map(filler).collect();
    reply[..REPLY_PREFIX.len()].copy_from_slice(REPLY_PREFIX);
    reply
}

impl End for ServerEnd {
    fn want(&mut self) -> Want<'_> {
        if !self.reply.is_empty() {
            Want::Write(&self.long_reply.as_ref().unwrap_or(&self.buffer)[self.reply.clone()])
        } else if self.closed {
            Want::Close
        } else {
            self.make_room();
            Want::Read(&mut self.buffer[self.held.end..])
        }
    }

    fn wrote(&mut self, n: usize) {
        self.reply.start += n;
        if self.reply.is_empty() && n > 0 {
            self.messages += 1;
            self.held.start += std::mem::take(&mut self.answering);
            if self.held.is_empty() {
                self.held = ORIGIN..ORIGIN;
            }
            self.answer();
        }
    }

    fn read(&mut self, n: usize, _now: impl FnOnce() -> Instant) -> Result<(), ProtocolError> {
        self.held.end += n;
        self.answer();
        Ok(())
    }

    fn eof(&mut self) -> Result<(), ProtocolError> {
        self.closed = true;
        match self.framing {
            Framing::Fixed { message_bytes, .. } if !self.held.is_empty() => {
                Err(ProtocolError::ClientClosed { received: self.held.len(), message_bytes })
            }
            _ => Ok(()),
        }
    }
}
