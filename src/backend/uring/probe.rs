//! Whether this machine lets a program use io_uring as the backends here do, and if not, why.

use std::{fs, io};

use io_uring::{Probe, opcode};
use nix::libc::{EMFILE, ENOMEM, ENOSYS, EPERM};

use super::ring::SetUp;
use crate::backend::Unavailable;

/// Finds out whether a ring can be had, and whether the kernel is new enough.
///
/// # Errors
/// Why not, in one line.
pub(in crate::backend) fn available() -> Result<(), Unavailable> {
    let ring = SetUp::Tuned.build().map_err(|error| Unavailable(why_not(&error)))?;
    let mut probe = Probe::new();
    // What is used here, one accept for all connections before all, came with Linux 5.19, and so did this request.
    let told = ring.submitter().register_probe(&mut probe);
    if told.is_ok() && probe.is_supported(opcode::Socket::CODE) { Ok(()) } else { Err(too_old()) }
}

fn too_old() -> Unavailable {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Unavailable(format!("Linux {} is too old; io_uring is used as of 5.19", release.trim()))
}

fn why_not(error: &io::Error) -> String {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match (error.raw_os_error(), disabled.trim()) {
        (Some(EPERM), setting @ ("1" | "2")) => {
            format!("io_uring is disabled: sysctl kernel.io_uring_disabled is {setting}")
        }
        (Some(EPERM), _) => {
            "io_uring is forbidden: a seccomp filter, such as a container's, refuses it".to_owned()
        }
        (Some(ENOSYS), _) => {
            "io_uring is not there: the kernel was built without it, or a seccomp filter hides it".to_owned()
        }
        (Some(ENOMEM), _) => {
            "io_uring gets no memory: the limit on locked memory is too small (ulimit -l)".to_owned()
        }
        (Some(EMFILE), _) => "io_uring gets no descriptor: the limit is too small (ulimit -n)".to_owned(),
        _ => format!("io_uring cannot be set up: {error}"),
    }
}
