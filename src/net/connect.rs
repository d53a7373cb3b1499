//! Opens many connections at once: one after the other they would take as many round trips, which over a link are long.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    os::fd::AsFd as _,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that are opened at a time: as many as the shortest queue of a listener holds.
pub const AT_A_TIME: usize = 64;

/// How long one may take: what the kernel needs to send the first segment again four times.
const LONGEST: Duration = Duration::from_secs(32);

/// Opens a connection to each of these, in their order; all are blocking.
///
/// # Errors
/// When one can't be opened; with which.
pub fn connect_all(destinations: &[SocketAddr]) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(destinations.len());
    for some in destinations.chunks(AT_A_TIME) {
        let begun = some.iter().map(|to| begin(*to).map_err(|error| of(*to, &error)));
        let begun: Vec<Socket> = begun.collect::<io::Result<_>>()?;
        for (socket, to) in begun.into_iter().zip(some) {
            finish(&socket).map_err(|error| of(*to, &error))?;
            streams.push(socket.into());
        }
    }
    Ok(streams)
}

fn of(to: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot connect to {to}: {error}"))
}

fn begin(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(socket),
    }
}

/// Waits until a connection is open, or can't be (connect(2), EINPROGRESS).
fn finish(socket: &Socket) -> io::Result<()> {
    let mut waits = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let longest = PollTimeout::try_from(LONGEST).map_err(io::Error::other)?;
    if poll(&mut waits, longest)? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    match socket.take_error()? {
        Some(error) => Err(error),
        None => socket.set_nonblocking(false),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn all_are_open_and_in_their_order() {
        let listeners: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let to: Vec<SocketAddr> =
            (0..2 * AT_A_TIME + 1).map(|index| listeners[index % 2].local_addr().unwrap()).collect();
        let mut streams = connect_all(&to[..3]).unwrap();
        assert!(streams.iter().zip(&to).all(|(stream, to)| stream.peer_addr().unwrap() == *to));
        streams[2].write_all(b"x").unwrap();
        let (_first, mut third) = (listeners[0].accept().unwrap(), listeners[0].accept().unwrap().0);
        third.read_exact(&mut [0]).unwrap();
        assert_eq!(connect_all(&to).unwrap().len(), to.len());
    }

    #[test]
    fn where_nobody_listens_it_is_said() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let told = connect_all(&[closed]).unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::ConnectionRefused);
        assert!(told.to_string().contains(&closed.to_string()), "{told}");
    }
}
