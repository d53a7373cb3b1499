//! Which network what is measured has: one of its own, wherever that can be had.

use std::path::Path;

use anyhow::Context as _;

use super::{output, wrong_usage};
use crate::{
    cgroup,
    environment::Environment,
    net::{CrowdNeeds, LinkShape, RecordedLink},
    round::Network,
};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Choice {
    /// A new one, without other traffic
    Own,
    /// The one that ioduel was started in
    Shared,
}

/// From so many connections at a time on, what they need of the machine is told.
const CROWD: usize = 5_000;

/// Tells what a crowd takes of this machine, before any of it is opened: so many connections of each of so many servers.
///
/// # Errors
/// When the machine lacks it.
pub(super) fn tell_of_crowd(connections: usize, servers: usize, network: &Network) -> anyhow::Result<()> {
    if connections >= CROWD {
        let (over_link, most_memory) = (network.link().is_some(), cgroup::memory_bytes());
        let needs = CrowdNeeds::new(connections, servers, &network.settings(), over_link, most_memory)?;
        needs.check().map_err(anyhow::Error::msg)?;
        output::tell(&needs.to_string());
    }
    Ok(())
}

/// The network that was chosen, and why the system refused one of its own, where it did.
pub(super) struct ChosenNetwork {
    pub(super) network: Network,
    refused: Option<String>,
}

impl ChosenNetwork {
    /// Takes a link, where there is one, or else a network as [`new`](Self::new).
    ///
    /// # Errors
    /// When what was asked for is not available.
    pub(super) fn of(
        link: Option<LinkShape>,
        asked: Option<Choice>,
        program: &Path,
        elsewhere: bool,
    ) -> anyhow::Result<Self> {
        match (link, asked) {
            (None, asked) => Self::new(asked, program, elsewhere),
            (Some(link), None) => Self::over(&link, program, elsewhere),
            (Some(link), Some(_)) => Err(wrong_usage(format!(
                "the workload goes over a link ({link}), which has networks of its own; leave --network out"
            ))),
        }
    }

    /// Takes what was asked for, or one of its own where the system allows that; `elsewhere` says that agents run behind prefixes, or
    /// listen at an address of this network, which keeps them in this one.
    ///
    /// # Errors
    /// When one of its own was asked for and is not available.
    pub(super) fn new(asked: Option<Choice>, program: &Path, elsewhere: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(
            asked != Some(Choice::Own) || !elsewhere,
            "--network own: an agent runs behind a prefix, or the server listens at an address of this network"
        );
        if elsewhere || asked == Some(Choice::Shared) {
            return Ok(Self { network: Network::shared(), refused: None });
        }
        match Network::own(program) {
            Ok(network) => Ok(Self { network, refused: None }),
            Err(why) if asked.is_some() => Err(why.context("--network own")),
            Err(why) => Ok(Self { network: Network::shared(), refused: Some(format!("{why:#}")) }),
        }
    }

    /// Makes a link that is like this, and measures it.
    ///
    /// # Errors
    /// When the system does not allow it, or it is not like this.
    fn over(link: &LinkShape, program: &Path, elsewhere: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !elsewhere,
            "a link ({link}) joins two networks of this machine, and an agent runs behind a prefix, or the server listens at an address of this network"
        );
        let network =
            Network::linked(program, link).with_context(|| format!("cannot measure over a link ({link})"))?;
        if let Some(RecordedLink { measured, .. }) = network.link() {
            output::tell(&format!("over a link, {link}: {measured}"));
        }
        Ok(Self { network, refused: None })
    }

    /// Tells that the system refused a network of its own, where it did, and what that costs.
    pub(super) fn tell(&self) {
        if let Some(why) = &self.refused {
            output::tell(&format!(
                "note: measured in the shared network, with its traffic and its ports: {why}"
            ));
        }
    }

    /// The machine, with this network.
    pub(super) fn environment(&self) -> Environment {
        let shared = || self.refused.as_ref().map_or("shared".to_owned(), |why| format!("shared: {why}"));
        let network = if self.network.is_own() { "own".to_owned() } else { shared() };
        Environment {
            settings: self.network.settings(),
            network: Some(network),
            link: self.network.link(),
            ..Environment::read()
        }
    }
}
