//! Pages on disk: that of a record, and the list of all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    analysis::Ranked,
    record::{Record, Setup},
    report::{self, Told},
};

/// The file of a page in its folder.
const PAGE: &str = "index.html";

/// The file that says in Markdown what a record says.
pub(super) const SUMMARY: &str = "summary.md";

/// Writes the page of a record into its folder, and returns where it is.
///
/// # Errors
/// When the record cannot be shown, or the page cannot be written.
pub(super) fn write_page(folder: &Path, record: &Record, ranked: Ranked) -> anyhow::Result<PathBuf> {
    let path = folder.join(PAGE);
    write(&path, &report::page(record, ranked)?)?;
    Ok(path)
}

/// Writes a file, and names it when that fails.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the list of all records of a folder into it, the newest first, and returns where it is.
///
/// # Errors
/// When the folder cannot be read, or the list not be written.
pub(super) fn write_list(results: &Path) -> anyhow::Result<PathBuf> {
    let mut records = records(results).with_context(|| format!("cannot list {}", results.display()))?;
    records.sort_by_key(|told| std::cmp::Reverse(age(&told.name)));
    let path = results.join(PAGE);
    write(&path, &report::list_page(&records)?)?;
    Ok(path)
}

/// Whether a folder is none of a record, and holds such.
pub(super) fn holds_records(folder: &Path) -> bool {
    told(folder).is_none() && records(folder).is_ok_and(|records| !records.is_empty())
}

fn records(results: &Path) -> io::Result<Vec<Told>> {
    Ok(fs::read_dir(results)?.flatten().filter_map(|entry| told(&entry.path())).collect())
}

/// What is told of the record in a folder; nothing where there is none.
pub(super) fn told(folder: &Path) -> Option<Told> {
    let setup = Setup::read(folder).ok()?;
    let name = folder.file_name()?.to_string_lossy().into_owned();
    let file = if folder.join(PAGE).exists() { PAGE } else { SUMMARY };
    Some(Told::new(name, &setup, file))
}

/// The day and the number of a record's folder, to sort by.
fn age(name: &str) -> (String, u32) {
    let (day, number) = name.rsplit_once('.').unwrap_or((name, ""));
    (day.to_owned(), number.parse().unwrap_or(0))
}
