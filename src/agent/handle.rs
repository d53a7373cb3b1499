//! The parent's side of an agent: starts it, asks it, and ends it when it hangs.

use std::{
    cell::OnceCell,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    thread::{self, Builder},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use procfs::process::Process;

use super::{AgentCommand, Answer, Reply, Request};
use crate::processes::{cpu_time, descendants};

/// How long an agent has to exit once its input has ended, before it is killed.
const UNTIL_EXIT: Duration = Duration::from_secs(5);

/// Lines of an agent that are kept before they are asked for. An agent has no more than one.
const LINES_AHEAD: usize = 16;

/// The longest line that is read. The longest reply, a load's, has three histograms and is a hundred times shorter.
pub const LONGEST_LINE_BYTES: u64 = 16 << 20;

/// How long between two looks at whether it has.
const UNTIL_LOOKED_AGAIN: Duration = Duration::from_millis(1);

/// How long the processes of an agent may take to stand still once they were stopped.
const UNTIL_STILL: Duration = Duration::from_secs(1);

/// How long an agent is waited for at a time: short beside any patience, and seldom enough to cost nothing.
const STEP: Duration = Duration::from_millis(250);

/// What an agent answered that it could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {error}")]
pub struct Refusal {
    /// What the agent is called.
    pub name: String,
    /// Why it could not.
    pub error: String,
}

/// A running agent. Dropping it ends it.
#[derive(Debug)]
pub struct Agent {
    name: String,
    child: Child,
    /// `None` once its input was ended.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// What it was asked last.
    asked: String,
    /// The first line that it said in its last moments, without being asked.
    last_words: Option<String>,
    is_supervised: bool,
    /// The processes whose CPU time is its own, from the first time on that it was asked for.
    metered: OnceCell<Vec<Pid>>,
}

impl Agent {
    /// Starts an agent. The thread that calls this outlives it: agents of rounds are killed with that thread.
    ///
    /// # Errors
    /// When its program cannot be run.
    pub fn start(command: &AgentCommand) -> anyhow::Result<Self> {
        let (program, arguments) = command.command.split_first().context("the command is empty")?;
        let mut process = Command::new(program);
        // A group of its own: a Ctrl-C at the terminal is the parent's to handle, and a kill reaches what a prefix
        // has started too.
        process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = process
            .spawn()
            .with_context(|| format!("{}: cannot start {:?}", command.name, program.to_string_lossy()))?;
        let output = child.stdout.take().expect("standard output is a pipe");
        let (sender, lines) = sync_channel(LINES_AHEAD);
        Builder::new()
            .spawn(move || pass_lines_on(output, &sender))
            .with_context(|| format!("{}: cannot start a thread that listens to it", command.name))?;
        let (name, input) = (command.name.clone(), child.stdin.take());
        let is_supervised = command.is_supervised;
        Ok(Self {
            name,
            input,
            child,
            lines,
            asked: String::new(),
            last_words: None,
            is_supervised,
            metered: OnceCell::new(),
        })
    }

    /// The number of its process, which is also that of the group of all that it starts.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the reply for as long as `patience`.
    ///
    /// # Errors
    /// When the agent cannot do it, dies, hangs, or answers what is no reply; the error names the agent, and what it
    /// was asked. An agent that hangs is killed.
    pub fn ask(&mut self, request: &Request, patience: Duration) -> anyhow::Result<Reply> {
        self.send(request)?;
        self.receive(patience)
    }

    /// Asks, without waiting; [`receive`](Self::receive) the reply before the next question.
    ///
    /// # Errors
    /// When the agent is gone.
    pub fn send(&mut self, request: &Request) -> anyhow::Result<()> {
        self.send_line(&serde_json::to_string(request)?, request.to_string())
    }

    /// Sends a line of any kind, as what is `asked`; [`receive`](Self::receive) the reply before the next.
    ///
    /// # Errors
    /// When the agent is gone.
    pub fn send_line(&mut self, line: &str, asked: String) -> anyhow::Result<()> {
        self.asked = asked;
        let Some(input) = &mut self.input else {
            bail!("{}: asked to {} after it was ended", self.name, self.asked)
        };
        if writeln!(input, "{line}").and_then(|()| input.flush()).is_err() {
            return Err(self.ended());
        }
        Ok(())
    }

    /// Takes the reply to the last question, if there is one by now.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn poll(&mut self) -> anyhow::Result<Option<Reply>> {
        match self.lines.try_recv() {
            Ok(line) => self.read(&line).map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(self.ended()),
        }
    }

    /// Waits for the reply to the last question, for as long as `patience`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn receive(&mut self, patience: Duration) -> anyhow::Result<Reply> {
        match self.next_line(patience) {
            Ok(line) => self.read(&line),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                let seconds = patience.as_secs_f64();
                bail!("{}: hangs: no reply in {seconds} s when asked to {}; ended", self.name, self.asked)
            }
        }
    }

    /// Waits for a line. Time in which this process was stopped itself, as by Ctrl-Z, is no sign of a hang: it counts as one
    /// step.
    fn next_line(&self, patience: Duration) -> Result<String, RecvTimeoutError> {
        let mut left = patience;
        loop {
            let step = left.min(STEP);
            match self.lines.recv_timeout(step) {
                Err(RecvTimeoutError::Timeout) if left > step => left -= step,
                outcome => return outcome,
            }
        }
    }

    fn read(&self, line: &str) -> anyhow::Result<Reply> {
        let reply: Reply = serde_json::from_str(line).with_context(|| {
            format!(
                "{}: asked to {}, it answered {}, which is not the JSON that CONTRIBUTING.md describes",
                self.name,
                self.asked,
                start(line)
            )
        })?;
        match reply.answer {
            Answer::Failed { error } => Err(Refusal { name: self.name.clone(), error }.into()),
            _ => Ok(reply),
        }
    }

    /// Ends its input, and waits for it to exit, for as long as `patience`.
    ///
    /// # Errors
    /// When it goes on, and is killed; when it still said something, though it was asked nothing.
    pub fn end(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.input = None;
        if self.wait(patience).is_none() {
            self.kill();
            bail!("{}: still runs {} s after its input ended; ended", self.name, patience.as_secs_f64());
        }
        match &self.last_words {
            Some(line) => bail!("{}: unasked, it said {}", self.name, start(line)),
            None => Ok(()),
        }
    }

    /// Says how the agent ended, and at what.
    fn ended(&mut self) -> anyhow::Error {
        self.input = None;
        let _ = killpg(self.group(), Signal::SIGCONT);
        let how = match self.wait(UNTIL_EXIT) {
            Some(status) => format!("ended ({status})"),
            None => "closed its output".to_owned(),
        };
        anyhow::anyhow!("{}: {how} when asked to {}", self.name, self.asked)
    }

    /// Waits for the process to exit, for as long as `patience`.
    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        // The reader's channel closes with the process's output, and then the process itself is about to exit.
        while let left = deadline.saturating_duration_since(Instant::now())
            && !left.is_zero()
            && let Ok(line) = self.lines.recv_timeout(left)
        {
            self.last_words.get_or_insert(line);
        }
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(UNTIL_LOOKED_AGAIN),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    /// Stops all its processes (SIGSTOP); [`wait_until_stopped`](Self::wait_until_stopped) tells when they stand still.
    ///
    /// # Errors
    /// When it is gone.
    pub fn send_stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets all its processes go on (SIGCONT).
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        killpg(self.group(), signal).map_err(|_| self.ended())
    }

    /// Waits until every thread of its process stands still.
    ///
    /// # Errors
    /// When it ended instead.
    pub fn wait_until_stopped(&mut self) -> anyhow::Result<()> {
        // Not reaped here, so that it can still be asked how it ended.
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::Pid(self.group()), flags) {
                Ok(WaitStatus::Stopped(..)) => break,
                Err(Errno::EINTR) => {}
                _ => return Err(self.ended()),
            }
        }
        // Those below it are nobody's children here; they were stopped at the same time, and stand still at once.
        let stands_still = |pid: &Pid| {
            let tasks = Process::new(pid.as_raw()).and_then(|process| process.tasks());
            let mut stats = tasks.into_iter().flatten().flatten().filter_map(|task| task.stat().ok());
            stats.all(|stat| matches!(stat.state, 'T' | 't' | 'Z' | 'X'))
        };
        let deadline = Instant::now() + UNTIL_STILL;
        while self.is_supervised && !self.metered().iter().all(stands_still) {
            anyhow::ensure!(Instant::now() < deadline, "{}: a process of it does not stop", self.name);
            thread::yield_now();
        }
        Ok(())
    }

    /// The CPU time of its process since it was started, all threads together, to the nanosecond; of a program that is
    /// supervised, that of the processes below the supervisor that there were when this was first asked. It can be read while
    /// they run, and costs them nothing.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let sum = self.metered().iter().map(|pid| cpu_time(*pid)).sum::<Result<Duration, Errno>>();
        sum.with_context(|| format!("{}: cannot tell its CPU time", self.name))
    }

    /// Whether processes below its supervisor have come or gone since its CPU time was first asked for: then what
    /// [`cpu_time`](Self::cpu_time) says is not all of it.
    pub fn changes_its_processes(&self) -> bool {
        self.is_supervised && self.metered() != self.below()
    }

    fn metered(&self) -> &[Pid] {
        self.metered.get_or_init(|| if self.is_supervised { self.below() } else { vec![self.group()] })
    }

    fn below(&self) -> Vec<Pid> {
        descendants(self.child.id()).iter().map(|process| Pid::from_raw(process.pid)).collect()
    }

    /// Its process, which leads the group of all that it starts.
    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn kill(&mut self) {
        self.input = None;
        // Those of a supervisor may have left its group, and would be nobody's once it is gone.
        let below = if self.is_supervised { descendants(self.child.id()) } else { Vec::new() };
        // It may be gone by now, or be another user's, whom the end of its input must tell; it is not waited for long.
        let _ = killpg(self.group(), Signal::SIGKILL);
        for process in below {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        let _ = self.wait(UNTIL_EXIT);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.input = None;
        // One that is stopped would not notice the end of its input.
        let _ = killpg(self.group(), Signal::SIGCONT);
        if self.wait(UNTIL_EXIT).is_none() {
            self.kill();
        }
        // What it has started may have stayed: nobody of its group outlives it.
        let _ = killpg(self.group(), Signal::SIGKILL);
    }
}

/// Reads lines and hands them over, until there are no more or nobody takes them.
fn pass_lines_on(output: ChildStdout, lines: &SyncSender<String>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match output.by_ref().take(LONGEST_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            // What is no text is no reply either, and can be shown.
            Ok(_) if lines.send(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()).is_ok() => {}
            Ok(_) => return,
        }
    }
}

/// The start of a line, for an error.
fn start(line: &str) -> String {
    let mut start: String = line.chars().take(60).collect();
    if start.len() < line.len() {
        start.push('…');
    }
    format!("{start:?}")
}

#[cfg(test)]
mod tests;
