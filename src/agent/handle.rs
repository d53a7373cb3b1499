//! The parent's side of an agent: starts it, asks it, and ends it when it hangs.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{Answer, Reply, Request};
use crate::placement::Cpus;

/// How long an agent has to exit once its input has ended, before it is killed.
const UNTIL_EXIT: Duration = Duration::from_secs(5);

/// Lines of an agent that are kept before they are asked for. An agent has no more than one.
const LINES_AHEAD: usize = 16;

/// How long between two looks at whether it has.
const UNTIL_LOOKED_AGAIN: Duration = Duration::from_millis(1);

/// How an agent is started.
#[derive(Clone, Debug)]
pub struct AgentCommand {
    /// What it is called in errors, such as `server tokio`.
    pub name: String,
    /// What goes before the program: nothing, or a command that runs another, such as `taskset -c 1`.
    pub prefix: Vec<OsString>,
    /// The program that answers as `ioduel agent` does.
    pub program: PathBuf,
    /// The processors that it is kept on; where the system wants it when `None`.
    pub cpus: Option<Cpus>,
}

impl AgentCommand {
    fn command(&self) -> Command {
        let mut words = self.prefix.iter().cloned().chain([self.program.clone().into(), "agent".into()]);
        let mut command = Command::new(words.next().expect("the program is always there"));
        command.args(words);
        if let Some(cpus) = &self.cpus {
            command.arg("--cpus").arg(cpus.to_string());
        }
        // A group of its own: a Ctrl-C at the terminal is the parent's to handle, and a kill reaches what a prefix
        // has started too.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        command
    }
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
}

impl Agent {
    /// Starts an agent.
    ///
    /// # Errors
    /// When its program cannot be run.
    pub fn start(command: &AgentCommand) -> anyhow::Result<Self> {
        let mut process = command.command();
        let mut child = process.spawn().with_context(|| {
            let program = process.get_program().to_string_lossy().into_owned();
            format!("{}: cannot start {program:?}", command.name)
        })?;
        let output = child.stdout.take().expect("standard output is a pipe");
        let (sender, lines) = sync_channel(LINES_AHEAD);
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        Ok(Self { name: command.name.clone(), input: child.stdin.take(), child, lines, asked: String::new() })
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
        self.asked = request.to_string();
        let line = serde_json::to_string(request)?;
        let Some(input) = &mut self.input else {
            bail!("{}: asked to {} after it was ended", self.name, self.asked)
        };
        if writeln!(input, "{line}").and_then(|()| input.flush()).is_err() {
            return Err(self.ended());
        }
        Ok(())
    }

    /// Waits for the reply to the last question, for as long as `patience`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn receive(&mut self, patience: Duration) -> anyhow::Result<Reply> {
        let reply: Reply = match self.lines.recv_timeout(patience) {
            Ok(line) => serde_json::from_str(&line).with_context(|| {
                format!(
                    "{}: asked to {}, it answered what is no reply: {}",
                    self.name,
                    self.asked,
                    start(&line)
                )
            })?,
            Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                let seconds = patience.as_secs_f64();
                bail!("{}: hangs: no reply in {seconds} s when asked to {}; ended", self.name, self.asked)
            }
        };
        if let Answer::Failed { error } = &reply.answer {
            bail!("{}: {error}", self.name);
        }
        Ok(reply)
    }

    /// Says how the agent ended, and at what.
    fn ended(&mut self) -> anyhow::Error {
        self.input = None;
        let how = match self.wait() {
            Some(status) => format!("ended ({status})"),
            None => "closed its output".to_owned(),
        };
        anyhow::anyhow!("{}: {how} when asked to {}", self.name, self.asked)
    }

    /// Waits for the process to exit, for a while.
    fn wait(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + UNTIL_EXIT;
        // The reader's channel closes with the process's output, and then the process itself is about to exit.
        while Instant::now() < deadline
            && self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
        {}
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(UNTIL_LOOKED_AGAIN),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    fn kill(&mut self) {
        self.input = None;
        // It may be gone by now, or be another user's, whom the end of its input must tell; it is not waited for long.
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.input = None;
        if self.wait().is_none() {
            self.kill();
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
mod tests {
    use super::*;

    /// An agent that is no agent: a shell that runs `script`.
    fn shell(script: &str) -> Agent {
        let prefix = ["sh", "-c", script].map(OsString::from).to_vec();
        let program = PathBuf::from("-");
        Agent::start(&AgentCommand { name: "server x".to_owned(), prefix, program, cpus: None }).unwrap()
    }

    fn complaint(script: &str, patience: Duration) -> String {
        format!("{:#}", shell(script).ask(&Request::Cost, patience).unwrap_err())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_hang_is_ended_and_names_who_was_asked_what() {
        let begun = Instant::now();
        let message = complaint("sleep 60", Duration::from_millis(300));
        assert!(begun.elapsed() < Duration::from_secs(30), "it was not waited for");
        assert_eq!(message, "server x: hangs: no reply in 0.3 s when asked to tell its cost; ended");
    }

    #[test]
    fn a_death_tells_the_exit_status() {
        let message = complaint("exit 7", LONG);
        assert_eq!(message, "server x: ended (exit status: 7) when asked to tell its cost");
    }

    #[test]
    fn what_is_no_reply_is_shown() {
        let message = complaint("read line; echo hello; read line", LONG);
        assert!(message.contains("it answered what is no reply: \"hello\""), "{message}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let command = AgentCommand {
            name: "client y".to_owned(),
            prefix: vec!["no-such-program".into()],
            program: PathBuf::from("-"),
            cpus: None,
        };
        let message = format!("{:#}", Agent::start(&command).unwrap_err());
        assert!(message.starts_with("client y: cannot start \"no-such-program\""), "{message}");
    }
}
