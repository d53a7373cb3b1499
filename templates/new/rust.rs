//! An echo server for ioduel: a thread for each connection.

use std::{
    env,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// The words are ADDRESS MESSAGE_BYTES.
fn main() {
    let mut words = env::args().skip(1);
    let address = words.next().expect("where to listen");
    let message_bytes: usize = words.next().and_then(|text| text.parse().ok()).expect("the size of a message");
    let listener = TcpListener::bind(address).expect("an address to listen at");
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                thread::spawn(move || serve(stream, message_bytes));
            }
            // Descriptors ran out: until another connection has closed.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Answers each message with `Re:` and the message, until the peer closes.
fn serve(mut stream: TcpStream, message_bytes: usize) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut reply = b"Re:".to_vec();
    reply.resize(3 + message_bytes, 0);
    while stream.read_exact(&mut reply[3..]).is_ok() && stream.write_all(&reply).is_ok() {}
}
