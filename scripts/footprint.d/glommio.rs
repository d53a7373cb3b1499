//! The smallest echo server on glommio.
// dependency: futures-lite = "1"
// dependency: glommio = "0.9"

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::{LocalExecutor, net::TcpListener, spawn_local};

fn main() -> std::io::Result<()> {
    LocalExecutor::default().run(async {
        let listener = TcpListener::bind("127.0.0.1:31400")?;
        loop {
            let mut stream = listener.accept().await?;
            let serving = spawn_local(async move {
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
