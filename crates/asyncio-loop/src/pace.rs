//! When the loop looks up from its work.

use std::cell::Cell;

/// Nanoseconds of work between two looks at the world, as long as there is work.
const LOOK_AFTER: u64 = 50_000;
/// Nanoseconds of work between two looks at the clock, about.
const READ_AFTER: u64 = 10_000;
/// Steps between two looks at the clock, at the most: what a loop may be late by when steps that
/// were quick turn slow.
const MAX_STRIDE: u32 = 128;

/// Paces a busy loop: says how many steps to take until the clock is read, and when the time has
/// come to poll for readiness, timers and other threads.
///
/// A turn may be a single step of 20 ns, which neither an empty poll nor a look at the clock for
/// each turn fits in. So the number of steps between two looks at the clock adapts to how long
/// steps take: it doubles while they are quick, and falls at once when they are not.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Steps until the clock is read.
    left: Cell<u32>,
    stride: Cell<u32>,
    read_at: Cell<u64>,
    look_at: Cell<u64>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            left: Cell::new(1),
            stride: Cell::new(1),
            read_at: Cell::new(0),
            look_at: Cell::new(0),
        }
    }

    /// How many steps may be taken before [`took`](Self::took) is told.
    #[inline]
    pub(crate) fn allowance(&self) -> usize {
        self.left.get() as usize
    }

    /// Grants `steps` if the clock need not be read after them.
    #[inline]
    pub(crate) fn allows(&self, steps: usize) -> bool {
        let left = self.left.get() as usize;
        let yes = steps < left;
        if yes {
            self.left.set((left - steps) as u32);
        }
        yes
    }

    /// Has the clock read before the next step: the one that runs now has taken long.
    pub(crate) fn read_next(&self) {
        self.left.set(0);
    }

    /// Notes steps that were taken; true if it is time to look.
    #[inline]
    pub(crate) fn took(&self, steps: usize, now: impl FnOnce() -> u64) -> bool {
        let left = self.left.get().saturating_sub(steps as u32);
        self.left.set(left);
        left == 0 && self.read(now())
    }

    /// Takes a reading of the clock; true if it is time to look.
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
        now >= self.look_at.get()
    }

    /// Notes that the loop has looked.
    pub(crate) fn looked(&self, now: u64) {
        self.read_at.set(now);
        self.left.set(self.stride.get());
        self.look_at.set(now.saturating_add(LOOK_AFTER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_steps_lengthen_the_stride_and_a_slow_one_cuts_it() {
        let pace = Pace::new();
        pace.looked(0);
        let mut now = 0;
        for _ in 0..20 {
            let steps = pace.allowance();
            now += 4 * steps as u64;
            pace.took(steps, || now);
        }
        assert_eq!(pace.allowance(), MAX_STRIDE as usize);

        let steps = pace.allowance();
        now += 1_000_000;
        assert!(pace.took(steps, || now), "a slow stretch is followed by a look");
        assert_eq!(pace.allowance(), 1);
    }

    #[test]
    fn the_clock_is_read_after_a_step_that_says_that_it_was_slow() {
        let pace = Pace::new();
        pace.looked(0);
        let mut now = 0;
        for _ in 0..20 {
            let steps = pace.allowance();
            now += 4 * steps as u64;
            pace.took(steps, || now);
        }
        pace.read_next();
        now += 1_000_000;
        assert_eq!((pace.allows(1), pace.allowance()), (false, 0));
        assert!(pace.took(0, || now), "time to look");
    }

    #[test]
    fn looks_come_after_a_bounded_time_of_quick_steps() {
        let pace = Pace::new();
        pace.looked(0);
        let mut now = 0;
        loop {
            let steps = pace.allowance();
            now += 10 * steps as u64;
            if pace.took(steps, || now) {
                break;
            }
        }
        assert!((LOOK_AFTER..LOOK_AFTER + READ_AFTER * 2).contains(&now), "looked at {now}");
    }
}
