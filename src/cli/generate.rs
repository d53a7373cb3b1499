//! `ioduel completions` and `ioduel man`: what a shell and a reader of manuals want of a command line.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, output};

/// Print the completions for a shell.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ioduel completions bash > ~/.local/share/bash-completion/completions/ioduel"
)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ioduel man > ~/.local/share/man/man1/ioduel.1")]
pub(super) struct Man {}

pub(super) fn completions(args: Completions) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ioduel", &mut script);
    output::print(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(_: Man) -> anyhow::Result<ExitCode> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    output::print(String::from_utf8(page)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
