//! Tells the program what it was built by: the compiler, the profile, the features, the revision of its source.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn main() {
    // A version of a backend is built in a folder of links: the source is where they lead.
    let source = Path::new("src").canonicalize().ok().and_then(|src| Some(src.parent()?.to_owned()));
    let source = source.unwrap_or_else(|| ".".into());
    // Not the manifest of a version, which is newer than what others have in common with it: all would be built again.
    let own = ["build.rs", "Cargo.toml", "benches", "src"].map(|name| source.join(name));
    for path in own.into_iter().chain(heads(&source)) {
        // A path that isn't there would count as changed each time.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let told = |name: &str| env::var(name).unwrap_or_default();
    println!("cargo::rustc-env=IODUEL_RUSTC={}", rustc_version());
    println!("cargo::rustc-env=IODUEL_PROFILE={}", told("PROFILE"));
    println!("cargo::rustc-env=IODUEL_TARGET={}", told("TARGET"));
    println!("cargo::rustc-env=IODUEL_RUSTFLAGS={}", told("CARGO_ENCODED_RUSTFLAGS").replace('\x1f', " "));
    println!("cargo::rustc-env=IODUEL_FEATURES={}", features().join(" "));
    println!("cargo::rustc-env=IODUEL_GIT={}", git_revision(&source).unwrap_or_default());
}

/// The features that are asked for, but those that stand for nothing but others.
fn features() -> Vec<String> {
    let names = env::vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_owned()));
    let mut features: Vec<String> = names.map(|name| name.to_lowercase().replace('_', "-")).collect();
    features.retain(|name| !["default", "backends", "ring", "tasks"].contains(&name.as_str()));
    features.sort();
    features
}

/// Asks the compiler in use for its version, such as `1.95.0`.
fn rustc_version() -> String {
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let printed = Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    let printed = String::from_utf8(printed).expect("rustc prints UTF-8");
    printed.split_whitespace().nth(1).unwrap_or("unknown").to_owned()
}

/// What git prints, where it is there and all goes well. It writes nothing: `git status` would renew the index, and what is newer than
/// the last build has all built again.
fn git(source: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("--no-optional-locks")
        .arg("-C")
        .arg(source)
        .args(words)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The files that change when another revision is checked out, or something is staged: elsewhere than in `.git` in a worktree.
fn heads(source: &Path) -> Vec<PathBuf> {
    let path = |name: &str| git(source, &["rev-parse", "--path-format=absolute", "--git-path", name]);
    ["HEAD", "index"].into_iter().filter_map(path).map(PathBuf::from).collect()
}

/// The revision, with `+dirty` behind it where the work tree differs; nothing where this source is in no repository of its own: the
/// revision of whatever repository it was unpacked into says nothing of it.
fn git_revision(source: &Path) -> Option<String> {
    let top = PathBuf::from(git(source, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != source.canonicalize().ok()? {
        return None;
    }
    let revision = git(source, &["rev-parse", "HEAD"])?;
    // What this program records itself is no change of it.
    let changes = ["status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)results"];
    let dirty = git(source, &changes).is_none_or(|changes| !changes.is_empty());
    Some(if dirty { revision + "+dirty" } else { revision })
}
