//! The smallest echo server on tokio's multi-thread scheduler.
// dependency: tokio = { version = "1", features = ["io-util", "net", "rt-multi-thread"] }

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Builder,
};

fn main() -> std::io::Result<()> {
    Builder::new_multi_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:31400").await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            tokio::spawn(async move {
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
