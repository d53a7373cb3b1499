//! The smallest echo server on monoio, as it is shipped.
// dependency: monoio = { version = "0.2", default-features = false, features = ["async-cancel", "iouring"] }

use monoio::{
    IoUringDriver, RuntimeBuilder,
    buf::IoBufMut,
    io::{AsyncReadRent, AsyncWriteRentExt},
    net::TcpListener,
};

fn main() -> std::io::Result<()> {
    RuntimeBuilder::<IoUringDriver>::new().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:31400")?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            monoio::spawn(async move {
                let mut buffer = Vec::with_capacity(128);
                loop {
                    buffer.extend_from_slice(b"Re:");
                    let (outcome, filled) = stream.read(buffer.slice_mut(3..)).await;
                    if !matches!(outcome, Ok(1..)) {
                        break;
                    }
                    let (outcome, sent) = stream.write_all(filled.into_inner()).await;
                    if outcome.is_err() {
                        break;
                    }
                    buffer = sent;
                    buffer.clear();
                }
            });
        }
    })
}
