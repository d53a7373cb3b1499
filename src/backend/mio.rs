//! `mio`: an event loop per worker on mio's poll, the layer that tokio stands on.
//!
//! Registered once for reading and writing, as mio's documentation has it; the first message is tried before the first
//! writable event, which it need not wait for. Several workers each register the listener with their own poll; a
//! connection goes to whichever accepts it first.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{
    Events, Interest, Poll, Token,
    event::Event,
    net::{TcpListener, TcpStream},
};

use super::{
    About, Backend, Listeners, Maintenance, Model, Threading, listeners_of, on_threads,
    readiness::{self, EVENTS, LISTENER, Ready, Until},
    serve_on_threads,
};
use crate::{load::Load, net::share, service::Service};

pub(super) struct Mio;

static ABOUT: About = About {
    name: "mio",
    crate_name: Some("mio"),
    model: Model::Readiness,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: true,
    summary: "an event loop per worker on mio's poll",
};

impl Backend for Mio {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: std::net::TcpListener, service: &Arc<Service>) -> io::Result<()> {
        serve_at(&ABOUT, share, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        drive_as(&ABOUT, load)
    }
}

/// Serves by a poll for each worker.
pub(super) fn serve_at(
    about: &About,
    listeners: Listeners,
    listener: &std::net::TcpListener,
    service: &Arc<Service>,
) -> io::Result<()> {
    let listeners = listeners_of(about, listeners, listener, service)?;
    let set_up = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let poller = Poller::new()?;
        poller.poll.registry().register(&mut listener, Token(LISTENER), Interest::READABLE)?;
        Ok((poller, listener))
    };
    serve_on_threads(service, listeners, set_up, |(poller, listener)| {
        readiness::serve(poller, &listener, service)
    })
}

/// Drives by a poll for each worker.
pub(super) fn drive_as(about: &About, load: &Arc<Load>) -> io::Result<()> {
    let workers = about.worker_threads(load.plan().workers)?;
    on_threads(load.slots_for(workers), |slots| readiness::drive(Poller::new()?, slots))
}

struct Poller {
    poll: Poll,
    events: Events,
}

impl Poller {
    fn new() -> io::Result<Self> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(EVENTS) })
    }
}

impl readiness::Poller for Poller {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn add(&self, stream: &mut TcpStream, token: usize) -> io::Result<()> {
        self.poll.registry().register(stream, Token(token), Interest::READABLE | Interest::WRITABLE)
    }

    /// To the millisecond, rounded up: mio has no other timer.
    fn wait(&mut self, until: Until, ready: &mut Vec<(usize, Ready)>) -> io::Result<()> {
        let timeout = match until {
            Until::Now => Some(Duration::ZERO),
            Until::Edge => None,
            Until::Then(then) => Some(then.saturating_duration_since(Instant::now())),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        ready.extend(self.events.iter().map(|event| (event.token().0, readiness_of(event))));
        Ok(())
    }

    fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().map(|(stream, _)| stream)
    }

    fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn readiness_of(event: &Event) -> Ready {
    let closed = event.is_read_closed() || event.is_error();
    Ready { readable: closed || event.is_readable(), closed }
}
