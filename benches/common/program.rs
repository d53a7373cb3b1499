//! Where the program is that is measured.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Where cargo has put it, or near this bench, where both were moved.
pub(crate) fn program() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_ioduel"));
    let own = env::current_exe().unwrap_or_default();
    let near = own.ancestors().skip(1).take(2).map(|folder| folder.join("ioduel"));
    if built.is_file() { built } else { near.into_iter().find(|path| Path::is_file(path)).unwrap_or(built) }
}
