//! The smallest echo server on async-std.
// dependency: async-std = "1"

use async_std::{
    io::{ReadExt, WriteExt},
    net::TcpListener,
    task,
};

fn main() -> std::io::Result<()> {
    task::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:31400").await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            task::spawn(async move {
                let mut buffer = [0; 128];
                while let Ok(n @ 1..) = stream.read(&mut buffer[3..]).await {
                    buffer[..3].copy_from_slice(b"Re:");
                    if stream.write_all(&buffer[..3 + n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    })
}
