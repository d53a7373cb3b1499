//! The agent's own side: takes requests off its input, runs its backend, writes replies.

use std::{
    any::Any,
    io::{self, BufRead, Read as _, Write},
    net::{SocketAddr, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread::{self, Builder, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{Answer, Build, Cost, Reply, Request, cost::CostMeter};
use crate::{
    backend::{self, Backend},
    clock::{self, monotonic, nanoseconds},
    environment::Environment,
    load::{Load, LoadPlan, LoadRun, OpenPlan},
    net::{
        AT_A_TIME, DescriptorLimit, ListenAt, connect_all, listen, make_end, probe, raise_descriptor_limit,
        reflect, settings,
    },
    pacer::Pacer,
    protocol::{Framing, REPLY_PREFIX},
    service::{Served, ServerConfig, Service, ThreadWork},
};

/// Who answers requests.
pub trait Answering {
    /// Does what is asked.
    ///
    /// # Errors
    /// Why it can't; it goes on.
    fn answer(&mut self, request: Request) -> anyhow::Result<Answer>;

    /// What was spent since this was asked last.
    ///
    /// # Errors
    /// When the system does not tell.
    fn cost(&mut self) -> anyhow::Result<Cost>;
}

/// Answers requests on standard input until it ends, calls `at_end`, and exits, whatever is still going on.
///
/// # Errors
/// When standard output cannot be written any more, or the system does not tell what is spent.
pub fn answer(mut answering: impl Answering, at_end: fn()) -> anyhow::Result<()> {
    for line in lines_until_the_parent_is_gone(at_end).context("cannot read requests")? {
        let request = serde_json::from_str(&line).context("not a request");
        let answer = request.and_then(|request| answering.answer(request));
        let answer = answer.unwrap_or_else(|error| Answer::Failed { error: format!("{error:#}") });
        let reply = Reply { answer, cost: answering.cost()? };
        let line = serde_json::to_string(&reply).context("cannot write the reply")?;
        let mut out = io::stdout().lock();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            // Whoever asked is gone, and wants no answer: there is nobody to complain to either.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written.context("cannot write the reply")?,
        }
    }
    Ok(())
}

/// Answers requests by the backends of this program.
///
/// # Errors
/// As [`answer`].
pub fn answer_requests() -> anyhow::Result<()> {
    let descriptors = raise_descriptor_limit()?;
    let meter = CostMeter::new()?;
    let own =
        Own { descriptors, serving: None, held: Vec::new(), pacer: None, begin_at: None, began: None, meter };
    answer(own, || {})
}

/// For how long no connection may end before a server that is asked for its cost answers: those that are open then are
/// held by their peers.
const UNTIL_SETTLED: Duration = Duration::from_millis(20);

/// How long an agent may go on once its input has ended.
const UNTIL_EXIT: Duration = Duration::from_millis(100);

/// Hands over the lines of standard input, and ends this process when there are no more.
///
/// A thread reads them, so that the end is seen also in the middle of a request.
fn lines_until_the_parent_is_gone(at_end: fn()) -> io::Result<mpsc::Receiver<String>> {
    let (sender, receiver) = mpsc::channel();
    Builder::new().spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
        // What was asked before the end is answered, if that takes no time; whatever takes longer is not waited for.
        drop(sender);
        thread::sleep(UNTIL_EXIT);
        at_end();
        std::process::exit(0);
    })?;
    Ok(receiver)
}

/// Answers the first request on standard input, whatever it is, with why nothing can be done here.
///
/// # Errors
/// That reason.
pub fn refuse(why: anyhow::Error) -> anyhow::Result<()> {
    // Nobody may ask; then the reason is on standard error alone.
    let asked = io::stdin().lock().read_line(&mut String::new());
    let reply = Reply { answer: Answer::Failed { error: format!("{why:#}") }, cost: Cost::default() };
    if asked.is_ok_and(|length| length > 0)
        && writeln!(io::stdout(), "{}", serde_json::to_string(&reply)?).is_ok()
    {
        return Ok(());
    }
    Err(why)
}

/// An agent of this program's own backends.
struct Own {
    descriptors: DescriptorLimit,
    serving: Option<Serving>,
    /// Connections that are held without a word.
    held: Vec<TcpStream>,
    /// The client of a load at a rate, from its connections on.
    pacer: Option<Pacer>,
    /// When the next load is to begin, by CLOCK_MONOTONIC; at once when absent.
    begin_at: Option<Duration>,
    /// When the last one began.
    began: Option<Duration>,
    meter: CostMeter,
}

/// A backend that serves, on a thread of its own.
struct Serving {
    service: Arc<Service>,
    thread: JoinHandle<io::Result<()>>,
}

impl Answering for Own {
    fn answer(&mut self, request: Request) -> anyhow::Result<Answer> {
        match request {
            Request::Serve { backend, listen, config } => self.serve(&backend, listen, config),
            Request::Cost => self.check_server().map(|()| Answer::Cost),
            Request::Served => self.served().map(Answer::Served),
            Request::ThreadWork => self.thread_work().map(|work| Answer::ThreadWork(Box::new(work))),
            Request::Stop => self.stop().map(Answer::Served),
            Request::Hold { destinations, connections, message_bytes, reply_bytes } => {
                let framing = Framing::Fixed { message_bytes, reply_bytes };
                self.hold(&destinations, connections, framing).map(|()| Answer::Held)
            }
            Request::Release => {
                self.held.clear();
                self.pacer = None;
                Ok(Answer::Released)
            }
            Request::Clock => self.clock(),
            Request::BeginAt { at_ns } => {
                self.begin_at = Some(Duration::from_nanos(at_ns));
                self.clock()
            }
            Request::Build => Ok(Answer::Build(Build::own())),
            Request::Environment => Ok(Answer::Environment(Box::new(Environment::read()))),
            Request::Settings => Ok(Answer::Settings(settings())),
            Request::MakeEnd { role, peer, link } => make_end(role, peer, &link).map(|()| Answer::Made),
            Request::Reflect { role } => Ok(Answer::Reflects { at: reflect(role.address())? }),
            Request::Probe { to, link } => Ok(Answer::Probed(probe(to, &link)?)),
            Request::Connect { plan } => self.connect(plan).map(|()| Answer::Held),
            Request::Pace => self.pace().map(|run| Answer::Drove(Box::new(run))),
            Request::Drive { backend, plan } => {
                self.drive(&backend, plan).map(|run| Answer::Drove(Box::new(run)))
            }
        }
    }

    fn cost(&mut self) -> anyhow::Result<Cost> {
        self.meter.read()
    }
}

impl Own {
    fn serve(&mut self, name: &str, at: ListenAt, config: ServerConfig) -> anyhow::Result<Answer> {
        anyhow::ensure!(self.serving.is_none(), "it serves already");
        let backend = usable(name)?;
        config.framing.check()?;
        // Said now, and not only by the thread that serves.
        backend.about().workers(config.workers, 1)?;
        backend.about().check_work(config.work).context(name.to_owned())?;
        let listening = listen(at)?;
        let service = Service::new(config, &listening.listener).context("cannot keep the listener")?;
        let (listener, theirs) = (listening.listener, Arc::clone(&service));
        let thread = Builder::new()
            .spawn(move || backend.serve(listener, &theirs))
            .context("cannot start a thread")?;
        self.serving = Some(Serving { service, thread });
        Ok(Answer::Serving { destinations: listening.destinations, fallbacks: listening.fallbacks })
    }

    /// Finds out whether the server, if there is one, still serves, and lets it work off what its peers have closed: its
    /// cost is told with the answer.
    fn check_server(&mut self) -> anyhow::Result<()> {
        if let Some(serving) = &self.serving {
            serving.service.settle_within(UNTIL_SETTLED);
        }
        match &self.serving {
            Some(serving) if serving.thread.is_finished() => {
                self.stop()?;
                bail!("the server ended by itself")
            }
            _ => Ok(()),
        }
    }

    fn service(&self) -> anyhow::Result<&Service> {
        Ok(&self.serving.as_ref().context("it does not serve")?.service)
    }

    fn served(&self) -> anyhow::Result<Served> {
        Ok(self.service()?.served())
    }

    fn thread_work(&self) -> anyhow::Result<ThreadWork> {
        Ok(self.service()?.thread_work())
    }

    fn stop(&mut self) -> anyhow::Result<Served> {
        let Some(serving) = self.serving.take() else { bail!("it does not serve") };
        serving.service.settle();
        serving.service.stop();
        match serving.thread.join() {
            Ok(outcome) => outcome.context("the server failed")?,
            Err(panic) => bail!("the server panicked: {}", panic_message(&*panic)),
        }
        Ok(serving.service.served())
    }

    /// Opens connections and exchanges one message on each, so that the server has accepted and read.
    fn hold(&mut self, to: &[SocketAddr], connections: usize, framing: Framing) -> anyhow::Result<()> {
        anyhow::ensure!(!to.is_empty(), "connections need a destination");
        let Framing::Fixed { message_bytes, reply_bytes } = framing.check()? else {
            bail!("messages of a fixed size are held")
        };
        self.descriptors.require(connections)?;
        let message = vec![b'm'; message_bytes];
        let least = REPLY_PREFIX.len() + message_bytes;
        let mut reply = vec![0; reply_bytes.unwrap_or(least)];
        let each: Vec<SocketAddr> = (0..connections).map(|index| to[index % to.len()]).collect();
        // Some at a time, also for their replies: over a link each takes a round trip.
        for some in each.chunks(AT_A_TIME) {
            let mut streams = connect_all(some)?;
            for stream in &mut streams {
                stream.set_nodelay(true)?;
                stream.write_all(&message)?;
            }
            for stream in &mut streams {
                stream.read_exact(&mut reply)?;
                let is_right = reply.starts_with(REPLY_PREFIX) && reply[..least].ends_with(&message);
                anyhow::ensure!(is_right, "wrong reply");
            }
            self.held.append(&mut streams);
        }
        Ok(())
    }

    fn connect(&mut self, plan: OpenPlan) -> anyhow::Result<()> {
        self.check_load(&plan.destinations, plan.own_connections())?;
        self.pacer = Some(Pacer::connect(plan)?);
        Ok(())
    }

    fn clock(&self) -> anyhow::Result<Answer> {
        let began_ns = self.began.map(nanoseconds);
        let which = clock::which();
        Ok(Answer::Clock { now_ns: nanoseconds(monotonic()?), began_ns, which })
    }

    /// Waits until the instant that was agreed on, if one was.
    fn begin(&mut self) -> anyhow::Result<()> {
        if let Some(at) = self.begin_at.take() {
            let ahead = at.saturating_sub(monotonic()?);
            anyhow::ensure!(
                ahead < MOST_AHEAD,
                "it is to begin in {ahead:?}, and waits {MOST_AHEAD:?} at most"
            );
            // Not spinning: of several clients on one processor the last would wait for all others.
            thread::sleep(at.saturating_sub(monotonic()?));
        }
        self.began = Some(monotonic()?);
        Ok(())
    }

    fn pace(&mut self) -> anyhow::Result<LoadRun> {
        self.begin()?;
        self.pacer.as_mut().context("it has no connections to pace")?.pace()
    }

    fn check_load(&self, destinations: &[SocketAddr], connections: usize) -> anyhow::Result<()> {
        anyhow::ensure!(!destinations.is_empty(), "a load needs a destination");
        anyhow::ensure!(connections > 0, "a load needs at least one connection");
        self.descriptors.require(connections)
    }

    fn drive(&mut self, name: &str, plan: LoadPlan) -> anyhow::Result<LoadRun> {
        let backend = usable(name)?;
        self.check_load(&plan.destinations, plan.connections)?;
        let load = Load::new(plan)?;
        self.begin()?;
        match catch_unwind(AssertUnwindSafe(|| backend.drive(&load))) {
            Ok(outcome) => outcome.context("the client failed")?,
            Err(panic) => bail!("the client panicked: {}", panic_message(&*panic)),
        }
        Ok(load.result()?)
    }
}

/// How far ahead the instant of a begin may be.
const MOST_AHEAD: Duration = Duration::from_secs(10);

fn usable(name: &str) -> anyhow::Result<&'static dyn Backend> {
    let backend = backend::find(name)?;
    backend.available().with_context(|| format!("{name} cannot run here"))?;
    Ok(backend)
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
