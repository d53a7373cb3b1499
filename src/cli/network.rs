//! Which network what is measured has: one of its own, wherever that can be had.

use std::path::Path;

use crate::{environment::Environment, round::Network};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Choice {
    /// A network namespace of its own, without other traffic
    Own,
    /// The network namespace that the program was started in
    Shared,
}

/// The network that was chosen, and why it is not one of its own, where it is not.
pub(super) struct Chosen {
    pub(super) network: Network,
    pub(super) why_shared: String,
}

/// What keeps a run in the network that this program was started in.
pub(super) const ELSEWHERE: &str =
    "an agent runs behind a prefix, or the server listens at an address that was asked for";

impl Chosen {
    /// Takes what was asked for, or one of its own where the system allows that; `elsewhere` says that agents run behind prefixes, or
    /// listen at an address of this network.
    ///
    /// # Errors
    /// When one of its own was asked for and can't be had.
    pub(super) fn new(asked: Option<Choice>, program: &Path, elsewhere: bool) -> anyhow::Result<Self> {
        let shared = |why: String| Ok(Self { network: Network::shared(), why_shared: why });
        match asked {
            Some(Choice::Shared) => shared("it was asked for".to_owned()),
            Some(Choice::Own) if elsewhere => anyhow::bail!("--network own: {ELSEWHERE}"),
            None if elsewhere => shared(ELSEWHERE.to_owned()),
            asked => match Network::own(program) {
                Ok(network) => Ok(Self { network, why_shared: String::new() }),
                Err(why) if asked.is_some() => Err(why.context("--network own")),
                Err(why) => shared(format!("{why:#}")),
            },
        }
    }

    /// The machine, with this network.
    pub(super) fn environment(&self) -> Environment {
        Environment::read().of(&self.network, &self.why_shared)
    }
}
