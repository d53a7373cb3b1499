//! `ioduel serve`: one backend's server, for any client.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context as _;

use super::{Chosen, address, output, wrong_usage};
use crate::{
    net::{ListenAt, listen, raise_descriptor_limit},
    protocol::Framing,
    service::{Served, ServerConfig, Service},
};

/// Run an echo server with one backend, until interrupted.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ioduel serve tokio\n  printf '1 - Send Message' | nc -q1 127.0.0.1 31400"
)]
pub(super) struct Args {
    /// The name of the backend; `ioduel list` shows all names
    backend: Chosen,
    /// Where to listen: an IP address or the name of a host, and a port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:31400", value_parser = address)]
    listen: SocketAddr,
    /// The number of worker threads, for backends that let you choose it
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// The exact size of every message. By default, each read from the socket is taken as one message
    #[arg(long, value_name = "BYTES")]
    message_size: Option<usize>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let backend = args.backend.built_in()?;
    args.backend.check(args.workers)?;
    let config = ServerConfig { workers: args.workers, ..ServerConfig::echoing(framing(args.message_size)?) };
    raise_descriptor_limit()?;
    let listening = listen(ListenAt::Address(args.listen))?;
    listening.fallbacks.iter().for_each(|fallback| output::tell(&format!("note: {fallback}")));

    let service = Service::new(config, &listening.listener).context("cannot keep the listener")?;
    let stopped = Arc::clone(&service);
    ctrlc::set_handler(move || stopped.stop()).context("cannot handle signals")?;
    let name = args.backend.name();
    output::tell(&format!("{name} serves at {}; Ctrl-C ends it", listening.destinations[0]));
    backend.serve(listening.listener, &service).with_context(|| format!("{name} cannot serve"))?;
    output::print(&totals(service.served()))?;
    Ok(ExitCode::SUCCESS)
}

fn framing(message_size: Option<usize>) -> anyhow::Result<Framing> {
    let framing = message_size.map_or(Framing::Chunk, Framing::fixed);
    framing.check().map_err(wrong_usage)
}

fn totals(served: Served) -> String {
    let Served { connections, messages, failures, most_open } = served;
    format!(
        "served {connections} connections ({most_open} at most at a time), {messages} messages; \
         {failures} connections failed"
    )
}
