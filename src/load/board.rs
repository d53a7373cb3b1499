//! The page that a coordinator shares with a client whose process it stops and continues, and the time that it tells.
//!
//! In a sliced load the client's process rests most of the time: it is stopped (SIGSTOP) and continued (SIGCONT) again
//! and again. The page says when it was continued last and for how long it has rested, so that a client can take all
//! its times in **active time**, which stands still while it rests; and what of it counts. The client in turn counts
//! its replies there, so that the coordinator can read them while the client runs, without asking.
//!
//! The page is a file in memory, or where there is no such place among temporary files, which both sides find by its path and no other
//! user can open. The path is removed once the client has it; a coordinator that is killed before leaves it behind.

use std::{
    env,
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

use memmap2::{MmapOptions, MmapRaw};
use tempfile::{NamedTempFile, TempPath};

use crate::clock::{monotonic, nanoseconds};

/// Where files are in memory (shm_overview(7)).
const IN_MEMORY: &str = "/dev/shm";

/// The number of this layout.
const VERSION: u64 = 2;

/// Rests that a page remembers: those of some slices. A thread that has just read the clock may wait for a processor among
/// hundreds of others, and be stopped before it makes something of what it read.
const REMEMBERED: usize = 8;

/// Counters of a page: a worker takes that of its own number, so that no two write to one cache line.
pub(super) const SHARDS: usize = 64;

/// What a client is to do with what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Drive, and count nothing but the replies.
    Warming,
    /// The window is open: what ends now counts.
    Open,
    /// The load is over: no further message is sent.
    Over,
}

impl State {
    fn of(number: u64) -> Self {
        match number {
            1 => Self::Open,
            2 => Self::Over,
            _ => Self::Warming,
        }
    }
}

/// The page, as both sides see it: what the coordinator writes, then a line for each counter of the client.
#[repr(C, align(64))]
struct Page {
    version: AtomicU64,
    state: AtomicU64,
    /// How many rests there have been.
    rested: AtomicU64,
    /// CLOCK_MONOTONIC when the load was over.
    closed_ns: AtomicU64,
    unused: [AtomicU64; 4],
    /// The last of them: that of number n, from 0, stands at n % 8.
    rests: [Rest; REMEMBERED],
    counters: [Counter; SHARDS],
}

/// A rest that is over.
#[repr(C)]
#[derive(Default)]
struct Rest {
    /// CLOCK_MONOTONIC when the client was continued.
    resumed_ns: AtomicU64,
    /// For how long it had rested by then, with all rests before.
    rested_ns: AtomicU64,
}

/// What the workers of one shard have done, whatever the state.
#[repr(C, align(64))]
#[derive(Default)]
struct Counter {
    messages: AtomicU64,
    sessions: AtomicU64,
}

/// A shared page, mapped: when the client was continued last, for how long it has rested, and what it has counted.
#[derive(Debug)]
pub struct Board {
    map: MmapRaw,
    path: PathBuf,
    /// Removes the path when it is dropped; only with who has made it.
    made: Option<TempPath>,
    /// An instant, and what CLOCK_MONOTONIC said then: std's instants are of that clock, but don't show it.
    origin: (Instant, u64),
}

/// What a client has done until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Replies verified.
    pub messages: u64,
    /// Whole sessions ended.
    pub sessions: u64,
}

impl Board {
    /// Makes a new page, for a client that is started later.
    ///
    /// # Errors
    /// When there is no folder in which it can be.
    pub fn create() -> io::Result<Self> {
        // By whom it is made is seen by its name.
        let prefix = format!("ioduel-{}-", std::process::id());
        let file = NamedTempFile::with_prefix_in(&prefix, IN_MEMORY)
            .or_else(|_| NamedTempFile::with_prefix_in(&prefix, env::temp_dir()))?;
        let (file, made) = file.into_parts();
        file.set_len(size_of::<Page>() as u64)?;
        let mut board = Self::map(&file, made.to_path_buf())?;
        board.made = Some(made);
        board.page().version.store(VERSION, Release);
        Ok(board)
    }

    /// Removes its path: whoever is to have it has it.
    pub fn hide(&mut self) {
        self.made = None;
    }

    /// Opens the page of another process.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() < size_of::<Page>() as u64 {
            return Err(io::Error::other("it is shorter than a board"));
        }
        let board = Self::map(&file, path.to_owned())?;
        match board.page().version.load(Acquire) {
            VERSION => Ok(board),
            other => {
                Err(io::Error::other(format!("its version is {other}, and this program knows {VERSION}")))
            }
        }
    }

    fn map(file: &File, path: PathBuf) -> io::Result<Self> {
        let map = MmapOptions::new().len(size_of::<Page>()).map_raw(file)?;
        Ok(Self { map, path, made: None, origin: origin()? })
    }

    #[allow(unsafe_code, reason = "nobody but the kernel can vouch for memory that two processes share")]
    fn page(&self) -> &Page {
        // SAFETY: mmap(2) returns whole pages, aligned to them and so to a cache line; `map` made this one as long as
        // a Page, and its file is never made shorter. Every field is an atomic, for which any bytes are a value, and
        // other processes may write to them at any time. The mapping lives as long as the borrow of `self`.
        unsafe { &*self.map.as_ptr().cast::<Page>() }
    }

    /// Where another process of this machine finds the page, until it is hidden.
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// What the client is to do with what it measures.
    pub fn state(&self) -> State {
        State::of(self.page().state.load(Acquire))
    }

    /// Opens or closes the window.
    pub fn set_open(&self, open: bool) {
        self.page().state.store(u64::from(open), Release);
    }

    /// Says that the client, which rests since `stopped`, is continued now. Call it before the client is continued.
    pub fn resume(&self, stopped: Instant) {
        let page = self.page();
        let now = Instant::now();
        let rests = page.rested.load(Relaxed);
        let before = rests.checked_sub(1).map_or(0, |last| page.rest(last).rested_ns.load(Relaxed));
        let rest = page.rest(rests);
        rest.rested_ns.store(before + nanoseconds(now.saturating_duration_since(stopped)), Release);
        rest.resumed_ns.store(self.monotonic_ns(now), Release);
        page.rested.store(rests + 1, Release);
    }

    /// Ends the load of a client that runs.
    pub fn end(&self) {
        let page = self.page();
        page.closed_ns.store(self.monotonic_ns(Instant::now()), Release);
        page.state.store(2, Release);
    }

    /// When the load was over, in active time; `None` while it is not.
    pub(super) fn closed(&self) -> Option<Instant> {
        (self.state() == State::Over).then(|| {
            let since = self.page().closed_ns.load(Acquire).saturating_sub(self.origin.1);
            self.active(self.origin.0 + Duration::from_nanos(since))
        })
    }

    /// Turns an instant into active time, in which rests take none.
    ///
    /// An instant that was read before a rest and is asked about after it is still right: the page says when the last
    /// rests ended. They change only while this process is stopped, so all is of one time unless a rest fell between
    /// two loads.
    pub(super) fn active(&self, instant: Instant) -> Instant {
        let page = self.page();
        let at_ns = self.monotonic_ns(instant);
        loop {
            let rests = page.rested.load(Acquire);
            let rested_ns = page.rested_ns_at(at_ns, rests);
            if page.rested.load(Acquire) == rests {
                return instant - Duration::from_nanos(rested_ns);
            }
        }
    }

    /// Counts a reply in a shard; whoever calls it has the shard for itself.
    pub(super) fn count_message(&self, shard: usize) {
        add_one(&self.page().counters[shard].messages);
    }

    /// Counts a whole session in a shard; whoever calls it has the shard for itself.
    pub(super) fn count_session(&self, shard: usize) {
        add_one(&self.page().counters[shard].sessions);
    }

    /// What the client has done until now.
    pub fn done(&self) -> Done {
        self.page().counters.iter().fold(Done::default(), |done, counter| Done {
            messages: done.messages + counter.messages.load(Relaxed),
            sessions: done.sessions + counter.sessions.load(Relaxed),
        })
    }

    fn monotonic_ns(&self, instant: Instant) -> u64 {
        self.origin.1 + nanoseconds(instant.saturating_duration_since(self.origin.0))
    }
}

impl Page {
    fn rest(&self, number: u64) -> &Rest {
        &self.rests[number as usize % REMEMBERED]
    }

    /// For how long the client had rested by a time, when there have been so many rests: before the oldest that is
    /// remembered, as long as then.
    fn rested_ns_at(&self, at_ns: u64, rests: u64) -> u64 {
        let oldest = rests.saturating_sub(REMEMBERED as u64);
        let last = (oldest..rests).rev().find(|number| self.rest(*number).resumed_ns.load(Acquire) <= at_ns);
        let rest = last.or((oldest > 0).then_some(oldest));
        rest.map_or(0, |number| self.rest(number).rested_ns.load(Acquire))
    }
}

/// Adds one to a counter that only one thread writes at a time: a load and a store, no locked instruction.
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// Reads both clocks at the same time, or as nearly as some tries get.
fn origin() -> io::Result<(Instant, u64)> {
    let read = || -> io::Result<(Duration, Instant, u64)> {
        let before = Instant::now();
        let time = monotonic()?;
        Ok((before.elapsed(), before, nanoseconds(time)))
    };
    let mut best = read()?;
    for _ in 0..10 {
        let next = read()?;
        if next.0 < best.0 {
            best = next;
        }
    }
    Ok((best.1, best.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_layout_that_other_languages_are_told() {
        use std::mem::offset_of;
        let offsets = [
            offset_of!(Page, state),
            offset_of!(Page, rested),
            offset_of!(Page, closed_ns),
            offset_of!(Page, rests),
            offset_of!(Page, counters),
        ];
        assert_eq!(offsets, [8, 16, 24, 64, 192]);
        let sizes = (size_of::<Rest>(), size_of::<Counter>(), size_of::<Page>());
        assert_eq!(sizes, (16, 64, 192 + 64 * SHARDS));
    }

    #[test]
    fn active_time_stands_still_in_a_rest() {
        let ours = Board::create().unwrap();
        let theirs = Board::open(&ours.path()).unwrap();
        let before = Instant::now();
        assert_eq!(theirs.active(before), before);
        let mut earlier: Vec<(Instant, Instant)> = Vec::new();
        for rests in 1..=20_u32 {
            let stopped = Instant::now();
            let early = Instant::now();
            std::thread::sleep(Duration::from_millis(20));
            ours.resume(stopped);
            let late = Instant::now();
            // Read before the rest and asked about after it: as if there had been none.
            let passed = |from: Instant, to: Instant| theirs.active(to).duration_since(theirs.active(from));
            assert!(passed(early, late) < Duration::from_millis(10), "{:?}", passed(early, late));
            let away = late.duration_since(theirs.active(late));
            assert!(away >= Duration::from_millis(20) * rests, "{away:?} after {rests} rests");
            // What was read before some rests is what it was.
            earlier.push((late, theirs.active(late)));
            for (read, active) in earlier.iter().rev().take(REMEMBERED) {
                assert_eq!(theirs.active(*read), *active, "after {rests} rests");
            }
        }
    }

    #[test]
    fn a_load_is_over_when_it_is_said_to_be_in_active_time() {
        let board = Board::create().unwrap();
        assert_eq!((board.state(), board.closed()), (State::Warming, None));
        board.set_open(true);
        assert_eq!(board.state(), State::Open);
        let stopped = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        board.resume(stopped);
        board.end();
        assert_eq!(board.state(), State::Over);
        // As if there had been no rest.
        let off = board.closed().unwrap().duration_since(stopped);
        assert!(off < Duration::from_millis(10), "{off:?}");
    }

    #[test]
    fn what_one_side_counts_the_other_reads() {
        let ours = Board::create().unwrap();
        let theirs = Board::open(&ours.path()).unwrap();
        (0..5).for_each(|shard| theirs.count_message(shard * 13));
        theirs.count_session(1);
        assert_eq!(ours.done(), Done { messages: 5, sessions: 1 });
    }

    #[test]
    fn what_is_no_board_is_refused() {
        let file = NamedTempFile::new().unwrap();
        let short = Board::open(file.path()).unwrap_err().to_string();
        assert_eq!(short, "it is shorter than a board");
        file.as_file().set_len(8192).unwrap();
        let other = Board::open(file.path()).unwrap_err().to_string();
        assert_eq!(other, "its version is 0, and this program knows 2");
    }

    #[test]
    fn a_page_leaves_no_path_behind() {
        let mut hidden = Board::create().unwrap();
        let shown = Board::create().unwrap();
        let opened = Board::open(&shown.path()).unwrap();
        hidden.hide();
        assert!(!hidden.path().exists() && shown.path().exists());
        drop(opened);
        assert!(shown.path().exists(), "whoever opened it does not remove it");
        let path = shown.path();
        drop(shown);
        assert!(!path.exists());
    }
}
