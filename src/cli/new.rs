//! `ioduel new`: a first server of one's own, in a language of one's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};

use super::{output, wrong_usage};
use crate::{contestant, written};

/// Generate a starter server in Go, Python, C or Rust, and the file that adds it to ioduel's backends.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ioduel new mine --language go\n  ioduel --contestants contestants duel mine epoll"
)]
pub(super) struct Args {
    /// The name of the new backend
    name: String,
    /// The language
    #[arg(long, value_enum)]
    language: Language,
    /// The directory for the generated files, relative to the current directory
    #[arg(long, value_name = "DIR", default_value = "contestants")]
    out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Language {
    Go,
    Python,
    C,
    Rust,
}

/// What is written in a language.
struct First {
    /// The server's file, and what is in it.
    file: &'static str,
    text: &'static str,
    /// What starts it, in the folder of contestants.
    server: &'static str,
    version: &'static str,
    build: Option<&'static str>,
    threading: &'static str,
    model: &'static str,
}

impl Language {
    fn first(self) -> First {
        match self {
            Self::Go => First {
                file: "main.go",
                text: include_str!("../../templates/new/go.go"),
                server: "NAME/NAME --listen {address} --message-bytes {message_bytes} --workers {workers}",
                version: "go version",
                build: Some("go build -o {folder}/NAME/NAME {folder}/NAME/main.go"),
                threading: "multi",
                model: "readiness",
            },
            Self::Python => First {
                file: "server.py",
                text: include_str!("../../templates/new/python.py"),
                server: "python3 {folder}/NAME/server.py --listen {address} --message-bytes {message_bytes}",
                version: "python3 --version",
                build: None,
                threading: "single",
                model: "readiness",
            },
            Self::C => First {
                file: "server.c",
                text: include_str!("../../templates/new/c.c"),
                server: "NAME/NAME {host} {port} {message_bytes}",
                version: "cc --version",
                build: Some("cc -O2 -pthread -o {folder}/NAME/NAME {folder}/NAME/server.c"),
                threading: "per_connection",
                model: "blocking",
            },
            Self::Rust => First {
                file: "server.rs",
                text: include_str!("../../templates/new/rust.rs"),
                server: "NAME/NAME {address} {message_bytes}",
                version: "rustc --version",
                build: Some("rustc -O --edition 2024 -o {folder}/NAME/NAME {folder}/NAME/server.rs"),
                threading: "per_connection",
                model: "blocking",
            },
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { name, language, out } = args;
    written::name(&name).map_err(wrong_usage)?;
    let taken = contestant::all().iter().any(|other| other.name() == name);
    ensure!(!taken, "the name {name} is taken");
    let first = language.first();
    let (file, folder) = (out.join(format!("{name}.toml")), out.join(&name));
    ensure!(!file.exists() && !folder.exists(), "{} is there already", file.display());
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(&folder.join(first.file), first.text)?;
    write(&file, &first.description(&name))?;
    output::tell(&format!("wrote {} and {}", file.display(), folder.join(first.file).display()));
    let named = shell_words::quote(&out.to_string_lossy()).into_owned();
    output::print(&format!(
        "ioduel --contestants {named} conform --backend {name}\nioduel --contestants {named} duel {name} epoll"
    ))?;
    Ok(ExitCode::SUCCESS)
}

impl First {
    fn description(&self, name: &str) -> String {
        let of = |text: &str| text.replace("NAME", name);
        let build = self.build.map_or_else(String::new, |build| format!("build = {:?}\n", of(build)));
        format!(
            "# A server alone: it is started, awaited, metered and ended from outside, and tells nothing.\n\
             name = {name:?}\nsummary = \"a first server\"\n\
             kind = {{ model = {:?}, threading = {:?} }}\nserver = {:?}\nversion = {:?}\n{build}",
            self.model,
            self.threading,
            of(self.server),
            of(self.version),
        )
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
