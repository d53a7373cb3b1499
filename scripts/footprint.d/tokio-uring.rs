//! The smallest echo server on tokio-uring.
// dependency: tokio-uring = "0.5"

use tokio_uring::{buf::BoundedBuf, net::TcpListener};

fn main() -> std::io::Result<()> {
    tokio_uring::start(async {
        let listener = TcpListener::bind("127.0.0.1:31400".parse().expect("an address"))?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio_uring::spawn(async move {
                let mut buffer = vec![0; 128];
                buffer[..3].copy_from_slice(b"Re:");
                loop {
                    let (read, slice) = stream.read(buffer.slice(3..)).await;
                    let Ok(n @ 1..) = read else { break };
                    let (wrote, slice) = stream.write_all(slice.into_inner().slice(..3 + n)).await;
                    if wrote.is_err() {
                        break;
                    }
                    buffer = slice.into_inner();
                }
            });
        }
    })
}
