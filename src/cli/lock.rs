//! Whether another run measures on this machine: each slows the other down, and neither sees why.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
};

/// An advisory lock (flock(2)) that everything that measures holds, shared, until it ends.
pub(super) struct MeasuringLock {
    /// Nothing where there is no file to lock.
    _file: Option<File>,
    /// Whether another held it before.
    is_shared: bool,
}

impl MeasuringLock {
    /// Takes the lock, whoever else has it. Without a file to lock, nothing is known of others.
    pub(super) fn take() -> Self {
        let taken = || -> io::Result<(File, bool)> {
            let file = open()?;
            // Nobody but the first gets it exclusively, and that one shares it at once.
            let is_shared = match file.try_lock() {
                Ok(()) => false,
                Err(TryLockError::WouldBlock) => true,
                Err(TryLockError::Error(error)) => return Err(error),
            };
            file.lock_shared()?;
            Ok((file, is_shared))
        };
        match taken() {
            Ok((file, is_shared)) => Self { _file: Some(file), is_shared },
            Err(_) => Self { _file: None, is_shared: false },
        }
    }

    /// What a run that began beside another must know, and its readers.
    pub(super) fn warning(&self) -> Option<String> {
        let told = "another run: ioduel measures on this machine already, and each run slows the other; wait for its end";
        self.is_shared.then(|| told.to_owned())
    }
}

/// Another user's file can be locked too, if it can be read.
fn open() -> io::Result<File> {
    let path = std::env::temp_dir().join("ioduel.lock");
    let ours = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    ours.or_else(|_| File::open(&path))
}
