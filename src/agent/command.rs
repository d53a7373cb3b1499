//! How an agent is started: which program it runs, and by which words.

use std::{ffi::OsString, path::Path};

use crate::placement::Cpus;

/// How an agent is started.
#[derive(Clone, Debug)]
pub struct AgentCommand {
    /// What it is called in errors, such as `server tokio`.
    pub name: String,
    /// The words that start it, the program's name first; not empty.
    pub command: Vec<OsString>,
    /// Whether what it spends is spent by processes below the one that is started.
    pub is_supervised: bool,
}

/// What an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program<'a> {
    /// Its own backends.
    Own,
    /// A program of somebody else that answers as an agent.
    Agent(&'a [OsString]),
    /// A server of somebody else that knows nothing of this program.
    Server(&'a [OsString]),
}

impl Program<'_> {
    /// Whether it is kept by a supervisor, and what is to be metered runs below that.
    pub fn is_supervised(self) -> bool {
        self != Self::Own
    }
}

/// The words that start `own`, which is this program, as an agent: of its own backends, or as the supervisor of another's
/// program, which so needs to know nothing of processors and limits.
pub fn agent_words(own: &Path, cpus: Option<&Cpus>, program: Program<'_>) -> Vec<OsString> {
    let mut words = vec![own.into(), "agent".into()];
    if let Some(cpus) = cpus {
        words.extend(["--cpus".into(), cpus.to_string().into()]);
    }
    let (what, theirs) = match program {
        Program::Own => return words,
        Program::Agent(words) => ("agent", words),
        Program::Server(words) => ("server", words),
    };
    words.extend(["--supervise".into(), what.into(), "--".into()]);
    words.extend_from_slice(theirs);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_started_through_this_one() {
        let words = |cpus: Option<&Cpus>, program| {
            agent_words(Path::new("ioduel"), cpus, program).join(" ".as_ref()).into_string().unwrap()
        };
        let (cpus, theirs) = ("0,2".parse().unwrap(), ["./other", "-x"].map(OsString::from));
        assert_eq!(words(None, Program::Own), "ioduel agent");
        assert_eq!(words(Some(&cpus), Program::Own), "ioduel agent --cpus 0,2");
        let agent = words(Some(&cpus), Program::Agent(&theirs));
        assert_eq!(agent, "ioduel agent --cpus 0,2 --supervise agent -- ./other -x");
        let server = words(None, Program::Server(&theirs));
        assert_eq!(server, "ioduel agent --supervise server -- ./other -x");
    }
}
