//! The smallest echo server on a thread for each connection.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:31400")?;
    loop {
        let (mut stream, _) = listener.accept()?;
        std::thread::spawn(move || {
            let mut buffer = [0; 128];
            while let Ok(n @ 1..) = stream.read(&mut buffer[3..]) {
                buffer[..3].copy_from_slice(b"Re:");
                if stream.write_all(&buffer[..3 + n]).is_err() {
                    break;
                }
            }
        });
    }
}
