//! A server that knows nothing of this program: started, awaited, metered and ended from outside.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{bound_to_this_process, meter::Meter, tree};
use crate::{
    agent::{Answer, Answering, Cost, Request, answer},
    net::{ListenAt, listen, raise_descriptor_limit},
    placement::Cpus,
    protocol::Framing,
    service::{Served, ServerConfig},
};

/// What stands in a command for where to listen, as `IP:PORT` and as each half of that, for the size of messages, and for how many
/// workers are asked for.
const PLACEHOLDERS: [&str; 5] = ["{address}", "{host}", "{port}", "{message_bytes}", "{workers}"];

/// How long a server may take until it listens: an interpreter that loads much, on a busy machine.
const UNTIL_LISTENING: Duration = Duration::from_secs(8);

/// How long it may take to end once it was asked to (SIGTERM), before it is killed.
const UNTIL_ENDED: Duration = Duration::from_secs(1);

const UNTIL_LOOKED_AGAIN: Duration = Duration::from_millis(2);

/// The longest line of standard error that is kept, in bytes.
const LONGEST_COMPLAINT: u64 = 4096;

/// For how long a server must go on once it was connected to: one that takes a single client is found out. On a machine that is busy with a
/// dozen others it was still running after 20 ms.
const UNTIL_BELIEVED: Duration = Duration::from_millis(100);

/// Answers requests on standard input until it ends, by a server that is started with this command.
///
/// # Errors
/// When standard output cannot be written any more.
pub fn serve_alone(command: Vec<OsString>) -> anyhow::Result<()> {
    tree::keep_all()?;
    raise_descriptor_limit()?;
    answer(Alone { command, serving: None }, tree::end_all)
}

struct Alone {
    /// Its words, with [`PLACEHOLDERS`].
    command: Vec<OsString>,
    serving: Option<Serving>,
}

struct Serving {
    child: Child,
    meter: Meter,
    complaints: Complaints,
}

/// The last line that a server wrote on its standard error: why it ended, where it did.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<String>>);

impl Complaints {
    /// Reads all that is written, and keeps the last line.
    fn of(output: ChildStderr) -> Self {
        let own = Self::default();
        let theirs = own.clone();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.by_ref().take(LONGEST_COMPLAINT).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(line.trim_ascii()).into_owned();
                if !text.is_empty() {
                    *theirs.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
                }
                line.clear();
            }
        });
        own
    }

    /// How it ended, and what it wrote last.
    fn ended(&self, status: ExitStatus) -> String {
        // What it wrote may not have been read yet.
        thread::sleep(UNTIL_BELIEVED);
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_empty() { status.to_string() } else { format!("{status}: {last}") }
    }
}

impl Answering for Alone {
    fn answer(&mut self, request: Request) -> anyhow::Result<Answer> {
        match request {
            Request::Serve { listen, config, .. } => self.serve(listen, config),
            Request::Cost => self.check().map(|()| Answer::Cost),
            // What it has served is known to those who are answered.
            Request::Served => self.check().map(|()| Answer::Served(Served::default())),
            Request::Stop => self.stop().map(Answer::Served),
            other => bail!("a server alone can't {other}"),
        }
    }

    fn cost(&mut self) -> anyhow::Result<Cost> {
        Ok(self.serving.as_mut().map_or_else(Cost::default, |serving| serving.meter.read()))
    }
}

impl Alone {
    fn serve(&mut self, at: ListenAt, config: ServerConfig) -> anyhow::Result<Answer> {
        ensure!(self.serving.is_none(), "it serves already");
        let ServerConfig { framing, burn_ns, work, workers } = config;
        let Framing::Fixed { message_bytes, reply_bytes: None } = framing else {
            bail!("a server alone answers messages of one size with Re: and the message")
        };
        ensure!(burn_ns == 0 && work.is_none(), "a server alone does no work");
        let address = free_address(at)?;
        let workers = workers.or_else(|| Cpus::of_this_process().ok().map(|cpus| cpus.count()));
        let words = fill_in(&self.command, address, message_bytes, workers.unwrap_or(1));
        let mut child = start(&words).with_context(|| format!("cannot start {:?}", words[0]))?;
        let complaints = child.stderr.take().map_or_else(Complaints::default, Complaints::of);
        let awaited = until_it_listens(&mut child, &complaints, address);
        if awaited.is_err() {
            tree::end_all();
        }
        awaited?;
        let meter = Meter::new(child.id());
        self.serving = Some(Serving { child, meter, complaints });
        Ok(Answer::Serving { destinations: vec![address], fallbacks: Vec::new() })
    }

    fn check(&mut self) -> anyhow::Result<()> {
        let Some(Serving { child, complaints, .. }) = &mut self.serving else { return Ok(()) };
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server ended by itself ({})", complaints.ended(status)),
        }
    }

    /// What it has served is not known.
    fn stop(&mut self) -> anyhow::Result<Served> {
        let Some(mut serving) = self.serving.take() else { bail!("it does not serve") };
        if serving.child.try_wait()?.is_none() {
            kill(Pid::from_raw(serving.child.id().cast_signed()), Signal::SIGTERM)?;
        }
        let deadline = Instant::now() + UNTIL_ENDED;
        while serving.child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(UNTIL_LOOKED_AGAIN);
        }
        tree::end_all();
        Ok(Served::default())
    }
}

/// An address that nobody listens at: a port is found as every server's is, and left again.
fn free_address(at: ListenAt) -> anyhow::Result<SocketAddr> {
    let at = match at {
        ListenAt::Loopback => (Ipv4Addr::LOCALHOST, 0).into(),
        ListenAt::Address(address) => address,
    };
    let listening = listen(ListenAt::Address(at))?;
    Ok(listening.destinations[0])
}

/// The words of a command that is to listen there.
fn fill_in(command: &[OsString], at: SocketAddr, message_bytes: usize, workers: usize) -> Vec<OsString> {
    let values = [
        at.to_string(),
        at.ip().to_string(),
        at.port().to_string(),
        message_bytes.to_string(),
        workers.to_string(),
    ];
    let fill = |word: &OsString| {
        let Some(text) = word.to_str() else { return word.clone() };
        let filled = PLACEHOLDERS
            .iter()
            .zip(&values)
            .fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        filled.into()
    };
    command.iter().map(fill).collect()
}

fn start(words: &[OsString]) -> io::Result<Child> {
    let words = bound_to_this_process(words)?;
    let mut command = Command::new(&words[0]);
    // What it prints is nobody's answer.
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

fn until_it_listens(child: &mut Child, complaints: &Complaints, address: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + UNTIL_LISTENING;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("it ended before it listened at {address} ({})", complaints.ended(status))
        }
        if TcpStream::connect_timeout(&address, UNTIL_ENDED).is_ok() {
            thread::sleep(UNTIL_BELIEVED);
            return match child.try_wait()? {
                None => Ok(()),
                Some(status) => {
                    bail!("it ended when its first client had closed ({})", complaints.ended(status))
                }
            };
        }
        ensure!(
            Instant::now() < deadline,
            "nothing listens at {address} after {} s, where it was to",
            UNTIL_LISTENING.as_secs()
        );
        thread::sleep(UNTIL_LOOKED_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_where_to_listen_wherever_it_says_so() {
        let command = ["x", "--at={address}", "{port}", "{host}", "{message_bytes}", "{workers}", "{}"]
            .map(OsString::from);
        let words = fill_in(&command, "127.0.0.1:20000".parse().unwrap(), 16, 2);
        assert_eq!(words, ["x", "--at=127.0.0.1:20000", "20000", "127.0.0.1", "16", "2", "{}"]);
    }
}
