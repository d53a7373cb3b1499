//! A timer among descriptors, to the nanosecond.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

/// A timer that makes its descriptor readable (timerfd_create(2)); register it for edges, and it need not be read. epoll_wait(2)
/// itself tells milliseconds apart, and epoll_pwait2(2) is late by the slack of the thread, 50 µs (prctl(2), PR_SET_TIMERSLACK).
#[derive(Debug)]
pub struct Timer {
    descriptor: TimerFd,
    /// What it is set to.
    then: Option<Instant>,
}

impl Timer {
    /// Makes one that is not set.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self { descriptor: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, then: None })
    }

    /// Sets it to an instant; no system call where it is set to that already.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set(&mut self, then: Instant) -> io::Result<()> {
        if self.then != Some(then) {
            // One of no time is none at all.
            let from_now = then.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let once = Expiration::OneShot(TimeSpec::from(from_now));
            self.descriptor.set(once, TimerSetTimeFlags::empty())?;
            self.then = Some(then);
        }
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
