//! Pages on disk: that of a record, and the list of all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    record::{Record, Setup},
    report::{self, Told},
};

/// The file of a page in its folder.
pub(super) const PAGE: &str = "index.html";

/// The file that shows a record without a page.
const SUMMARY: &str = "summary.md";

/// Writes the page of a record into its folder, brings the list of all records beside it up to date, and returns where the
/// page is.
///
/// # Errors
/// When the record cannot be shown, or a page cannot be written.
pub(super) fn write_page(folder: &Path, record: &Record) -> anyhow::Result<PathBuf> {
    let path = folder.join(PAGE);
    write(&path, &report::page(record)?)?;
    if let Some(results) = folder.canonicalize().ok().as_deref().and_then(Path::parent) {
        write_list(results)?;
    }
    Ok(path)
}

/// Writes a file, and names it when that fails.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the list of all records of a folder, the newest first.
fn write_list(results: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(results).with_context(|| format!("cannot list {}", results.display()))?;
    let mut records: Vec<Told> = entries.flatten().filter_map(|entry| told(&entry.path())).collect();
    records.sort_by_key(|told| std::cmp::Reverse(age(&told.name)));
    write(&results.join(PAGE), &report::list_page(&records)?)
}

/// What is told of the record in a folder; nothing where there is none.
pub(super) fn told(folder: &Path) -> Option<Told> {
    let setup = Setup::read(folder).ok()?;
    let name = folder.file_name()?.to_str()?.to_owned();
    let file = if folder.join(PAGE).exists() { PAGE } else { SUMMARY };
    Some(Told::new(name, &setup, file))
}

/// The day and the number of a record's folder, to sort by.
fn age(name: &str) -> (String, u32) {
    let (day, number) = name.rsplit_once('.').unwrap_or((name, ""));
    (day.to_owned(), number.parse().unwrap_or(0))
}
