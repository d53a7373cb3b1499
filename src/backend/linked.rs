//! Which version of a crate this program was linked with, found in the program itself.
//!
//! A lock file says what a build was to take, and is not read by every build: `cargo install` without `--locked` leaves it aside,
//! and a program that has this crate as a library has a lock file of its own. What was compiled left its path in the file
//! that runs, in the places that panics tell and in the line tables: `…/tokio-1.54.1/src/…`.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Mutex, OnceLock, PoisonError},
};

use memchr::memmem;
use semver::Version;

/// Crates that have no code of their own to be found by, and the one of theirs that is told instead.
const FACADES: [(&str, &str); 1] = [("compio", "compio-runtime")];

/// The version of a crate whose source came from a registry; `unknown` where the program's file does not have it: built from a
/// folder or a repository, or with its paths taken away.
///
/// Where two are linked, the newer is told: the older is there for another crate's sake.
pub(super) fn version_of(name: &str) -> String {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let find = || {
        let facade = FACADES.iter().find(|(facade, _)| *facade == name);
        let found = newest(program(), facade.map_or(name, |(_, inner)| inner));
        let inner = facade.map_or_else(String::new, |(_, inner)| format!("{inner} "));
        found.map_or_else(|| "unknown".to_owned(), |version| format!("{inner}{version}"))
    };
    known.entry(name.to_owned()).or_insert_with(find).clone()
}

/// The bytes of this program's file; none where it can't be read.
fn program() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    // The file that runs, also when another has taken its name since (proc(5), `/proc/pid/exe`).
    PROGRAM.get_or_init(|| fs::read("/proc/self/exe").unwrap_or_default())
}

/// The newest version that stands behind `/name-`.
fn newest(program: &[u8], name: &str) -> Option<Version> {
    let before = format!("/{name}-");
    let behind = memmem::find_iter(program, &before).map(|at| &program[at + before.len()..]);
    behind.filter_map(leading_version).max()
}

/// The version that bytes begin with, up to the end of the folder's name.
fn leading_version(bytes: &[u8]) -> Option<Version> {
    const LONGEST: usize = 64;
    let end = bytes.iter().take(LONGEST).position(|byte| matches!(byte, b'/' | 0))?;
    Version::parse(std::str::from_utf8(&bytes[..end]).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_paths_and_nowhere_else() {
        let program =
            b"x/mio-0.8.11/src/lib.rs\0/mio-1.2.0\0/mio-serial-9.0.0/src /mio-2.0 /mio-1.0.0-rc.1/src";
        assert_eq!(newest(program, "mio"), Some(Version::new(1, 2, 0)));
        assert_eq!(newest(program, "tokio"), None);
    }

    /// What is told is what the lock file of this build says, which `cargo test` in this tree has read.
    #[test]
    fn what_is_linked_is_what_was_locked() {
        let lock: toml::Table = toml::from_str(include_str!("../../Cargo.lock")).unwrap();
        let packages = lock["package"].as_array().unwrap();
        let is_locked = |name: &str| {
            let told = version_of(name);
            let (name, told) = told.split_once(' ').unwrap_or((name, &told));
            packages.iter().any(|package| {
                package["name"].as_str() == Some(name) && package["version"].as_str() == Some(told)
            })
        };
        let crates = super::super::all().iter().filter_map(|backend| backend.about().crate_name);
        assert_eq!(crates.filter(|name| !is_locked(name)).collect::<Vec<_>>(), [""; 0]);
    }
}
