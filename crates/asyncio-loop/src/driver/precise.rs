//! The end of a wait, finer than the milliseconds a poller counts in.

#[cfg(all(target_os = "linux", not(miri)))]
pub(super) use self::timerfd::Precise;

#[cfg(any(not(target_os = "linux"), miri))]
pub(super) use self::timeout::Precise;

/// A kernel timer among the watched descriptors.
///
/// It is armed with an absolute time and only when it would fire too late: a timer that is armed for an
/// earlier moment stays as it is, fires for nothing and is set anew then. So timeouts that are started and
/// cancelled by the million cost no system call. Edge-triggered, it need not be read.
#[cfg(all(target_os = "linux", not(miri)))]
mod timerfd {
    use std::cell::Cell;
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::{Duration, Instant};

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
        clock_gettime, timerfd_create, timerfd_settime,
    };

    use crate::driver::Wait;

    #[derive(Debug)]
    pub(in crate::driver) struct Precise {
        timer: OwnedFd,
        armed: Cell<Option<Instant>>,
        epoch: Epoch,
    }

    impl Precise {
        pub(in crate::driver) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self { timer, armed: Cell::new(None), epoch: Epoch::now() })
        }

        /// The timeout for the poller, after arming the timer if need be.
        pub(in crate::driver) fn timeout(&self, wait: Wait) -> io::Result<Option<Duration>> {
            match wait {
                Wait::Now => return Ok(Some(Duration::ZERO)),
                Wait::Until(deadline) if self.armed.get().is_none_or(|armed| armed > deadline) => {
                    self.arm(deadline)?;
                }
                Wait::Until(_) | Wait::Forever => {}
            }
            Ok(None)
        }

        /// The timer's event was seen: it has to be armed again for the next deadline.
        pub(in crate::driver) fn fired(&self) {
            self.armed.set(None);
        }

        fn arm(&self, deadline: Instant) -> io::Result<()> {
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: self.epoch.timespec(deadline),
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
            self.armed.set(Some(deadline));
            Ok(())
        }
    }

    /// One moment on both clocks: `Instant` keeps its seconds to itself.
    #[derive(Debug)]
    struct Epoch {
        instant: Instant,
        monotonic: Timespec,
    }

    impl Epoch {
        fn now() -> Self {
            // In this order: a pause between the two makes deadlines later, never earlier.
            let instant = Instant::now();
            let monotonic = clock_gettime(ClockId::Monotonic);
            Self { instant, monotonic }
        }

        fn timespec(&self, deadline: Instant) -> Timespec {
            let ahead = deadline.saturating_duration_since(self.instant);
            let ahead =
                Timespec::try_from(ahead).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
            self.monotonic.checked_add(ahead).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
        }
    }
}

/// The poller's own timeout, which mio rounds up to what the system counts in.
#[cfg(any(not(target_os = "linux"), miri))]
mod timeout {
    use std::io;
    use std::time::{Duration, Instant};

    use mio::{Registry, Token};

    use crate::driver::Wait;

    #[derive(Debug)]
    pub(in crate::driver) struct Precise;

    impl Precise {
        pub(in crate::driver) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::driver) fn timeout(&self, wait: Wait) -> io::Result<Option<Duration>> {
            Ok(match wait {
                Wait::Now => Some(Duration::ZERO),
                Wait::Until(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
                Wait::Forever => None,
            })
        }

        pub(in crate::driver) fn fired(&self) {}
    }
}
