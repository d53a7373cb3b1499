//! Which processors a process may run on: always explicit, always recorded.

mod machine;

use std::{fmt, str::FromStr};

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

pub use machine::{Machine, Processor, Sides};

/// A set of processors, written like `0`, `0,2` or `0-3`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpus(Vec<usize>);

impl Cpus {
    /// All that this process may use but the core of the last, which is a pacer's.
    ///
    /// # Errors
    /// When the kernel does not tell which those are.
    pub fn but_the_last() -> anyhow::Result<Self> {
        let all = Self::of_this_process()?;
        let others = all.0.last().map_or_else(Vec::new, |last| Machine::read().apart_from(&all.0, &[*last]));
        Ok(if others.is_empty() { all } else { Self(others) })
    }

    fn from_numbers(mut numbers: Vec<usize>) -> Self {
        numbers.sort_unstable();
        Self(numbers)
    }

    /// Their numbers.
    pub fn numbers(&self) -> &[usize] {
        &self.0
    }

    /// The processors that this process may run on, and so can give to others.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn of_this_process() -> anyhow::Result<Self> {
        let set = sched_getaffinity(Pid::from_raw(0))?;
        Ok(Self((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()))
    }

    /// How many there are; at least one.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Why no process can be kept on processors here; `None` where it can. A filter may forbid it.
    pub fn cannot_pin() -> Option<String> {
        let is_refused = |error: Errno| matches!(error, Errno::EPERM | Errno::ENOSYS);
        let own =
            sched_getaffinity(Pid::from_raw(0)).and_then(|own| sched_setaffinity(Pid::from_raw(0), &own));
        own.err()
            .filter(|error| is_refused(*error))
            .map(|error| format!("both sides are kept on no processor: sched_setaffinity: {error}"))
    }

    /// Keeps this process, and all threads that it starts from now on, on these processors.
    ///
    /// # Errors
    /// When one of them is not there, or not allowed here.
    pub fn pin_this_process(&self) -> anyhow::Result<()> {
        let mut set = CpuSet::new();
        for &cpu in &self.0 {
            set.set(cpu).map_err(|_| anyhow::anyhow!("there is no processor {cpu}"))?;
        }
        sched_setaffinity(Pid::from_raw(0), &set).map_err(|error| {
            let allowed =
                Self::of_this_process().map_or_else(|_| "unknown".to_owned(), |cpus| cpus.to_string());
            anyhow::anyhow!("cannot run on processors {self} ({error}); allowed here: {allowed}")
        })
    }
}

impl FromStr for Cpus {
    type Err = BadCpus;

    fn from_str(text: &str) -> Result<Self, BadCpus> {
        let bad = || BadCpus(text.to_owned());
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().map_err(|_| bad())?;
            let last: usize = last.trim().parse().map_err(|_| bad())?;
            if first > last || last >= CpuSet::count() {
                return Err(bad());
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self(cpus))
    }
}

impl TryFrom<String> for Cpus {
    type Error = BadCpus;

    fn try_from(text: String) -> Result<Self, BadCpus> {
        text.parse()
    }
}

impl From<Cpus> for String {
    fn from(cpus: Cpus) -> Self {
        cpus.to_string()
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&numbers.join(","))
    }
}

/// A text that names no set of processors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list of processors; write it like 0 or 0-3 or 0,2")]
pub struct BadCpus(String);

/// A number of a server's workers, and where they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkersOn {
    /// How many.
    pub count: usize,
    /// Their processors, where they are not those of the whole contest.
    pub cpus: Option<Cpus>,
    /// Why that says nothing of what more processors would give: what completes a sentence that begins with who has them.
    pub void: Option<String>,
}

impl From<usize> for WorkersOn {
    fn from(count: usize) -> Self {
        Self { count, cpus: None, void: None }
    }
}

/// Where server and client run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// The server's processors; `None` where what it is started with decides.
    pub server: Option<Cpus>,
    /// The client's processors; `None` where what it is started with decides.
    pub client: Option<Cpus>,
}

impl Placement {
    /// Fills in what was not asked for: one processor for both, the one that is disturbed least ([`Machine::quiet`]).
    ///
    /// Measured to differ least between two runs of the same backend; see METHODOLOGY.md, "Placement".
    ///
    /// # Errors
    /// When one of them is not available here, or the kernel does not tell which are.
    pub fn or_default(server: Option<Cpus>, client: Option<Cpus>) -> anyhow::Result<Self> {
        Ok(Self { server: Some(Self::here(server)?), client: Some(Self::here(client)?) })
    }

    /// As [`or_default`](Self::or_default), but a side that is started with a prefix is where the prefix puts it, and
    /// its processors, which may be another machine's, are not checked.
    ///
    /// # Errors
    /// As [`or_default`](Self::or_default), for a side without a prefix.
    pub fn with_prefixes(server: (Option<Cpus>, bool), client: (Option<Cpus>, bool)) -> anyhow::Result<Self> {
        let side = |(cpus, prefixed)| if prefixed { Ok(cpus) } else { Self::here(cpus).map(Some) };
        Ok(Self { server: side(server)?, client: side(client)? })
    }

    /// As [`with_prefixes`](Self::with_prefixes), but what was not asked for is apart: the client on another core than the server
    /// ([`Machine::beside`]). A client that spins needs one of its own.
    ///
    /// # Errors
    /// As [`with_prefixes`](Self::with_prefixes).
    pub fn apart(server: (Option<Cpus>, bool), client: (Option<Cpus>, bool)) -> anyhow::Result<Self> {
        let (asked, prefixed) = client;
        if asked.is_some() || prefixed {
            return Self::with_prefixes(server, (asked, prefixed));
        }
        let Self { server, .. } = Self::with_prefixes(server, (None, false))?;
        let allowed = Cpus::of_this_process()?;
        let taken = server.as_ref().map_or(&[][..], |cpus| &cpus.0);
        let client = Machine::read().beside(&allowed.0, taken).map_or(allowed, |one| Cpus(vec![one]));
        Ok(Self { server, client: Some(client) })
    }

    /// Where a server with each of some numbers of workers runs, and the one client of all ([`Machine::sides`]).
    ///
    /// # Errors
    /// When a processor that was asked for is not available here, or the kernel does not tell which are.
    pub fn for_workers(
        server: Option<Cpus>,
        client: Option<Cpus>,
        workers: &[usize],
    ) -> anyhow::Result<(Self, Vec<WorkersOn>)> {
        for asked in [&server, &client].into_iter().flatten() {
            Self::here(Some(asked.clone()))?;
        }
        let allowed = Cpus::of_this_process()?;
        let numbers = |asked: &Option<Cpus>| asked.as_ref().map(|cpus| cpus.0.clone());
        let (server, client) = (numbers(&server), numbers(&client));
        let sides = Machine::read().sides(&allowed.0, workers, server.as_deref(), client.as_deref());
        let of_workers: Vec<WorkersOn> = sides
            .server
            .into_iter()
            .zip(workers)
            .map(|((cpus, void), count)| WorkersOn {
                count: *count,
                cpus: Some(Cpus::from_numbers(cpus)),
                void,
            })
            .collect();
        let widest = of_workers.iter().filter_map(|it| it.cpus.clone()).max_by_key(Cpus::count);
        Ok((Self { server: widest, client: Some(Cpus::from_numbers(sides.client)) }, of_workers))
    }

    /// Whether no processor is both the server's and the client's.
    pub fn is_apart(&self) -> bool {
        match (&self.server, &self.client) {
            (Some(server), Some(client)) => server.0.iter().all(|cpu| !client.0.contains(cpu)),
            // Nothing is known of where a prefix puts it.
            _ => false,
        }
    }

    fn here(asked: Option<Cpus>) -> anyhow::Result<Cpus> {
        let allowed = Cpus::of_this_process()?;
        let quiet = || Machine::read().quiet(&allowed.0).into_iter().collect();
        let cpus = asked.unwrap_or_else(|| Cpus(quiet()));
        match cpus.0.iter().find(|cpu| !allowed.0.contains(cpu)) {
            Some(cpu) => anyhow::bail!("processor {cpu} is not available; allowed here: {allowed}"),
            None => Ok(cpus),
        }
    }
}

impl Placement {
    /// Moves this thread, which only wakes to stop one pair and to continue another, to processors that neither side has,
    /// if there are any left; says where it was.
    pub fn make_room(&self) -> Option<Cpus> {
        let mine = Cpus::of_this_process().ok()?;
        let taken =
            |cpu: &usize| [&self.server, &self.client].into_iter().flatten().any(|it| it.0.contains(cpu));
        let free: Vec<usize> = mine.0.iter().copied().filter(|cpu| !taken(cpu)).collect();
        (!free.is_empty()).then(|| Cpus(free).pin_this_process().ok())??;
        Some(mine)
    }

    /// Lets this thread run on each processor of either side in turn, and stay on the last: the kernel then has accounted
    /// for what ran there until that moment; on the others, until this thread left them.
    pub fn visit(&self) -> Away {
        let home = Cpus::of_this_process().ok();
        let mut theirs: Vec<usize> =
            [&self.server, &self.client].into_iter().flatten().flat_map(|it| it.0.iter().copied()).collect();
        theirs.sort_unstable();
        theirs.dedup();
        // Where it may not go it reads from afar, as it would have without.
        theirs.into_iter().for_each(|cpu| drop(Cpus(vec![cpu]).pin_this_process()));
        Away { home }
    }
}

/// That a thread is away from the processors that it came from. Dropped, it goes back; where it can't, it stays.
#[must_use = "dropped, the thread goes back at once"]
#[derive(Debug)]
pub struct Away {
    home: Option<Cpus>,
}

impl Drop for Away {
    fn drop(&mut self) {
        self.home.iter().for_each(|home| drop(home.pin_this_process()));
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |cpus: &Option<Cpus>| {
            cpus.as_ref().map_or("where its prefix says".to_owned(), |cpus| format!("on cpu {cpus}"))
        };
        write!(f, "server {}, client {}", told(&self.server), told(&self.client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_and_written() {
        let read = |text: &str| text.parse::<Cpus>();
        assert_eq!(read("0"), Ok(Cpus(vec![0])));
        assert_eq!(read("2,0-1,1"), Ok(Cpus(vec![0, 1, 2])));
        assert_eq!(read("0-3").unwrap().to_string(), "0,1,2,3");
        for bad in ["", "x", "3-1", "0,", "-1", "0-99999999"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_processor_that_is_not_there_is_an_error_that_says_which_are() {
        let message = Cpus(vec![1023]).pin_this_process().unwrap_err().to_string();
        assert!(message.contains("1023") && message.contains("allowed here: "), "{message}");
    }
}
