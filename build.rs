//! Tells the program what it was built by: the compiler, the profile, the revision of its source.

use std::{env, path::Path, process::Command};

fn main() {
    for path in ["build.rs", "Cargo.toml", "benches", "src", ".git/HEAD", ".git/index"] {
        // A path that isn't there would count as changed each time.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }

    println!("cargo::rustc-env=IODUEL_RUSTC={}", rustc_version());
    println!("cargo::rustc-env=IODUEL_PROFILE={}", env::var("PROFILE").expect("cargo sets PROFILE"));
    println!("cargo::rustc-env=IODUEL_GIT={}", git_revision());
}

/// Asks the compiler in use for its version, such as `1.95.0`.
fn rustc_version() -> String {
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let printed = Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    let printed = String::from_utf8(printed).expect("rustc prints UTF-8");
    printed.split_whitespace().nth(1).unwrap_or("unknown").to_owned()
}

/// Asks git for the revision, with `+dirty` behind it where the work tree differs; nothing where there is no git.
fn git_revision() -> String {
    let git = |words: &[&str]| {
        let output =
            Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let Some(revision) = git(&["rev-parse", "HEAD"]) else { return String::new() };
    let dirty =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    if dirty { revision + "+dirty" } else { revision }
}
