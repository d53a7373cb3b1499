//! Clients and servers by hand: they check what they get, misbehave on purpose, and never wait for ever.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use socket2::SockRef;

use crate::{
    net::{ListenAt, listen},
    protocol::{DEFAULT_MESSAGE_BYTES, REPLY_PREFIX, text},
};

/// How many bytes of a longer text an error shows.
const SHOWN_BYTES: usize = 48;

/// A client by hand.
#[derive(Debug)]
pub struct RawClient {
    /// Its connection.
    pub stream: TcpStream,
    patience: Duration,
    /// What it sent last, as an error shows it.
    sent: String,
}

impl RawClient {
    /// Connects; nothing that it waits for may take longer than `patience`.
    ///
    /// # Errors
    /// When nobody accepts.
    pub fn connect(to: SocketAddr, patience: Duration) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect_timeout(&to, patience).with_context(|| format!("cannot connect to {to}"))?;
        prepare(&stream, patience)?;
        Ok(Self { stream, patience, sent: String::new() })
    }

    /// Sends all these bytes.
    ///
    /// # Errors
    /// When they are not taken.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        self.sent = format!("sent {}: ", shown(bytes.as_ref()));
        self.stream.write_all(bytes.as_ref()).with_context(|| format!("{}not taken", self.sent))
    }

    /// Receives exactly these bytes.
    ///
    /// # Errors
    /// When others come, or none.
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        let mut received = 0;
        let then = loop {
            let outcome = self.read(&mut got[received..]);
            received += outcome.as_ref().map_or(0, |n| *n);
            if got[..received] != expected[..received] {
                break String::new();
            }
            match outcome {
                _ if received == expected.len() => return Ok(()),
                Ok(0) => break ", then the end".to_owned(),
                Ok(_) => {}
                Err(error) => break format!(", then {}", self.fault(&error)),
            }
        };
        bail!("{}expected {}, got {}{then}", self.sent, shown(expected), shown(&got[..received]))
    }

    /// Expects nothing to come for so long.
    ///
    /// # Errors
    /// When something comes, or the end.
    pub fn expect_silence(&mut self, time: Duration) -> anyhow::Result<()> {
        self.stream.set_read_timeout(Some(time))?;
        let mut early = [0; 64];
        let outcome = self.read(&mut early);
        self.stream.set_read_timeout(Some(self.patience))?;
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(n) => bail!("{}expected nothing yet, got {}", self.sent, shown(&early[..n])),
            Err(error) => bail!("{}expected nothing yet, got {error}", self.sent),
        }
    }

    /// Expects the server to close.
    ///
    /// # Errors
    /// When it sends something instead, resets, or does nothing.
    pub fn expect_end(&mut self) -> anyhow::Result<()> {
        let mut more = [0; 64];
        match self.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(n) => bail!("{}expected the end, got {}", self.sent, shown(&more[..n])),
            Err(error) => bail!("{}expected the end, got {}", self.sent, self.fault(&error)),
        }
    }

    /// Exchanges one message of the session.
    ///
    /// # Errors
    /// When the reply is not what it must be.
    pub fn exchange(&mut self, n: u32) -> anyhow::Result<()> {
        self.send(text(n))?;
        self.expect(format!("Re:{}", text(n)))
    }

    /// Exchanges one message of the session; returns in parts of which sizes the reply came.
    ///
    /// # Errors
    /// When the reply is not what it must be.
    pub fn exchange_in_parts(&mut self, n: u32) -> anyhow::Result<Vec<usize>> {
        self.send(text(n))?;
        let expected = format!("Re:{}", text(n)).into_bytes();
        let (mut got, mut parts) = (Vec::new(), Vec::new());
        while got.len() < expected.len() {
            let mut part = [0; 64];
            match self.read(&mut part) {
                Ok(0) => bail!("{}expected {}, got the end", self.sent, shown(&expected)),
                Ok(n) => {
                    got.extend_from_slice(&part[..n]);
                    parts.push(n);
                }
                Err(error) => bail!("{}expected {}, got {}", self.sent, shown(&expected), self.fault(&error)),
            }
        }
        anyhow::ensure!(got == expected, "{}expected {}, got {}", self.sent, shown(&expected), shown(&got));
        Ok(parts)
    }

    /// Closes the sending side alone.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn half_close(&self) -> anyhow::Result<()> {
        self.stream.shutdown(Shutdown::Write).context("cannot close the sending side")
    }

    /// Ends the connection with a reset.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn reset(self) -> anyhow::Result<()> {
        reset(self.stream)
    }

    /// Reads, again where it was interrupted: one with a timeout is never restarted by the kernel (signal(7)), and the work that
    /// a ring of this thread has left to be done counts as a signal.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn fault(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::WouldBlock => format!("nothing in {} s", self.patience.as_secs_f64()),
            _ => error.to_string(),
        }
    }
}

/// Ends a connection with a reset.
///
/// # Errors
/// When the connection is gone.
pub fn reset(stream: TcpStream) -> anyhow::Result<()> {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).context("cannot reset")
}

/// A server by hand; see [`raw_server`].
#[derive(Debug)]
pub struct RawServer {
    /// Where it listens.
    pub address: SocketAddr,
    listener: TcpListener,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// Serves as many as `connections` connections, each by `serve` on a thread of its own: its number from 0, and its
/// stream, none of whose reads and writes may take longer than `patience`.
///
/// # Errors
/// When it can't listen.
pub fn raw_server(
    connections: usize,
    patience: Duration,
    serve: impl Fn(usize, TcpStream) -> anyhow::Result<()> + Send + Sync + 'static,
) -> anyhow::Result<RawServer> {
    // As all servers here listen: with a backlog that holds a crowd.
    let listener = listen(ListenAt::Address((Ipv4Addr::LOCALHOST, 0).into()))?.listener;
    let (address, theirs) = (listener.local_addr()?, listener.try_clone()?);
    let thread = thread::spawn(move || {
        let serve = &serve;
        thread::scope(|scope| {
            let accepted = (0..connections).map_while(|index| Some((index, theirs.accept().ok()?.0)));
            let begin = |(index, stream)| {
                scope.spawn(move || prepare(&stream, patience).and_then(|()| serve(index, stream)))
            };
            let threads: Vec<_> = accepted.map(begin).collect();
            let mut ends = threads.into_iter().map(thread::ScopedJoinHandle::join);
            ends.try_for_each(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    });
    Ok(RawServer { address, listener, thread })
}

impl RawServer {
    /// Accepts no more, waits until every connection is done with, and returns the first error.
    ///
    /// # Errors
    /// Whatever `serve` returned first, by the number of the connection.
    pub fn finish(self) -> anyhow::Result<()> {
        // It fails only on a socket that is shut down already.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Finishes once its client has; where both complain, both are heard.
    pub(super) fn finish_after<T>(self, client: anyhow::Result<T>) -> anyhow::Result<T> {
        match (self.finish(), client) {
            (Ok(()), client) => client,
            (Err(error), Ok(_)) => Err(error),
            (Err(error), Err(client)) => Err(client.context(format!("{error:#}"))),
        }
    }
}

/// Where so many connections of a raw server wait for each other, each with something.
pub(super) struct Meeting<T> {
    expected: usize,
    here: Mutex<Vec<T>>,
    complete: Condvar,
}

impl<T: Clone> Meeting<T> {
    pub(super) fn new(expected: usize) -> Self {
        Self { expected, here: Mutex::default(), complete: Condvar::new() }
    }

    /// Waits until all are there, and returns what they brought.
    pub(super) fn join(&self, brought: T, patience: Duration) -> anyhow::Result<Vec<T>> {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        here.push(brought);
        if here.len() == self.expected {
            self.complete.notify_all();
        }
        let waited = self.complete.wait_timeout_while(here, patience, |here| here.len() < self.expected);
        let (here, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        let expected = self.expected;
        ensure!(!timeout.timed_out(), "asked for {expected} connections at a time, it has {}", here.len());
        Ok(here.clone())
    }
}

/// Reads one message of the default size; `None` at the end.
///
/// # Errors
/// When the connection fails, or ends inside the message.
pub fn read_message(stream: &mut TcpStream) -> anyhow::Result<Option<[u8; DEFAULT_MESSAGE_BYTES]>> {
    let mut message = [0; DEFAULT_MESSAGE_BYTES];
    match stream.read(&mut message)? {
        0 => return Ok(None),
        n => stream.read_exact(&mut message[n..]).context("the client ended inside a message")?,
    }
    Ok(Some(message))
}

/// Reads one message of the default size, which must come.
///
/// # Errors
/// When it does not.
pub fn next_message(stream: &mut TcpStream) -> anyhow::Result<[u8; DEFAULT_MESSAGE_BYTES]> {
    read_message(stream)?.context("the client closed before its next message")
}

/// The reply to a message.
pub fn reply_to(message: &[u8]) -> Vec<u8> {
    [REPLY_PREFIX, message].concat()
}

/// Reads one message and answers it as it should be.
///
/// # Errors
/// When none comes, or the reply is not taken.
pub fn answer_one(stream: &mut TcpStream) -> anyhow::Result<()> {
    let message = next_message(stream)?;
    Ok(stream.write_all(&reply_to(&message))?)
}

/// Answers every message as it should be, until the client closes.
///
/// # Errors
/// When the connection fails, or ends inside a message.
pub fn answer_all(stream: &mut TcpStream) -> anyhow::Result<()> {
    while let Some(message) = read_message(stream)? {
        stream.write_all(&reply_to(&message))?;
    }
    Ok(())
}

/// Expects the text of a message of the session.
///
/// # Errors
/// When another one comes, or none.
pub fn expect_message(stream: &mut TcpStream, n: u32) -> anyhow::Result<()> {
    let message = next_message(stream)?;
    let (expected, got) = (text(n), shown(&message));
    ensure!(
        message == expected.as_bytes(),
        "message {n}: expected {}, got {got}",
        shown(expected.as_bytes())
    );
    Ok(())
}

fn prepare(stream: &TcpStream, patience: Duration) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    Ok(stream.set_write_timeout(Some(patience))?)
}

/// Bytes as an error shows them.
pub(super) fn shown(bytes: &[u8]) -> String {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]);
    match bytes.len() {
        0 => "nothing".to_owned(),
        n if n > SHOWN_BYTES => format!("{start:?}… ({n} bytes)"),
        _ => format!("{start:?}"),
    }
}
