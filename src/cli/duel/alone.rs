//! Whether another duel is at work on this machine: each would slow the other down, and neither would see why.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::PathBuf,
};

/// A duel's mark on the machine, for as long as it lasts.
pub(super) struct Mark {
    /// Holds the lock; nothing where the file cannot be had, or another has it.
    _file: Option<File>,
    /// Whether another duel was there before.
    has_company: bool,
}

impl Mark {
    /// Makes the mark, by an advisory lock that ends with this process (flock(2)).
    pub(super) fn make() -> Self {
        let Ok(file) = open() else { return Self { _file: None, has_company: false } };
        match file.try_lock() {
            Ok(()) => Self { _file: Some(file), has_company: false },
            Err(TryLockError::WouldBlock) => Self { _file: None, has_company: true },
            Err(TryLockError::Error(_)) => Self { _file: None, has_company: false },
        }
    }

    /// What the duel that came second must know, and its readers.
    pub(super) fn warning(&self) -> Option<String> {
        let told =
            "company: another duel is at work on this machine; wait for its end, for each slows the other";
        self.has_company.then(|| told.to_owned())
    }
}

fn path() -> PathBuf {
    std::env::temp_dir().join("ioduel.lock")
}

/// Another user's file can be locked too, if it can be read.
fn open() -> std::io::Result<File> {
    let ours = OpenOptions::new().write(true).create(true).truncate(false).open(path());
    ours.or_else(|_| File::open(path()))
}
