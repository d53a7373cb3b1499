//! The smallest echo server on smol's executor.
// dependency: smol = "2"

use smol::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn main() -> std::io::Result<()> {
    smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:31400").await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            let serving = smol::spawn(async move {
                let mut buffer = [0; 128];
                while let Ok(n @ 1..) = stream.read(&mut buffer[3..]).await {
                    buffer[..3].copy_from_slice(b"Re:");
                    if stream.write_all(&buffer[..3 + n]).await.is_err() {
                        break;
                    }
                }
            });
            serving.detach();
        }
    })
}
