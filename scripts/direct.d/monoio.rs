//! The echo session written directly against monoio: what the abstraction of ioduel is held against.
//! Use: echo CONNECTIONS SECONDS [MESSAGES [BYTES]], as scripts/floor.c; SPLIT=1 puts server and client on a cpu each.
// dependency: io-uring = "0.6"
// dependency: monoio = { version = "0.2", default-features = false, features = ["async-cancel", "iouring"] }
// dependency: nix = { version = "0.31", features = ["sched"] }
// dependency: socket2 = { version = "0.6", features = ["all"] }

use std::{env, io, net::Ipv4Addr, process, sync::atomic::{AtomicU64, Ordering::Relaxed}, thread, time::{Duration, Instant}};
use io_uring::IoUring;
use monoio::{IoUringDriver, Runtime, RuntimeBuilder, buf::IoBufMut, io::{AsyncReadRent, AsyncWriteRentExt}};
use monoio::{net::{TcpListener, TcpStream}, spawn};
use nix::{sched::{CpuSet, sched_setaffinity}, unistd::Pid};
use socket2::{Domain, Socket, Type};

static SESSIONS: AtomicU64 = AtomicU64::new(0);
static TURN: AtomicU64 = AtomicU64::new(0);

fn on_cpu(cpu: usize) -> Runtime<IoUringDriver> {
    let mut set = CpuSet::new();
    set.set(cpu).unwrap();
    if env::var_os("SPLIT").is_some() { sched_setaffinity(Pid::from_raw(0), &set).unwrap(); }
    let mut ring = IoUring::builder();
    ring.setup_single_issuer().setup_defer_taskrun();
    RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring).build().unwrap()
}

async fn serve(mut stream: TcpStream, bytes: usize) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(bytes + 128);
    loop {
        buffer.extend_from_slice(b"Re:");
        while buffer.len() < bytes + 3 {
            let held = buffer.len();
            let (n, filled) = stream.read(buffer.slice_mut(held..)).await;
            if n? == 0 { return Ok(()); }
            buffer = filled.into_inner();
        }
        let (sent, whole) = stream.write_all(buffer).await;
        sent?;
        buffer = whole;
        buffer.clear();
    }
}

async fn drive(port: u16, messages: usize, bytes: usize) -> io::Result<()> {
    let (mut message, mut reply) = (vec![b'.'; bytes], Vec::with_capacity(bytes + 128));
    loop {
        let to = Ipv4Addr::from_bits(0x7f000001 + (TURN.fetch_add(1, Relaxed) % 64) as u32);
        let mut stream = TcpStream::connect_addr((to, port).into()).await?;
        stream.set_nodelay(true)?;
        for n in 1..=messages {
            let text = format!("{n} - Send Message");
            message[..text.len()].copy_from_slice(text.as_bytes());
            let (sent, whole) = stream.write_all(message).await;
            sent?;
            message = whole;
            reply.clear();
            while reply.len() < bytes + 3 {
                let held = reply.len();
                let (n, filled) = stream.read(reply.slice_mut(held..)).await;
                assert!(n? > 0, "early end");
                reply = filled.into_inner();
            }
            assert!(&reply[..3] == b"Re:" && reply[3..] == message[..], "wrong reply");
        }
        SESSIONS.fetch_add(1, Relaxed);
    }
}

fn main() {
    let words: Vec<usize> = env::args().skip(1).map(|word| word.parse().unwrap()).collect();
    let at = |place: usize, default| words.get(place).copied().unwrap_or(default);
    let (connections, seconds, messages, bytes) = (at(0, 64), at(1, 2), at(2, 8), at(3, 16));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind_device(Some(b"lo")).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    let any = |port| std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into();
    let first = 20000 + (process::id() % 10000) as u16;
    let port = (first..).find(|port| socket.bind(&any(*port)).is_ok()).unwrap();
    socket.listen(4096).unwrap();
    thread::spawn(move || on_cpu(0).block_on(async {
        let listener = TcpListener::from_std(socket.into()).unwrap();
        loop { spawn(serve(listener.accept().await.unwrap().0, bytes)); }
    }));
    thread::spawn(move || on_cpu(1).block_on(async {
        let slots: Vec<_> = (0..connections).map(|_| spawn(drive(port, messages, bytes))).collect();
        for slot in slots { slot.await.unwrap(); }
    }));
    thread::sleep(Duration::from_millis(200));
    let (begun, from) = (SESSIONS.load(Relaxed), Instant::now());
    thread::sleep(Duration::from_secs(seconds as u64));
    let rate = (SESSIONS.load(Relaxed) - begun) as f64 / from.elapsed().as_secs_f64();
    println!("{rate:.0} sessions/s {:.0} messages/s", rate * messages as f64);
    process::exit(0);
}
