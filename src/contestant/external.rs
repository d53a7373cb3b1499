//! A program of somebody else, described by a file in `contestants/`, in whatever language it is written.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;

use super::Description;
use crate::{
    agent::Program,
    backend::{Maintenance, Model, Threading, Unavailable},
    processes::descendants,
    protocol::DEFAULT_MESSAGE_BYTES,
    written::{self, toml_error},
};

/// How long a program may take to tell its version.
const UNTIL_VERSION: Duration = Duration::from_secs(10);

/// How long it may take to build one.
const UNTIL_BUILT: Duration = Duration::from_secs(300);

/// The file, as it stands on disk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireContestant {
    name: String,
    summary: String,
    command: Option<String>,
    server: Option<String>,
    version: Option<String>,
    build: Option<String>,
    kind: WireKind,
    maintenance: Option<Maintenance>,
    #[serde(default)]
    portable: bool,
    #[serde(default)]
    slices: bool,
    #[serde(default)]
    offloads: bool,
    #[serde(default = "first_version")]
    speaks: u32,
}

/// Whoever does not say otherwise knows the requests of the first version.
fn first_version() -> u32 {
    1
}

/// How it waits, and on how many threads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKind {
    model: Model,
    threading: Threading,
}

/// The words that start a program, and what it then is.
#[derive(Debug)]
enum Theirs {
    /// It answers as an agent.
    Agent(Vec<OsString>),
    /// It listens where its words say so, and knows nothing of this program.
    Server(Vec<OsString>),
}

/// What stands in the words of a server where it takes messages of any size.
const MESSAGE_BYTES: &str = "{message_bytes}";

/// A program of somebody else.
#[derive(Debug)]
pub(super) struct External {
    file: PathBuf,
    name: String,
    summary: String,
    model: Model,
    threading: Threading,
    maintenance: Maintenance,
    portable: bool,
    slices: bool,
    offloads: bool,
    speaks: u32,
    program: Theirs,
    version_command: Option<Vec<OsString>>,
    build_command: Option<Vec<OsString>>,
    version: OnceLock<Result<String, Unavailable>>,
    built: OnceLock<Result<(), Unavailable>>,
}

/// Reads every file of a folder, by name; nothing where there is no such folder.
pub(super) fn read_all(folder: &Path) -> Vec<anyhow::Result<External>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    files.sort();
    files.iter().map(|file| External::read(file)).collect()
}

impl External {
    fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(file, &text).with_context(|| file.display().to_string())
    }

    pub(super) fn parse(file: &Path, text: &str) -> anyhow::Result<Self> {
        let wire: WireContestant = toml::from_str(text).map_err(|error| toml_error(&error))?;
        written::name(&wire.name).map_err(anyhow::Error::msg)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
        let words =
            |what: &str, text: &str| words(&folder, text).with_context(|| format!("{what} = {text:?}"));
        let program = match (&wire.command, &wire.server) {
            (Some(command), None) => Theirs::Agent(words("command", command)?),
            (None, Some(server)) => Theirs::Server(words("server", server)?),
            (None, None) => bail!(
                "missing field: give `command` for an agent or `server` for a program that is only a server"
            ),
            (Some(_), Some(_)) => {
                bail!("give `command` for an agent or `server` for a program that is only a server, not both")
            }
        };
        ensure!(
            wire.server.is_none() || wire.speaks == first_version(),
            "`speaks` is for agents only: leave it out of a program that is only a server"
        );
        let version_command = wire.version.as_deref().map(|text| words("version", text)).transpose()?;
        ensure!(version_command.is_some() || matches!(program, Theirs::Server(_)), "missing field `version`");
        Ok(Self {
            file: file.to_owned(),
            program,
            version_command,
            build_command: wire.build.as_deref().map(|text| words("build", text)).transpose()?,
            name: wire.name,
            summary: wire.summary,
            model: wire.kind.model,
            threading: wire.kind.threading,
            maintenance: wire.maintenance.unwrap_or(Maintenance::Active),
            portable: wire.portable,
            slices: wire.slices,
            offloads: wire.offloads,
            speaks: wire.speaks,
            version: OnceLock::new(),
            built: OnceLock::new(),
        })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn threading(&self) -> Threading {
        self.threading
    }

    pub(super) fn is_sliceable(&self) -> bool {
        self.slices
    }

    pub(super) fn offloads(&self) -> bool {
        self.offloads
    }

    pub(super) fn speaks(&self) -> u32 {
        self.speaks
    }

    pub(super) fn program(&self) -> Program<'_> {
        match &self.program {
            Theirs::Agent(words) => Program::Agent(words),
            Theirs::Server(words) => Program::Server(words),
        }
    }

    /// Whether a server alone takes messages of this size.
    pub(super) fn takes_messages_of(&self, message_bytes: usize) -> bool {
        match &self.program {
            Theirs::Agent(_) => true,
            Theirs::Server(words) => {
                message_bytes == DEFAULT_MESSAGE_BYTES
                    || words.iter().any(|word| word.to_string_lossy().contains(MESSAGE_BYTES))
            }
        }
    }

    pub(super) fn describe(&self) -> Description {
        Description {
            crate_name: None,
            version: self.version().unwrap_or_else(|_| "unknown".to_owned()),
            model: self.model,
            threading: self.threading,
            maintenance: self.maintenance,
            advisories: Vec::new(),
            portable: self.portable,
            external: true,
            floor: Some(false),
            summary: self.summary.clone(),
        }
    }

    /// Asks for the version, once a process: the first line that is printed.
    ///
    /// # Errors
    /// What the command complains of, when it fails: why the program can't run here.
    pub(super) fn version(&self) -> Result<String, Unavailable> {
        let ask = || {
            let Some(command) = &self.version_command else { return Ok("unversioned".to_owned()) };
            let output = self.run(command, UNTIL_VERSION)?;
            let line = first_line(&output.stdout);
            line.ok_or_else(|| Unavailable(format!("{}: its version command prints nothing", self.name)))
        };
        self.version.get_or_init(ask).clone()
    }

    /// Builds it, once a process.
    ///
    /// # Errors
    /// What the command complains of first, when it fails.
    pub(super) fn build(&self) -> Result<(), Unavailable> {
        let build = || match &self.build_command {
            Some(command) => self.run(command, UNTIL_BUILT).map(drop),
            None => Ok(()),
        };
        self.built.get_or_init(build).clone()
    }

    /// Runs one of its commands to a good end.
    fn run(&self, words: &[OsString], patience: Duration) -> Result<Output, Unavailable> {
        let told = words[0].to_string_lossy();
        // What lies in the current folder decides nothing.
        let folder = self.file.parent().filter(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        let output = output_within(words, folder, patience)
            .map_err(|error| Unavailable(format!("{told}: {error}")))?;
        if output.status.success() {
            return Ok(output);
        }
        let said = first_line(&output.stderr).or_else(|| first_line(&output.stdout));
        Err(Unavailable(said.unwrap_or_else(|| format!("{told}: {}", output.status))))
    }
}

/// Splits a command; a program named by a path is looked for from the file's folder, and `{folder}` is that folder.
fn words(folder: &Path, text: &str) -> anyhow::Result<Vec<OsString>> {
    let mut words = shell_words::split(text)?;
    words.iter_mut().for_each(|word| *word = word.replace("{folder}", &folder.to_string_lossy()));
    ensure!(!words.is_empty(), "it names no command");
    if words[0].contains('/') {
        words[0] = folder.join(&words[0]).to_string_lossy().into_owned();
    }
    Ok(words.into_iter().map(OsString::from).collect())
}

fn first_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// Runs a command to its end, and kills it when that takes too long.
fn output_within(words: &[OsString], folder: &Path, patience: Duration) -> io::Result<Output> {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // In the group of this process: a Ctrl-C ends it, and what it has started.
    let child = command.spawn()?;
    let number = child.id();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    receiver.recv_timeout(patience).unwrap_or_else(|_| {
        let below = descendants(number).iter().map(|process| process.pid).collect::<Vec<_>>();
        for pid in below.into_iter().chain([number.cast_signed()]) {
            // It may have ended just now.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        Err(io::Error::other(format!("no end within {} s", patience.as_secs())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"x\"\nsummary = \"an x\"\ncommand = \"true\"\nversion = \"echo x 1.0\"\n\
                        kind = { model = \"readiness\", threading = \"loops\" }\n";

    fn parse(text: &str) -> anyhow::Result<External> {
        External::parse(Path::new("src/x.toml"), text)
    }

    fn complaint(text: &str) -> String {
        format!("{:#}", parse(text).unwrap_err())
    }

    #[test]
    fn a_file_says_who_it_is_and_its_version_is_asked() {
        let external = parse(GOOD).unwrap();
        let description = external.describe();
        assert_eq!((external.name(), description.version.as_str()), ("x", "x 1.0"));
        assert_eq!(external.build(), Ok(()));
    }

    #[test]
    fn a_program_named_by_a_path_is_looked_for_from_the_file() {
        let external = parse(&GOOD.replace("\"true\"", "\"bin/x --fast\"")).unwrap();
        let Program::Agent(words) = external.program() else { panic!("{external:?}") };
        let program = Path::new(&words[0]);
        assert!(program.is_absolute() && program.ends_with("src/bin/x"), "{program:?}");
        assert_eq!(words[1], "--fast");
    }

    #[test]
    fn a_server_alone_needs_no_version_and_takes_the_messages_that_its_words_say() {
        let server = |words: &str| {
            let text = GOOD.replace("command = \"true\"", &format!("server = {words:?}"));
            parse(&text.replace("version = \"echo x 1.0\"\n", "")).unwrap()
        };
        let fixed = server("./x --listen {address}");
        assert!(matches!(fixed.program(), Program::Server(_)));
        assert_eq!(fixed.version().unwrap(), "unversioned");
        assert!(fixed.takes_messages_of(16) && !fixed.takes_messages_of(64));
        assert!(server("./x {port} {message_bytes}").takes_messages_of(64));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_in_one_line() {
        let unknown = complaint(&GOOD.replace("summary", "sumary"));
        assert!(unknown.starts_with("line 2, column 1: unknown field `sumary`"), "{unknown}");
        let missing = complaint(&GOOD.replace("command = \"true\"\n", ""));
        assert!(missing.contains("give `command` for an agent or `server`"), "{missing}");
        let empty = complaint(&GOOD.replace("\"true\"", "\"\""));
        assert_eq!(empty, "command = \"\": it names no command");
        assert!(complaint(&GOOD.replace("\"x\"", "\"X y\"")).contains("other characters"));
        assert!(complaint(&GOOD.replace("readiness", "magic")).contains("unknown variant `magic`"));
        assert!([unknown, missing].iter().all(|text| text.lines().count() == 1));
    }

    #[test]
    fn why_it_cannot_run_is_what_its_version_command_complains_of() {
        let fails = |version: &str| {
            let text = GOOD.replace("\"echo x 1.0\"", &format!("{version:?}"));
            parse(&text).unwrap().version().unwrap_err().to_string()
        };
        assert_eq!(fails("sh -c 'echo no compiler >&2; exit 1'"), "no compiler");
        assert_eq!(fails("sh -c 'exit 7'"), "sh: exit status: 7");
        assert!(fails("no-such-program").contains("No such file"));
        assert!(fails("true").contains("prints nothing"));
    }
}
