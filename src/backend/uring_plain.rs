//! `uring-plain`: as [`super::uring`], on a ring without any set-up flag, as people first write it: what the flags are worth.

use std::{io, net::TcpListener, sync::Arc};

use super::{
    About, Backend, Maintenance, Model, Threading, Unavailable,
    uring::{self, SetUp},
};
use crate::{load::Load, net::share, service::Service};

pub(super) struct UringPlain;

static ABOUT: About = About {
    name: "uring-plain",
    crate_name: Some("io-uring"),
    model: Model::Completion,
    threading: Threading::Loops,
    maintenance: Maintenance::Active,
    advisories: &[],
    offload: None,
    portable: false,
    summary: "io_uring by hand, without any flag",
};

impl Backend for UringPlain {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn available(&self) -> Result<(), Unavailable> {
        uring::available()
    }

    fn serve(&self, listener: TcpListener, service: &Arc<Service>) -> io::Result<()> {
        uring::serve(SetUp::Plain, &ABOUT, share, &listener, service)
    }

    fn drive(&self, load: &Arc<Load>) -> io::Result<()> {
        uring::drive(SetUp::Plain, &ABOUT, load)
    }
}
