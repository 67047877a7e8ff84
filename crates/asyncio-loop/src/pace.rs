//! The pace at which a busy loop polls for events.

use std::cell::Cell;

/// Nanoseconds of work between two polls for events, as long as there is work.
const POLL_AFTER: u64 = 10_000;
/// The approximate time of work between two readings of the clock, in nanoseconds.
const READ_AFTER: u64 = 4_000;
/// The maximum number of runs between two readings of the clock. A loop may be late by this number
/// of runs when quick runs become slow.
const MAX_STRIDE: u32 = 128;

/// Paces a busy loop: says how many callbacks and tasks may run until the clock is read, and when
/// to poll for readiness, timers and other threads.
///
/// A turn may be a single poll of a task of 20 ns. An empty poll of the driver or a reading of the
/// clock in each turn would cost more than that. So the number of runs between two readings of the
/// clock adapts to the time that runs take: it doubles while they are quick, and falls at once when
/// they are not.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Runs until the clock is read.
    left: Cell<u32>,
    stride: Cell<u32>,
    read_at: Cell<u64>,
    poll_at: Cell<u64>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            left: Cell::new(1),
            stride: Cell::new(1),
            read_at: Cell::new(0),
            poll_at: Cell::new(0),
        }
    }

    /// How many runs may be made before a call of [`took`](Self::took).
    #[inline]
    pub(crate) fn allowance(&self) -> usize {
        self.left.get() as usize
    }

    /// Grants `count` runs if the clock need not be read after them.
    #[inline]
    pub(crate) fn allows(&self, count: usize) -> bool {
        let left = self.left.get() as usize;
        let yes = count < left;
        if yes {
            self.left.set((left - count) as u32);
        }
        yes
    }

    /// Makes the loop read the clock before the next step, because the present one has taken long.
    pub(crate) fn read_next(&self) {
        self.left.set(0);
    }

    /// Notes runs that were made; returns whether it is time to poll.
    #[inline]
    pub(crate) fn took(&self, count: usize, now: impl FnOnce() -> u64) -> bool {
        let left = self.left.get().saturating_sub(count as u32);
        self.left.set(left);
        left == 0 && self.read(now())
    }

    /// Notes a reading of the clock; returns whether it is time to poll.
    fn read(&self, now: u64) -> bool {
        let took = now.saturating_sub(self.read_at.replace(now));
        let stride = self.stride.get();
        let next = if took < READ_AFTER / 2 {
            (stride * 2).min(MAX_STRIDE)
        } else if took > READ_AFTER * 2 {
            ((u64::from(stride) * READ_AFTER / took) as u32).max(1)
        } else {
            stride
        };
        self.stride.set(next);
        self.left.set(next);
        now >= self.poll_at.get()
    }

    /// Notes that the loop has polled.
    pub(crate) fn polled(&self, now: u64) {
        self.polled_until(now, now.saturating_add(POLL_AFTER));
    }

    /// Notes that the loop has polled, and polls again at `poll_at`.
    #[inline]
    pub(crate) fn polled_until(&self, now: u64, poll_at: u64) {
        self.read_at.set(now);
        self.left.set(self.stride.get());
        self.poll_at.set(poll_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_steps_lengthen_the_stride_and_a_slow_one_cuts_it() {
        let pace = Pace::new();
        pace.polled(0);
        let mut now = 0;
        for _ in 0..20 {
            let steps = pace.allowance();
            now += 4 * steps as u64;
            pace.took(steps, || now);
        }
        assert_eq!(pace.allowance(), MAX_STRIDE as usize);

        let steps = pace.allowance();
        now += 1_000_000;
        assert!(pace.took(steps, || now), "a slow stretch is followed by a poll");
        assert_eq!(pace.allowance(), 1);
    }

    #[test]
    fn the_clock_is_read_after_a_step_that_says_that_it_was_slow() {
        let pace = Pace::new();
        pace.polled(0);
        let mut now = 0;
        for _ in 0..20 {
            let steps = pace.allowance();
            now += 4 * steps as u64;
            pace.took(steps, || now);
        }
        pace.read_next();
        now += 1_000_000;
        assert_eq!((pace.allows(1), pace.allowance()), (false, 0));
        assert!(pace.took(0, || now), "time to poll");
    }

    #[test]
    fn polls_come_after_a_bounded_time_of_quick_runs() {
        let pace = Pace::new();
        pace.polled(0);
        let mut now = 0;
        loop {
            let steps = pace.allowance();
            now += 10 * steps as u64;
            if pace.took(steps, || now) {
                break;
            }
        }
        assert!((POLL_AFTER..POLL_AFTER + READ_AFTER * 2).contains(&now), "polled at {now}");
    }
}
