//! Takes the locked version of every crate that this one names, and of the compiler, at build time: no version is ever typed
//! in.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path, process::Command};

#[derive(serde::Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(default)]
    dependencies: Vec<String>,
}

fn main() {
    println!("cargo::rerun-if-changed=Cargo.lock");
    for path in ["build.rs", "Cargo.toml", "benches", "src", ".git/HEAD", ".git/index"] {
        // A path that isn't there would count as changed each time.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }

    let lock = fs::read_to_string("Cargo.lock").expect("Cargo.lock is part of the package");
    let lock: Lock = toml::from_str(&lock).expect("cargo writes its lock file as TOML");

    let mut table = String::from("&[\n");
    for (name, version) in named(&lock) {
        writeln!(table, "    ({name:?}, {version:?}),").expect("a String takes any write");
    }
    table.push(']');

    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("locked.rs"), table).expect("OUT_DIR is writable");
    println!("cargo::rustc-env=IODUEL_RUSTC={}", rustc_version());
    println!("cargo::rustc-env=IODUEL_PROFILE={}", env::var("PROFILE").expect("cargo sets PROFILE"));
    println!("cargo::rustc-env=IODUEL_GIT={}", git_revision());
}

/// The crates that this one names, and their versions. Where several versions of a crate are locked, cargo writes the version
/// behind the name; where this one itself names two, the older is there for another crate's sake, and the newer is meant.
fn named(lock: &Lock) -> BTreeMap<&str, &str> {
    let own = lock.package.iter().find(|package| package.name == env!("CARGO_PKG_NAME"));
    let own = own.expect("cargo locks this crate too");
    let mut named = BTreeMap::new();
    for dependency in &own.dependencies {
        let (name, version) = match dependency.split_once(' ') {
            Some(both) => both,
            None => (dependency.as_str(), only_version(lock, dependency)),
        };
        named.insert(name, version);
    }
    named
}

fn only_version<'l>(lock: &'l Lock, name: &str) -> &'l str {
    let package = lock.package.iter().find(|package| package.name == name);
    &package.expect("a dependency is locked").version
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
