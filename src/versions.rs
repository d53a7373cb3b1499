//! This program built anew with one crate exchanged: `tokio@1.45.0`, `tokio@../tokio/tokio`.
//!
//! The source of this program stays as it is. A folder in `target/versions/` has a manifest of its own, which asks for that version
//! or that folder, a lock file that begins as this program's, and links to the source; the build has the one backend alone, and
//! the profile that this program was built in. All builds share what they have in common, and cargo knows what is up to date.

use std::{
    ffi::OsString,
    fmt, fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context as _, bail, ensure};
use semver::Version as Release;
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use crate::backend::{self, Backend, Unavailable};

/// Where the source of this program was when it was built.
const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// What the manifest of a version refers to, as links to the source.
const LINKED: [&str; 4] = ["build.rs", "src", "templates", "workloads"];

/// A backend with another version of its crate.
pub struct Version {
    backend: &'static dyn Backend,
    crate_name: &'static str,
    /// As it was asked for, such as `tokio@1.45.0`.
    name: String,
    exchanged: Exchanged,
    built: OnceLock<Result<Built, Unavailable>>,
}

/// What stands in for the crate.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exchanged {
    /// A release from the registry.
    Release(Release),
    /// The folder that has the crate.
    Folder(PathBuf),
}

/// A program that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Built {
    program: PathBuf,
    /// The version that is in it, and of a folder where that is and its revision.
    version: String,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").field("name", &self.name).field("exchanged", &self.exchanged).finish()
    }
}

impl Version {
    /// A version of a backend: a release, such as `1.45.0`, or a folder that has the crate.
    ///
    /// # Errors
    /// When it is neither, or the backend rests on no crate.
    pub fn new(backend: &'static dyn Backend, asked: &str) -> anyhow::Result<Self> {
        let name = backend.about().name;
        ensure!(
            backend::is_own(name),
            "{name} is not built into ioduel; only built-in backends can run with another version"
        );
        let crate_name = backend.about().crate_name;
        let crate_name = crate_name
            .with_context(|| format!("{name} is not based on a crate, so it has no other versions"))?;
        let exchanged = Exchanged::new(crate_name, &backend.about().version(), asked)?;
        Ok(Self { backend, crate_name, name: format!("{name}@{asked}"), exchanged, built: OnceLock::new() })
    }

    /// As it was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The backend whose crate is exchanged.
    pub fn backend(&self) -> &'static dyn Backend {
        self.backend
    }

    /// What the program has that was built; `unknown` before it is.
    pub fn version(&self) -> String {
        self.built().map_or_else(|_| "unknown".to_owned(), |built| built.version.clone())
    }

    /// The program, once it is built.
    pub fn program(&self) -> Option<&Path> {
        self.built().ok().map(|built| built.program.as_path())
    }

    fn built(&self) -> Result<&Built, Unavailable> {
        match self.built.get() {
            Some(Ok(built)) => Ok(built),
            Some(Err(why)) => Err(why.clone()),
            None => Err(Unavailable("not built yet".to_owned())),
        }
    }

    /// Builds its program, once a process, and tells how far that is.
    ///
    /// # Errors
    /// What the compiler complains of first, in one line.
    pub fn build(&self, progress: &dyn Fn(&str)) -> Result<(), Unavailable> {
        let build = || {
            progress(&format!("building {}", self.name));
            self.build_anew(progress).map_err(|error| Unavailable(format!("{error:#}")))
        };
        self.built.get_or_init(build).as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn build_anew(&self, progress: &dyn Fn(&str)) -> anyhow::Result<Built> {
        let source = Path::new(SOURCE);
        ensure!(
            source.join("Cargo.toml").exists(),
            "the source that this program was built from is not at {SOURCE} any more"
        );
        let versions = folder_of_versions(source)?;
        let folder = versions.join(self.folder_name());
        self.lay_out(source, &folder).with_context(|| format!("cannot write {}", folder.display()))?;
        self.compile(&folder, &versions.join("target"), progress)
    }

    /// A name that no registry has for a folder: what a program was linked with is read from such.
    fn folder_name(&self) -> String {
        let backend = self.backend.about().name;
        match &self.exchanged {
            Exchanged::Release(release) => format!("{backend}@{release}"),
            Exchanged::Folder(folder) => {
                let hash = Sha256::digest(folder.as_os_str().as_encoded_bytes());
                let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
                format!("{backend}@{hash}")
            }
        }
    }

    /// Writes the manifest, and the lock file where the manifest is a new one.
    fn lay_out(&self, source: &Path, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        for name in LINKED {
            let link = folder.join(name);
            if fs::read_link(&link).ok() != Some(source.join(name)) {
                let _ = fs::remove_file(&link);
                symlink(source.join(name), &link)?;
            }
        }
        let manifest = self.manifest(&fs::read_to_string(source.join("Cargo.toml"))?)?;
        let (path, own_lock) =
            (folder.join("Cargo.toml"), fs::read_to_string(source.join("Cargo.lock")).ok());
        let begun_from = folder.join("Cargo.lock.begun-from");
        let is_as_before = fs::read_to_string(&path).ok().as_deref() == Some(&manifest)
            && fs::read_to_string(&begun_from).ok() == own_lock;
        if !is_as_before {
            fs::write(&path, manifest)?;
            // Without a lock file of this program the newest of all is taken.
            if let Some(lock) = own_lock {
                fs::write(&begun_from, &lock)?;
                fs::write(folder.join("Cargo.lock"), lock)?;
            }
        }
        Ok(())
    }

    /// The manifest of this program, with the one crate exchanged, and without what only this repository needs.
    fn manifest(&self, own: &str) -> anyhow::Result<String> {
        let mut manifest: Table = toml::from_str(own).context("the manifest of this program")?;
        for key in ["bench", "bin", "build-dependencies", "dev-dependencies", "example", "test"] {
            manifest.remove(key);
        }
        let mut bin = Table::new();
        bin.insert("name".to_owned(), self.bin_name().into());
        bin.insert("path".to_owned(), "src/main.rs".into());
        manifest.insert("bin".to_owned(), Value::Array(vec![bin.into()]));
        // Not a member of any workspace that the folder lies in.
        manifest.insert("workspace".to_owned(), Table::new().into());
        let package = manifest.get_mut("package").and_then(Value::as_table_mut).context("no package")?;
        for key in ["default-run", "readme", "include", "exclude"] {
            package.remove(key);
        }
        package.insert("build".to_owned(), "build.rs".into());
        let dependencies = manifest.get_mut("dependencies").and_then(Value::as_table_mut);
        let dependency =
            dependencies.and_then(|all| all.get_mut(self.crate_name)).context("no such dependency")?;
        self.exchange(dependency);
        Ok(toml::to_string(&manifest)?)
    }

    /// Asks for the other version, with the features that were asked for.
    fn exchange(&self, dependency: &mut Value) {
        let mut table = dependency.as_table().cloned().unwrap_or_default();
        table.remove("version");
        match &self.exchanged {
            Exchanged::Release(release) => table.insert("version".to_owned(), format!("={release}").into()),
            Exchanged::Folder(folder) => {
                table.insert("path".to_owned(), folder.to_string_lossy().into_owned().into())
            }
        };
        *dependency = table.into();
    }

    fn bin_name(&self) -> String {
        let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        format!("ioduel-{}", self.folder_name().chars().map(clean).collect::<String>())
    }

    fn compile(&self, folder: &Path, target: &Path, progress: &dyn Fn(&str)) -> anyhow::Result<Built> {
        let features =
            [self.backend.about().name].into_iter().chain(cfg!(feature = "blind").then_some("blind"));
        let mut words: Vec<OsString> =
            ["build", "--message-format=short", "--no-default-features", "--features"]
                .map(OsString::from)
                .into();
        words.extend([features.collect::<Vec<_>>().join(",").into(), "--manifest-path".into()]);
        words.extend([folder.join("Cargo.toml").into(), "--target-dir".into(), target.into()]);
        let is_release = env!("IODUEL_PROFILE") == "release";
        words.extend(is_release.then(|| "--release".into()));
        run_cargo(folder, &words, |line| progress(&format!("building {}: {line}", self.name)))?;
        let program = target.join(env!("IODUEL_PROFILE")).join(self.bin_name());
        ensure!(program.exists(), "cargo built no {}", program.display());
        let lock: Table = toml::from_str(&fs::read_to_string(folder.join("Cargo.lock"))?)?;
        Ok(Built { program, version: self.version_in(&lock)? })
    }

    /// The version that was built, from the lock file that cargo has written for that build.
    fn version_in(&self, lock: &Table) -> anyhow::Result<String> {
        let packages = lock.get("package").and_then(Value::as_array).context("no packages")?;
        let is_it = |package: &&Value| {
            package.get("name").and_then(Value::as_str) == Some(self.crate_name)
                && match &self.exchanged {
                    Exchanged::Release(release) => {
                        package.get("version").and_then(Value::as_str) == Some(&release.to_string())
                    }
                    // What comes from a folder has no source.
                    Exchanged::Folder(_) => package.get("source").is_none(),
                }
        };
        let found = packages.iter().find(is_it).context("the crate is not in the lock file")?;
        let version = found.get("version").and_then(Value::as_str).context("no version")?;
        Ok(match &self.exchanged {
            Exchanged::Release(_) => version.to_owned(),
            Exchanged::Folder(folder) => match revision(folder) {
                Some(revision) => format!("{version} at {}, revision {revision}", folder.display()),
                None => format!("{version} at {}", folder.display()),
            },
        })
    }
}

impl Exchanged {
    fn new(crate_name: &str, linked: &str, asked: &str) -> anyhow::Result<Self> {
        if let Ok(release) = Release::parse(asked) {
            return Ok(Self::Release(release));
        }
        let manifest = Path::new(asked).join("Cargo.toml");
        if !manifest.exists() {
            bail!(
                "{asked:?} is neither a full version of the crate {crate_name}, like {linked}, nor a folder with a Cargo.toml"
            )
        }
        let text =
            fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let table: Table = toml::from_str(&text).with_context(|| manifest.display().to_string())?;
        let name = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        ensure!(
            name == Some(crate_name),
            "{asked} has {}, and the crate to replace is {crate_name}",
            name.map_or_else(|| "no package".to_owned(), |name| format!("the crate {name}"))
        );
        Ok(Self::Folder(Path::new(asked).canonicalize()?))
    }
}

/// Where versions are built: where this program was, or, when that can't be written to, where caches are.
fn folder_of_versions(source: &Path) -> anyhow::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| source.join("target"), PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folders = [Some(target.join("versions")), cache.map(|cache| cache.join("ioduel/versions"))];
    let mut folders = folders.into_iter().flatten();
    let found = folders.find(|folder| fs::create_dir_all(folder).is_ok());
    let found = found.context("no folder to build in can be written to; CARGO_TARGET_DIR names one")?;
    Ok(found.canonicalize()?)
}

/// What cargo says of a release that is not in the registry, before those that are.
const OTHER_RELEASES: &str = "candidate versions found which didn't match: ";

/// Runs cargo, and hands on what it says it does.
///
/// It is in this process's group: a Ctrl-C ends it, and the compilers that it runs.
fn run_cargo(folder: &Path, words: &[OsString], mut told: impl FnMut(&str)) -> anyhow::Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With the flags that this program was built with, and the settings of the folder that it is built in.
    cargo
        .current_dir(folder)
        .env("RUSTFLAGS", env!("IODUEL_RUSTFLAGS"))
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = cargo.spawn().context("cannot run cargo, which builds it")?;
    let output = child.stderr.take().expect("standard error is a pipe");
    let (mut first_error, mut after) = (None, Vec::new());
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let line = line.trim();
        if first_error.is_some() {
            after.push(line.to_owned());
        } else if line.starts_with("error") || line.contains(": error") {
            first_error = Some(line.to_owned());
        } else if !line.is_empty() {
            told(line);
        }
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let why = first_error.unwrap_or_else(|| format!("cargo ended ({status})"));
    // What cargo itself complains of says in the next line what for.
    let more = after.into_iter().find(|line| !line.is_empty()).filter(|_| why.starts_with("error: "));
    if let Some(found) = more.as_deref().and_then(|line| line.strip_prefix(OTHER_RELEASES)) {
        bail!("there is no such release; cargo found {}", found.trim_end_matches([',', ' ', '.']));
    }
    bail!("{}", [Some(why), more].into_iter().flatten().collect::<Vec<_>>().join(" "))
}

/// The revision of a folder in a repository, with `+dirty` behind it where the folder has other changes.
fn revision(folder: &Path) -> Option<String> {
    let git = |words: &[&str]| {
        let output =
            Command::new("git").arg("-C").arg(folder).args(words).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"])?;
    let dirty = !git(&["status", "--porcelain", "--", "."])?.is_empty();
    Some(if dirty { revision + "+dirty" } else { revision })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoll(asked: &str) -> anyhow::Result<Version> {
        Version::new(backend::find("epoll").unwrap(), asked)
    }

    #[test]
    fn a_version_is_a_release_or_a_folder_that_has_the_crate() {
        assert_eq!(epoll("0.30.1").unwrap().exchanged, Exchanged::Release(Release::new(0, 30, 1)));
        let neither = epoll("0.30").unwrap_err().to_string();
        assert_eq!(
            neither,
            format!(
                "\"0.30\" is neither a full version of the crate nix, like {}, nor a folder with a Cargo.toml",
                backend::find("epoll").unwrap().about().version()
            )
        );
        let other = epoll(SOURCE).unwrap_err().to_string();
        assert!(other.ends_with("has the crate ioduel, and the crate to replace is nix"), "{other}");
    }

    #[test]
    fn a_manifest_asks_for_the_other_version_and_for_nothing_else_anew() {
        let own = include_str!("../Cargo.toml");
        let before: Table = toml::from_str(own).unwrap();
        let after: Table = toml::from_str(&epoll("0.30.1").unwrap().manifest(own).unwrap()).unwrap();
        assert_eq!(after["dependencies"]["nix"]["version"].as_str(), Some("=0.30.1"));
        assert_eq!(after["dependencies"]["nix"]["features"], before["dependencies"]["nix"]["features"]);
        for (name, dependency) in before["dependencies"].as_table().unwrap() {
            assert!(name == "nix" || after["dependencies"][name] == *dependency, "{name}");
        }
        assert_eq!((&after["features"], &after["profile"]), (&before["features"], &before["profile"]));
        assert!(after.contains_key("workspace") && !after.contains_key("dev-dependencies"));
    }

    #[test]
    fn no_folder_is_called_as_a_registry_would_call_it() {
        assert_eq!(epoll("0.30.1").unwrap().folder_name(), "epoll@0.30.1");
        assert_eq!(epoll("0.30.1").unwrap().bin_name(), "ioduel-epoll-0-30-1");
    }
}
