//! The smallest echo server on kimojio, as it is shipped.
// dependency: kimojio = { version = "0.19", default-features = false }

use std::net::TcpListener;

use kimojio::{
    Runtime,
    configuration::{Configuration, ExitBehavior},
    operations::{self, RecvFlags, SendFlags, spawn_task},
};

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:31400")?;
    let configuration = Configuration::new().set_exit_behavior(ExitBehavior::WhenMainTaskCompletes);
    Runtime::new(0, configuration).block_on(async move {
        while let Ok(socket) = operations::accept(&listener).await {
            spawn_task(async move {
                let mut buffer = [0; 128];
                buffer[..3].copy_from_slice(b"Re:");
                while let Ok(n @ 1..) = operations::recv(&socket, &mut buffer[3..], RecvFlags::empty(), None).await {
                    if operations::send(&socket, &buffer[..3 + n], SendFlags::empty(), None).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(())
}
