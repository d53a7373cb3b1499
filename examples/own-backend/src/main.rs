//! A backend of one's own: tokio's tasks on a `LocalSet`, which need not be `Send`. It takes part in all that ioduel does.
use ioduel::prelude::*;
use std::{io, net::TcpListener, process::ExitCode, sync::Arc, time::Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::{net::TcpStream, runtime::Builder, task, time};

struct Local;
static ABOUT: About = About::new("local", Some("tokio"), Model::Readiness, "tokio's tasks on a LocalSet");

impl Backend for Local {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        task::LocalSet::new().block_on(&runtime, async {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(task::spawn_local(serve(stream, service.accepted()))),
                    Err(error) => match service.accept_failed(&error) {
                        AfterAcceptError::Again => {}
                        AfterAcceptError::Stop => return Ok(()),
                        AfterAcceptError::Pause(pause) => time::sleep(pause).await,
                    },
                }
            }
        })
    }
    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        let tasks = task::LocalSet::new();
        load.slots().for_each(|slot| drop(tasks.spawn_local(run_sessions(slot))));
        Builder::new_current_thread().enable_all().build()?.block_on(tasks);
        Ok(())
    }
}

async fn serve(mut stream: TcpStream, mut connection: Connection) {
    let outcome = converse(&mut stream, &mut connection).await;
    connection.ended(outcome);
}

async fn run_sessions(mut slot: Slot) {
    while let Some(to) = slot.next_session() {
        let session = async {
            let mut stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            slot.connected(Instant::now());
            converse(&mut stream, &mut slot).await
        };
        let outcome = session.await;
        slot.ended(outcome);
    }
}

async fn converse(stream: &mut TcpStream, end: &mut impl End) -> Result<(), SessionError> {
    loop {
        match end.want() {
            Want::Write(bytes) => {
                let n = stream.write(bytes).await?;
                end.wrote(n);
            }
            Want::Read(buffer) => match stream.read(buffer).await? {
                0 => end.eof()?,
                n => end.read(n, Instant::now)?,
            },
            Want::Wait(until) => {
                time::sleep_until(until.into()).await;
                end.woke(Instant::now());
            }
            Want::Offload(_) => unreachable!("`About::offload` says that there is nothing to offload to"),
            Want::Close => return Ok(()),
        }
    }
}

fn main() -> ExitCode {
    ioduel::main(&[&Local])
}
