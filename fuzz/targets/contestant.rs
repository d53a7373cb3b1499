//! The file of a contestant that anybody wrote.

#![no_main]

use std::path::Path;

use ioduel::contestant::check_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &str| {
    // Right or wrong, it is told.
    let _ = check_file(Path::new("./any.toml"), file);
});
