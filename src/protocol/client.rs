//! The client's end: sends its messages one by one, verifies every reply, times every round trip.

use std::time::{Duration, Instant};

use super::{DEFAULT_MESSAGE_BYTES, End, ProtocolError, REPLY_PREFIX, Shape, Want, filler};

/// How much a client's read buffer has beyond the reply, so that a short read means that nothing is left.
const SPARE_BYTES: usize = 45;

/// The client's end of one session after another.
///
/// [`begin`](Self::begin) a session, report [`connected`](Self::connected), then drive it as an [`End`].
#[derive(Debug)]
pub struct ClientEnd {
    shape: Shape,
    session: u64,
    /// The message in the air, counted from 1.
    message: u32,
    /// The reply to it; the message itself follows the prefix, and filler that where replies are longer.
    reply: Box<[u8]>,
    sent: usize,
    received: usize,
    buffer: Box<[u8]>,
    /// When the message could first have been sent: at the connection, or at the reply before.
    since: Option<Instant>,
    /// Whether the session began with its first message.
    whole: bool,
    /// The last byte of the reply was there.
    answered: bool,
    finished: bool,
    round_trip: Option<RoundTrip>,
}

/// One message and its reply, timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// From the moment the message could be sent to the last byte of its reply.
    pub took: Duration,
    /// When the last byte of the reply was there.
    pub ended: Instant,
}

impl ClientEnd {
    /// Prepares a client for sessions of this shape.
    pub fn new(shape: Shape) -> Self {
        let reply_bytes = shape.reply_bytes();
        let mut client = Self {
            shape,
            session: 0,
            message: 1,
            reply: (0..reply_bytes).map(filler).collect(),
            sent: 0,
            received: 0,
            buffer: vec![0; reply_bytes + SPARE_BYTES].into(),
            since: None,
            whole: true,
            answered: false,
            finished: false,
            round_trip: None,
        };
        client.reply[..REPLY_PREFIX.len()].copy_from_slice(REPLY_PREFIX);
        client
    }

    /// Begins the session of this number at one of its messages, counted from 1: at the first, unless the load is to
    /// begin in the middle of its sessions.
    pub fn begin(&mut self, session: u64, message: u32) {
        self.session = session;
        self.whole = message == 1;
        self.since = None;
        self.finished = false;
        self.round_trip = None;
        self.fill();
        self.compose(message);
    }

    /// Ends the session with the reply that came last: no further message is sent.
    pub fn cut(&mut self) {
        self.finished = self.answered;
    }

    /// Takes note that the connection stands since `now`: the first round trip begins.
    pub fn connected(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Whether every message of the session was sent and answered.
    pub fn completed(&self) -> bool {
        self.whole && self.finished && self.message == self.shape.messages()
    }

    /// Whether the session is over: its last message was answered, or it was cut.
    pub fn is_over(&self) -> bool {
        self.finished
    }

    /// When the message in the air could first have been sent; `None` before the connection stands.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Takes the round trip that the last [`End::read`] ended, if it ended one.
    pub fn poll_round_trip(&mut self) -> Option<RoundTrip> {
        self.round_trip.take()
    }

    /// The message that was sent last, or is being sent.
    pub fn message(&self) -> &[u8] {
        &self.reply[..self.message_end()][REPLY_PREFIX.len()..]
    }

    /// Where the message ends within the reply.
    fn message_end(&self) -> usize {
        REPLY_PREFIX.len() + self.shape.message_bytes()
    }

    /// The right reply to it.
    pub fn reply(&self) -> &[u8] {
        &self.reply
    }

    /// Writes the filler behind the text: the session's number again and again, so that a reply delivered to the
    /// wrong session is noticed.
    fn fill(&mut self) {
        let end = self.message_end();
        let space = &mut self.reply[REPLY_PREFIX.len() + DEFAULT_MESSAGE_BYTES..end];
        if space.is_empty() {
            return;
        }
        let filler = format!(".{}", self.session);
        let mut filled = filler.len().min(space.len());
        space[..filled].copy_from_slice(&filler.as_bytes()[..filled]);
        while filled < space.len() {
            let more = filled.min(space.len() - filled);
            space.copy_within(..more, filled);
            filled += more;
        }
    }

    /// Puts the text of a message in place. Texts only grow within a session, so the filler behind stays whole.
    fn compose(&mut self, message: u32) {
        use std::io::Write as _;
        self.message = message;
        self.sent = 0;
        self.received = 0;
        self.answered = false;
        let mut space = &mut self.reply[REPLY_PREFIX.len()..];
        write!(space, "{message} - Send Message").expect("Shape::new made sure that the text fits");
    }

    /// Compares bytes of the reply with what they must be, in release builds too.
    fn verify(&self, n: usize) -> Result<(), ProtocolError> {
        let (session, message) = (self.session, self.message);
        let owed = &self.reply[self.received..];
        let excess = n.saturating_sub(owed.len());
        let (is, must) = (&self.buffer[..n - excess], &owed[..n - excess]);
        if is != must && !cfg!(feature = "blind") {
            let at = is.iter().zip(must).position(|(is, must)| is != must);
            let at = at.expect("two slices that are not equal differ somewhere");
            let (offset, expected, received) = (self.received + at, must[at], is[at]);
            return Err(ProtocolError::WrongByte { session, message, offset, expected, received });
        }
        if excess > 0 {
            let reply_bytes = self.reply.len();
            return Err(ProtocolError::Excess { session, message, reply_bytes, excess });
        }
        Ok(())
    }

    /// Ends the round trip, and the session with it where no further message is to be sent.
    fn end_round_trip(&mut self, now: Instant) {
        let since = self.since.replace(now).unwrap_or(now);
        self.round_trip = Some(RoundTrip { took: now.saturating_duration_since(since), ended: now });
        self.answered = true;
        self.finished = self.message == self.shape.messages();
    }
}

impl End for ClientEnd {
    fn want(&mut self) -> Want<'_> {
        if self.answered && !self.finished {
            self.compose(self.message + 1);
        }
        if self.finished {
            Want::Close
        } else if self.sent < self.shape.message_bytes() {
            Want::Write(&self.reply[REPLY_PREFIX.len() + self.sent..self.message_end()])
        } else {
            Want::Read(&mut self.buffer)
        }
    }

    fn wrote(&mut self, n: usize) {
        self.sent += n;
    }

    fn read(&mut self, n: usize, now: impl FnOnce() -> Instant) -> Result<(), ProtocolError> {
        self.verify(n)?;
        self.received += n;
        if self.received == self.reply.len() {
            self.end_round_trip(now());
        }
        Ok(())
    }

    fn eof(&mut self) -> Result<(), ProtocolError> {
        Err(ProtocolError::ServerClosed {
            session: self.session,
            message: self.message,
            offset: self.received,
        })
    }
}
