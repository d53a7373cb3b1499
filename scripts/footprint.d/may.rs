//! The smallest echo server on may.
// dependency: may = { version = "0.3", default-features = false, features = ["work_steal"] }

use std::io::{Read, Write};

use may::{go, net::TcpListener};

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:31400")?;
    loop {
        let (mut stream, _) = listener.accept()?;
        go!(move || {
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
