//! `epoll`: event loops by hand on the system calls, as lean as it gets: the floor that the others are held against.
//!
//! Edge-triggered, so that a connection costs one `epoll_ctl` in its life. Accepted sockets stay in blocking mode
//! and each call asks not to wait (`MSG_DONTWAIT`), which saves the call that would make them nonblocking. Several
//! workers share the listener, with EPOLLEXCLUSIVE: a connection wakes one of those that wait.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::Arc,
};

use nix::{
    errno::Errno,
    libc::EINPROGRESS,
    sys::{
        epoll::{Epoll as Descriptor, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::{MsgFlags, recv, send},
    },
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    About, Backend, Listeners, Maintenance, Model, Threading, listeners_of, on_threads,
    readiness::{self, EVENTS, LISTENER, Ready, Until},
    serve_on_threads,
};
use crate::{
    load::Load,
    net::{Timer, share},
    service::Service,
};

pub(super) struct Epoll;

static ABOUT: About = About {
    name: "epoll",
    crate_name: Some("nix"),
    model: Model::Readiness,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: false,
    summary: "an event loop by hand on epoll: the least that is needed",
};

impl Backend for Epoll {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        serve_at(&ABOUT, share, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        drive_as(&ABOUT, load)
    }
}

/// Serves by a loop for each worker.
pub(super) fn serve_at(
    about: &About,
    listeners: Listeners,
    listener: &TcpListener,
    service: &Arc<Service>,
) -> io::Result<()> {
    let listeners = listeners_of(about, listeners, listener, service)?;
    let set_up = |listener: TcpListener| {
        listener.set_nonblocking(true)?;
        let poller = Poller::new()?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET | EpollFlags::EPOLLEXCLUSIVE;
        poller.descriptor.add(&listener, EpollEvent::new(flags, LISTENER as u64))?;
        Ok((poller, listener))
    };
    serve_on_threads(service, listeners, set_up, |(poller, listener)| {
        readiness::serve(poller, &listener, service)
    })
}

/// Drives by a loop for each worker.
pub(super) fn drive_as(about: &About, load: &Arc<Load>) -> io::Result<()> {
    let workers = about.worker_threads(load.plan().workers)?;
    on_threads(load.slots_for(workers), |slots| readiness::drive(Poller::new()?, slots))
}

struct Poller {
    descriptor: Descriptor,
    events: [EpollEvent; EVENTS],
    timer: Timer,
}

/// The token of the timer.
const TIMER: usize = LISTENER - 1;

impl Poller {
    /// The timer is made at once: when it is first needed there may be no descriptors left.
    fn new() -> io::Result<Self> {
        let (descriptor, timer) = (Descriptor::new(EpollCreateFlags::EPOLL_CLOEXEC)?, Timer::new()?);
        descriptor.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TIMER as u64))?;
        Ok(Self { descriptor, events: [EpollEvent::empty(); EVENTS], timer })
    }
}

impl readiness::Poller for Poller {
    type Listener = TcpListener;
    type Stream = Stream;

    fn add(&self, stream: &mut Stream, token: usize) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.descriptor.add(&stream.0, EpollEvent::new(flags, token as u64))?)
    }

    fn wait(&mut self, until: Until, ready: &mut Vec<(usize, Ready)>) -> io::Result<()> {
        if let Until::Then(then) = until {
            self.timer.set(then)?;
        }
        let timeout = if until == Until::Now { EpollTimeout::ZERO } else { EpollTimeout::NONE };
        let count = match self.descriptor.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => 0,
            outcome => outcome?,
        };
        let told = self.events[..count].iter().filter(|event| event.data() != TIMER as u64);
        ready.extend(told.map(|event| (event.data() as usize, readiness_of(event))));
        Ok(())
    }

    fn accept(listener: &TcpListener) -> io::Result<Stream> {
        listener.accept().map(|(stream, _)| Stream(stream))
    }

    fn connect(to: SocketAddr) -> io::Result<Stream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
            _ => Ok(Stream(socket.into())),
        }
    }
}

fn readiness_of(event: &EpollEvent) -> Ready {
    let is = |flags| event.events().intersects(flags);
    let closed = is(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
    Ready { readable: closed || is(EpollFlags::EPOLLIN), closed }
}

/// A connected socket that never waits, whatever mode it is in.
struct Stream(TcpStream);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
