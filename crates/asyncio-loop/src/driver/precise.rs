//! The end of a wait, finer than the milliseconds a poller counts in.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(any(miri, portable))))]
pub(super) use self::timerfd::Precise;

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(any(miri, portable)))))]
pub(super) use self::timeout::Precise;

/// A kernel timer among the watched descriptors.
///
/// It is armed with an absolute time, and only when it would fire too late. A timer that is armed
/// for an earlier moment stays as it is, fires without need, and is armed again then. So timeouts
/// that are started and cancelled by the million cost no system call. Edge-triggered, it need not
/// be read.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(any(miri, portable))))]
mod timerfd {
    use std::cell::Cell;
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use crate::driver::Wait;

    #[derive(Debug)]
    pub(in crate::driver) struct Precise {
        timer: OwnedFd,
        armed: Cell<Option<u64>>,
    }

    impl Precise {
        pub(in crate::driver) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self { timer, armed: Cell::new(None) })
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

        /// Notes that the timer's event has come, so it has to be armed again for the next
        /// deadline.
        pub(in crate::driver) fn fired(&self) {
            self.armed.set(None);
        }

        fn arm(&self, deadline: u64) -> io::Result<()> {
            let once =
                Itimerspec { it_interval: Timespec::default(), it_value: timespec(deadline) };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
            self.armed.set(Some(deadline));
            Ok(())
        }
    }

    /// A moment of the monotonic clock. Zero would disarm the timer.
    fn timespec(nanos: u64) -> Timespec {
        const SECOND: u64 = 1_000_000_000;
        let nanos = nanos.max(1);
        Timespec { tv_sec: (nanos / SECOND) as i64, tv_nsec: (nanos % SECOND) as i64 }
    }

    #[cfg(test)]
    mod tests {
        use rustix::time::timerfd_gettime;

        use super::*;
        use crate::clock::system_nanos;

        #[test]
        fn the_timer_is_set_to_the_nanosecond() {
            let poll = mio::Poll::new().unwrap();
            let precise = Precise::new(poll.registry(), Token(0)).unwrap();
            let deadline = system_nanos() + 3_600_000_000_000;
            let timeout = precise.timeout(Wait::Until(deadline)).unwrap();
            assert_eq!(timeout, None, "what the poller itself waits for is rounded up");
            let before = system_nanos();
            let left = timerfd_gettime(&precise.timer).unwrap().it_value;
            let after = system_nanos();
            let left = left.tv_sec as u64 * 1_000_000_000 + left.tv_nsec as u64;
            assert!((before..=after).contains(&(deadline - left)));
        }
    }
}

/// The poller's own timeout, which mio rounds up to what the system counts in.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(any(miri, portable)))))]
mod timeout {
    use std::io;
    use std::time::Duration;

    use mio::{Registry, Token};

    use crate::clock::system_nanos;
    use crate::driver::Wait;

    /// Systems refuse timeouts that are too long; a wait that ends too early is repeated.
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    #[derive(Debug)]
    pub(in crate::driver) struct Precise;

    impl Precise {
        pub(in crate::driver) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::driver) fn timeout(&self, wait: Wait) -> io::Result<Option<Duration>> {
            Ok(match wait {
                Wait::Now => Some(Duration::ZERO),
                Wait::Until(deadline) => {
                    let left = Duration::from_nanos(deadline.saturating_sub(system_nanos()));
                    Some(left.min(LONGEST))
                }
                Wait::Forever => None,
            })
        }

        pub(in crate::driver) fn fired(&self) {}
    }
}
