//! A folder for the records of a test, gone when that is over.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

/// A folder for results, gone when the test is over.
pub(crate) struct Results(pub(crate) PathBuf);

impl Results {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ioduel-duel-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn duel(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ioduel"));
        command.arg("duel").args(words).arg("--out").arg(&self.0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The folder of the one record that there is.
    pub(crate) fn record(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(&self.0).ok()?.map(|entry| entry.unwrap().path());
        entries.find(|path| path.is_dir())
    }

    /// The lines that are on disk until now.
    pub(crate) fn lines(&self) -> usize {
        let file = self.record().map(|folder| folder.join("rounds.jsonl"));
        file.and_then(|file| fs::read_to_string(file).ok()).map_or(0, |text| text.lines().count())
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        // Left behind when it can't be removed; nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
