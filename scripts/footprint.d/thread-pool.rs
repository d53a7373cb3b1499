//! The smallest echo server on threads that are used again.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
};

fn main() -> std::io::Result<()> {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:31400")?);
    let serve = |listener: Arc<TcpListener>| {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut buffer = [0; 128];
            while let Ok(n @ 1..) = stream.read(&mut buffer[3..]) {
                buffer[..3].copy_from_slice(b"Re:");
                if stream.write_all(&buffer[..3 + n]).is_err() {
                    break;
                }
            }
        }
    };
    for _ in 1..64 {
        let listener = Arc::clone(&listener);
        std::thread::spawn(move || serve(listener));
    }
    serve(listener);
    Ok(())
}
