//! The network that the agents of a run share: this machine's, or one of their own.

use std::{collections::BTreeMap, fs, path::Path, rc::Rc};

use anyhow::{Context as _, bail};

use super::PATIENCE;
use crate::{
    agent::{Agent, AgentCommand, Answer, Program, Request, agent_words},
    net::{self, KernelCounters, segments_sent},
};

/// The network of a run's agents. One of their own is there for as long as there is a copy of this.
#[derive(Clone, Debug, Default)]
pub struct Network(Option<Rc<Own>>);

/// A network namespace that nobody else is in.
#[derive(Debug)]
struct Own {
    /// The process that made it, and keeps it; it does nothing else.
    keeper: Agent,
    settings: BTreeMap<String, String>,
}

impl Network {
    /// The one that this process is in, with everybody else.
    pub const fn shared() -> Self {
        Self(None)
    }

    /// A new one, where `program` is this program's file.
    ///
    /// # Errors
    /// When the system does not allow one.
    pub fn own(program: &Path) -> anyhow::Result<Self> {
        let mut words = agent_words(program, None, Program::Own);
        words.extend(["--network".into(), "own".into()]);
        let name = "the keeper of the network".to_owned();
        let mut keeper = Agent::start(&AgentCommand { name, command: words, is_supervised: false })?;
        match keeper.ask(&Request::Settings, PATIENCE)?.answer {
            Answer::Settings(settings) => {
                let network = Self(Some(Rc::new(Own { keeper, settings })));
                network.try_to_join(program).context("it cannot be joined")?;
                Ok(network)
            }
            other => bail!("asked for its settings, it answered {other:?}"),
        }
    }

    /// Lets an agent join it, as those of a run will.
    fn try_to_join(&self, program: &Path) -> anyhow::Result<()> {
        let mut words = agent_words(program, None, Program::Own);
        words.extend(self.options());
        let name = "one who joins the network".to_owned();
        let mut joins = Agent::start(&AgentCommand { name, command: words, is_supervised: false })?;
        joins.ask(&Request::Settings, PATIENCE).map(drop)
    }

    /// Makes another one in place of one of a run's own whose keeper is gone, or takes the shared one where that can't be.
    pub fn renew(&mut self, program: &Path) {
        // A process that has ended has no namespaces, and its number is not given to another before it is waited for.
        let is_gone =
            |own: &Rc<Own>| fs::metadata(format!("/proc/{}/ns/net", own.keeper.process_id())).is_err();
        if self.0.as_ref().is_some_and(is_gone) {
            *self = Self::own(program).unwrap_or_default();
        }
    }

    /// Whether it is a run's own.
    pub fn is_own(&self) -> bool {
        self.0.is_some()
    }

    /// The kernel's settings in it.
    pub fn settings(&self) -> BTreeMap<String, String> {
        self.0.as_ref().map_or_else(net::settings, |own| own.settings.clone())
    }

    /// A process that is in it.
    pub(super) fn process(&self) -> u32 {
        self.0.as_ref().map_or_else(std::process::id, |own| own.keeper.process_id())
    }

    /// The options of an agent that is to be in it.
    pub(super) fn options(&self) -> Vec<std::ffi::OsString> {
        let own = self.0.as_ref().map(|own| own.keeper.process_id().to_string());
        own.into_iter().flat_map(|process| ["--network".into(), process.into()]).collect()
    }

    /// What the kernel counted in it until now; `None` where it does not tell.
    pub(super) fn counters(&self) -> Option<KernelCounters> {
        KernelCounters::of(self.process()).ok()
    }

    /// The TCP segments that were sent in it until now; `None` where the kernel does not tell.
    pub(super) fn segments(&self) -> Option<u64> {
        segments_sent(self.process())
    }
}
