//! The network that the agents of a run are in: this machine's, one of their own, or the two ends of a link.

use std::{collections::BTreeMap, ffi::OsString, fs, net::IpAddr, path::Path, rc::Rc, time::Duration};

use anyhow::{Context as _, bail};

use super::PATIENCE;
use crate::{
    agent::{Agent, AgentCommand, Answer, Program, Request, agent_words},
    net::{self, KernelCounters, LinkMeasured, LinkShape, RecordedLink, Role, probe_patience, segments_sent},
};

/// The network of a run's agents. One of their own is there for as long as there is a copy of this.
#[derive(Clone, Debug, Default)]
pub struct Network(Option<Rc<Own>>);

/// A network namespace that nobody else is in; with a link, that of the server.
#[derive(Debug)]
struct Own {
    /// The process that made it, and keeps it; it does nothing else.
    keeper: Agent,
    settings: BTreeMap<String, String>,
    far: Option<FarEnd>,
}

/// The other end of a link, where clients are.
#[derive(Debug)]
struct FarEnd {
    /// The process that made the namespace of the clients, and keeps it.
    keeper: Agent,
    link: RecordedLink,
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
        let (keeper, settings) = start_keeper(program, "own".into())?;
        let network = Self(Some(Rc::new(Own { keeper, settings, far: None })));
        network.try_to_join(program, Role::Server).context("it cannot be joined")?;
        Ok(network)
    }

    /// Two new ones, of the server and of the clients, joined by a link that is like this, and was measured to be so.
    ///
    /// # Errors
    /// When the system does not allow it, or the link is not as it was asked for.
    pub fn linked(program: &Path, asked: &LinkShape) -> anyhow::Result<Self> {
        let (mut server, mut clients) = make_link(program, asked)?;
        let measured = LinkMeasured::of(asked, || measure(&mut server, &mut clients, asked))?;
        let settings = settings_of(&mut server)?;
        let far = FarEnd { keeper: clients, link: RecordedLink { asked: *asked, measured } };
        let network = Self(Some(Rc::new(Own { keeper: server, settings, far: Some(far) })));
        for role in [Role::Server, Role::Client] {
            network.try_to_join(program, role).context("it cannot be joined")?;
        }
        Ok(network)
    }

    /// Whether the system allows a link that is like this; it is made, and not measured.
    ///
    /// # Errors
    /// Why not.
    pub fn try_link(program: &Path, asked: &LinkShape) -> anyhow::Result<()> {
        make_link(program, asked).map(drop)
    }

    /// Lets an agent join it, as those of a run will.
    fn try_to_join(&self, program: &Path, role: Role) -> anyhow::Result<()> {
        let mut words = agent_words(program, None, Program::Own);
        words.extend(self.options(role));
        let name = "one who joins the network".to_owned();
        let mut joins = Agent::start(&AgentCommand { name, command: words, is_supervised: false })?;
        joins.ask(&Request::Settings, PATIENCE).map(drop)
    }

    /// Makes another one in place of one of a run's own whose keeper is gone, or takes the shared one where that can't be.
    ///
    /// # Errors
    /// When it was a link: another one would be no part of the record.
    pub fn renew(&mut self, program: &Path) -> anyhow::Result<()> {
        // A process that has ended has no namespaces, and its number is not given to another before it is waited for.
        let is_gone = |keeper: &Agent| fs::metadata(format!("/proc/{}/ns/net", keeper.process_id())).is_err();
        let Some(own) = &self.0 else { return Ok(()) };
        match &own.far {
            Some(far) if is_gone(&own.keeper) || is_gone(&far.keeper) => {
                bail!("the link is gone, for a process that kept it has ended; start the duel again")
            }
            None if is_gone(&own.keeper) => *self = Self::own(program).unwrap_or_default(),
            _ => {}
        }
        Ok(())
    }

    /// Whether it is a run's own.
    pub fn is_own(&self) -> bool {
        self.0.is_some()
    }

    /// The kernel's settings in it.
    pub fn settings(&self) -> BTreeMap<String, String> {
        self.0.as_ref().map_or_else(net::settings, |own| own.settings.clone())
    }

    /// The link between server and clients, if there is one: as it was asked for, and as it was measured.
    pub fn link(&self) -> Option<RecordedLink> {
        self.0.as_ref()?.far.as_ref().map(|far| far.link)
    }

    /// How long a message and its answer are under way at most, beside what the ends take.
    pub(super) fn round_trip(&self) -> Duration {
        self.link().map_or(Duration::ZERO, |link| link.asked.round_trip())
    }

    /// Where servers listen, if not on loopback.
    pub(super) fn server_address(&self) -> Option<IpAddr> {
        self.link().map(|_| Role::Server.address().into())
    }

    /// A process that is at that side of it; `None` where that is this one.
    fn keeper(&self, role: Role) -> Option<u32> {
        let own = self.0.as_ref()?;
        let keeper = match (role, &own.far) {
            (Role::Client, Some(far)) => &far.keeper,
            _ => &own.keeper,
        };
        Some(keeper.process_id())
    }

    /// A process in each of its namespaces.
    pub(super) fn processes(&self) -> Vec<u32> {
        let mut processes: Vec<u32> =
            [Role::Server, Role::Client].into_iter().filter_map(|role| self.keeper(role)).collect();
        processes.dedup();
        if processes.is_empty() { vec![std::process::id()] } else { processes }
    }

    /// The options of an agent that is to be at that side of it.
    pub(super) fn options(&self, role: Role) -> Vec<OsString> {
        let keeper = self.keeper(role).map(|process| process.to_string());
        keeper.into_iter().flat_map(|process| ["--network".into(), process.into()]).collect()
    }

    /// What the kernel counted in it until now; `None` where it does not tell.
    pub(super) fn counters(&self) -> Option<KernelCounters> {
        let each = self.processes().into_iter().map(|process| KernelCounters::of(process).ok());
        each.reduce(|all, one| Some(all? + one?)).flatten()
    }

    /// The TCP segments that were sent in it until now; `None` where the kernel does not tell.
    pub(super) fn segments(&self) -> Option<u64> {
        self.processes().into_iter().map(segments_sent).sum()
    }
}

/// Starts a process that makes a network namespace and keeps it; with the kernel's settings there.
fn start_keeper(program: &Path, network: OsString) -> anyhow::Result<(Agent, BTreeMap<String, String>)> {
    let mut words = agent_words(program, None, Program::Own);
    words.extend(["--network".into(), network]);
    let name = "the keeper of the network".to_owned();
    let mut keeper = Agent::start(&AgentCommand { name, command: words, is_supervised: false })?;
    let settings = settings_of(&mut keeper)?;
    Ok((keeper, settings))
}

fn settings_of(keeper: &mut Agent) -> anyhow::Result<BTreeMap<String, String>> {
    match keeper.ask(&Request::Settings, PATIENCE)?.answer {
        Answer::Settings(settings) => Ok(settings),
        other => bail!("asked for its settings, it answered {other:?}"),
    }
}

/// Makes both ends of a link; the processes that keep that of the server, and that of the clients.
fn make_link(program: &Path, link: &LinkShape) -> anyhow::Result<(Agent, Agent)> {
    let (mut server, _) = start_keeper(program, "own".into())?;
    let beside = format!("beside:{}", server.process_id());
    let (mut clients, _) = start_keeper(program, beside.into())?;
    let peer = Some(clients.process_id());
    make_end(&mut server, Role::Server, peer, link)?;
    make_end(&mut clients, Role::Client, None, link)?;
    Ok((server, clients))
}

fn make_end(keeper: &mut Agent, role: Role, peer: Option<u32>, link: &LinkShape) -> anyhow::Result<()> {
    match keeper.ask(&Request::MakeEnd { role, peer, link: *link }, PATIENCE)?.answer {
        Answer::Made => Ok(()),
        other => bail!("asked to make an end of the link, it answered {other:?}"),
    }
}

fn measure(server: &mut Agent, clients: &mut Agent, link: &LinkShape) -> anyhow::Result<LinkMeasured> {
    let to = match server.ask(&Request::Reflect { role: Role::Server }, PATIENCE)?.answer {
        Answer::Reflects { at } => at,
        other => bail!("asked to send datagrams back, it answered {other:?}"),
    };
    match clients.ask(&Request::Probe { to, link: *link }, PATIENCE + probe_patience(link))?.answer {
        Answer::Probed(measured) => Ok(measured),
        other => bail!("asked to measure the link, it answered {other:?}"),
    }
}
