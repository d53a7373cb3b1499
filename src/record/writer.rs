//! A record being written: every line on disk before the next block begins, nothing ever overwritten.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{Line, ROUNDS_FILE, SETUP_FILE, Setup};

/// A record being written.
#[derive(Debug)]
pub struct RecordWriter {
    folder: PathBuf,
    rounds: File,
}

impl RecordWriter {
    /// Makes a new folder below `results`, named by day and number, and writes the setup.
    ///
    /// # Errors
    /// When it cannot be written; nothing that was there is touched.
    pub fn create(results: &Path, day: &str, setup: &Setup) -> anyhow::Result<Self> {
        let folder = new_folder(results, day)?;
        let write = || -> io::Result<File> {
            let mut text = serde_json::to_string_pretty(setup)?;
            text.push('\n');
            fs::write(folder.join(SETUP_FILE), text)?;
            File::create_new(folder.join(ROUNDS_FILE))
        };
        let rounds = write().with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(Self { folder, rounds })
    }

    /// The folder of the record.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes the record back, which has nothing in it.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn discard(self) -> io::Result<()> {
        fs::remove_dir_all(&self.folder)
    }

    /// Appends lines, and returns when they are on disk.
    ///
    /// # Errors
    /// When they cannot be written; what was written before stays.
    pub fn append(&mut self, lines: &[Line]) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        let written = self.rounds.write_all(text.as_bytes()).and_then(|()| self.rounds.sync_data());
        written.with_context(|| {
            let file = self.folder.join(ROUNDS_FILE);
            format!("cannot write to {}; the rounds before are kept", file.display())
        })
    }
}

/// Makes the folder `DAY.N`, with N the day's highest plus one: a number that was given up is not given again.
fn new_folder(results: &Path, day: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(results).with_context(|| format!("cannot make {}", results.display()))?;
    let entries = fs::read_dir(results).with_context(|| format!("cannot read {}", results.display()))?;
    let number = |name: &str| name.strip_prefix(day)?.strip_prefix('.')?.parse::<u32>().ok();
    let taken = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?));
    let first = taken.max().map_or(1, |highest| highest.saturating_add(1));
    for number in first.. {
        let folder = results.join(format!("{day}.{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            // Another duel began at the same time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", folder.display())),
        }
    }
    bail!("{} holds too many runs of {day}", results.display())
}
