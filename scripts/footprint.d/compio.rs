//! The smallest echo server on compio, as it is shipped.
// dependency: compio = { version = "0.19", default-features = false, features = ["io-uring", "net", "runtime"] }

use compio::{
    BufResult,
    buf::{IntoInner, IoBuf},
    io::{AsyncRead, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
};

fn main() -> std::io::Result<()> {
    Runtime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:31400").await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            let serving = compio::runtime::spawn(async move {
                let mut buffer = Vec::with_capacity(128);
                loop {
                    buffer.extend_from_slice(b"Re:");
                    let BufResult(outcome, filled) = stream.read(buffer.slice(3..)).await;
                    if !matches!(outcome, Ok(1..)) {
                        break;
                    }
                    let BufResult(outcome, sent) = stream.write_all(filled.into_inner()).await;
                    if outcome.is_err() {
                        break;
                    }
                    buffer = sent;
                    buffer.clear();
                }
            });
            serving.detach();
        }
    })
}
