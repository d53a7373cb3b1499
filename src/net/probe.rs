//! Measures a link with small datagrams: how long they are under way, and how many are lost.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread::{self, Builder},
    time::{Duration, Instant},
};

use super::{LinkMeasured, LinkShape, link::DATAGRAM_ON_THE_WIRE};

/// The fewest and the most that are sent for losses.
const DATAGRAMS: (f64, f64) = (2_000.0, 20_000.0);

/// Those whose round trips are taken: none waits for one before it.
const TIMED: u64 = 300;

/// How far these are apart at least. With jitter it is twice as much as one may be later than another: in order, each is no earlier
/// than those before it.
const TIMED_APART: Duration = Duration::from_millis(1);

/// How many losses are to be expected of those that are sent, for their share to say something.
const LOSSES: f64 = 40.0;

/// How many others are sent a second at most.
const PER_SECOND: f64 = 8_000.0;

/// How many may be under way beyond those that the delay keeps there: a socket holds some 270, and drops what is more.
const MOST_QUEUED: f64 = 128.0;

/// The share of a link's rate that they may take: they are not to wait for each other.
const SHARE_OF_RATE: f64 = 0.2;

/// The length of one, in bytes.
const LENGTH: usize = 16;

/// Those that are sent first and do not count: caches are cold.
const FIRST: u64 = 20;

/// How long the last ones are waited for beyond the delay.
const LATE: Duration = Duration::from_millis(300);

/// Sends back what arrives at this address, until this process ends; returns where.
///
/// # Errors
/// When there can be no socket.
pub fn reflect(at: Ipv4Addr) -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((at, 0))?;
    let address = socket.local_addr()?;
    Builder::new().spawn(move || {
        let mut datagram = [0; LENGTH];
        loop {
            if let Ok((length, from)) = socket.recv_from(&mut datagram) {
                // Whoever is gone needs no answer.
                let _ = socket.send_to(&datagram[..length], from);
            }
        }
    })?;
    Ok(address)
}

/// Measures the round trip to who [`reflect`]s there, over a link that is to be like this.
///
/// # Errors
/// When nothing comes back, or there can be no socket.
pub fn probe(to: SocketAddr, shape: &LinkShape) -> io::Result<LinkMeasured> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(to)?;
    let count = count(shape);
    let exchange = Exchange {
        socket,
        began: Instant::now(),
        count,
        back: AtomicU64::new(0),
        is_sent: AtomicBool::new(false),
    };
    let mut trips = thread::scope(|scope| {
        let receiver = scope.spawn(|| exchange.receive(shape));
        exchange.send(shape);
        receiver.join().expect("who receives does not panic")
    })?;
    if trips.is_empty() {
        return Err(io::Error::other("no datagram comes back"));
    }
    trips.sort_unstable();
    let sent = count - FIRST;
    let back = exchange.back.load(Relaxed).min(sent);
    Ok(LinkMeasured { round_trip_us: trips[trips.len() / 2].as_secs_f64() * 1e6, sent, lost: sent - back })
}

/// How long that takes at most.
pub fn probe_patience(shape: &LinkShape) -> Duration {
    // Waiting for those that are late may double it.
    2 * (apart(shape) * count(shape) as u32 + timed_apart(shape) * TIMED as u32 + longest(shape))
}

/// How many are sent in all.
fn count(shape: &LinkShape) -> u64 {
    let either_way = 1.0 - (1.0 - shape.loss).powi(2);
    let enough = if either_way > 0.0 { LOSSES / either_way } else { 0.0 };
    enough.clamp(DATAGRAMS.0, DATAGRAMS.1) as u64 + FIRST
}

/// How far apart they are sent.
fn apart(shape: &LinkShape) -> Duration {
    let of_rate = shape.rate.map_or(f64::INFINITY, |rate| SHARE_OF_RATE * rate / 8.0 / DATAGRAM_ON_THE_WIRE);
    Duration::from_secs_f64(1.0 / PER_SECOND.min(of_rate))
}

/// How far apart those are sent whose round trips are taken.
fn timed_apart(shape: &LinkShape) -> Duration {
    apart(shape).max(TIMED_APART).max(2 * shape.jitter)
}

/// Datagrams that are sent and come back, but for those that are lost.
struct Exchange {
    socket: UdpSocket,
    began: Instant,
    count: u64,
    /// How many came back that count.
    back: AtomicU64,
    /// Whether the last was sent.
    is_sent: AtomicBool,
}

/// How long one is under way at most.
fn longest(shape: &LinkShape) -> Duration {
    shape.round_trip() + LATE
}

impl Exchange {
    /// Sends all, the timed ones first, with the time of each in it.
    fn send(&self, shape: &LinkShape) {
        let (apart, timed_apart) = (apart(shape), timed_apart(shape));
        let most = (shape.round_trip().as_secs_f64() / apart.as_secs_f64() + MOST_QUEUED) as u64;
        let mut given_up = 0;
        for number in 0..self.count {
            let due = Instant::now() + if number < FIRST + TIMED { timed_apart } else { apart };
            let under_way = || number.saturating_sub(FIRST + self.back.load(Relaxed) + given_up);
            let patience = Instant::now() + longest(shape);
            while under_way() > most && Instant::now() < patience {
                thread::sleep(TIMED_APART);
            }
            if under_way() > most {
                given_up += under_way();
            }
            let at = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            // One that is refused on its way out counts as lost.
            let _ = self.socket.send(&[number.to_be_bytes(), at.to_be_bytes()].concat());
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        self.is_sent.store(true, Release);
    }

    /// Counts those that come back, until the last had its time; returns the round trips of the timed ones.
    fn receive(&self, shape: &LinkShape) -> io::Result<Vec<Duration>> {
        let mut seen = vec![false; self.count as usize];
        let mut trips = Vec::new();
        let mut datagram = [0; LENGTH];
        // Nothing for so long after the last was sent: it is lost.
        self.socket.set_read_timeout(Some(longest(shape)))?;
        while self.back.load(Relaxed) < self.count - FIRST {
            match self.socket.recv(&mut datagram) {
                Ok(LENGTH) => {}
                Ok(_) => continue,
                Err(_) if self.is_sent.load(Acquire) => break,
                Err(_) => continue,
            }
            let now = self.began.elapsed();
            let [number, at] = [&datagram[..8], &datagram[8..]]
                .map(|it| u64::from_be_bytes(it.try_into().expect("eight bytes")));
            let Some(is_seen) = usize::try_from(number).ok().and_then(|it| seen.get_mut(it)) else {
                continue;
            };
            if std::mem::replace(is_seen, true) || number < FIRST {
                continue;
            }
            self.back.fetch_add(1, Relaxed);
            if number < FIRST + TIMED {
                trips.push(now.saturating_sub(Duration::from_nanos(at)));
            }
        }
        Ok(trips)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_do_not_come_back_are_counted_and_no_others() {
        let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = echo.local_addr().unwrap();
        // Each tenth of those that count is dropped; who sends ends first.
        Builder::new()
            .spawn(move || {
                let mut datagram = [0; LENGTH];
                while let Ok((length, from)) = echo.recv_from(&mut datagram) {
                    let number = u64::from_be_bytes(datagram[..8].try_into().unwrap());
                    if number < FIRST || number % 10 != 0 {
                        echo.send_to(&datagram[..length], from).unwrap();
                    }
                }
            })
            .unwrap();
        let plain = LinkShape::default();
        let measured = probe(to, &plain).unwrap();
        assert_eq!((measured.sent, measured.lost), (2000, 200), "{measured}");
        assert!(measured.round_trip_us > 0.0 && measured.check(&plain).is_err());
    }

    #[test]
    fn it_waits_longer_for_a_slower_link() {
        let patience = |link: &str| probe_patience(&link.parse().unwrap());
        assert!(patience("wan") > patience("lan"));
        // 2,020 datagrams of 58 bytes at a fifth of 100 kbit/s.
        assert!(patience("delay 1ms rate 100kbit") > Duration::from_secs(46));
    }
}
