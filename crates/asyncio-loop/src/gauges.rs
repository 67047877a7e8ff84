//! Numbers of a loop that other threads may read, even while its thread is blocked.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of the histogram of lag. The last one has no upper bound.
pub(crate) const LAG_BUCKETS: usize = 26;
/// The upper bound of the first bucket, in nanoseconds. Each next one is twice as wide.
pub(crate) const FIRST_BUCKET: u64 = 1_000;

/// A number that one thread writes and all threads may read. Each value is right by itself; two
/// values may be of different moments.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// `get`, before whatever is read next.
    pub(crate) fn acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// `set`, after whatever was written before.
    pub(crate) fn release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to the number, on the thread that writes it, without an atomic read-modify-write
    /// operation.
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.set(self.get().wrapping_add(count));
    }
}

/// The numbers of one loop. Its own thread writes them: `turns` always, the others if the loop is
/// measured or on request.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) turns: Gauge,
    /// Whether the loop is measured.
    pub(crate) measured: Gauge,
    /// When the numbers below were written, on the loop's clock.
    pub(crate) at: Gauge,
    pub(crate) steps: Gauge,
    pub(crate) ready: Gauge,
    pub(crate) tasks: Gauge,
    pub(crate) timers: Gauge,
    pub(crate) descriptors: Gauge,
    pub(crate) bytes_in: Gauge,
    pub(crate) bytes_out: Gauge,
    /// Nanoseconds inside of steps.
    pub(crate) busy: Gauge,
    /// Nanoseconds of the longest step.
    pub(crate) longest: Gauge,
    /// When the step that runs now began, on the system's clock; zero between steps.
    pub(crate) step_began: Gauge,
    /// The number of the task of that step; zero for a callback.
    pub(crate) step_task: Gauge,
    pub(crate) lag: [Gauge; LAG_BUCKETS],
    /// The sum of all lags, in nanoseconds.
    pub(crate) lag_sum: Gauge,
}

impl Gauges {
    /// Counts a step that waited `nanos` nanoseconds for its turn.
    pub(crate) fn count_lag(&self, nanos: u64) {
        let bucket = nanos.div_ceil(FIRST_BUCKET).max(1).next_power_of_two().ilog2() as usize;
        self.lag[bucket.min(LAG_BUCKETS - 1)].add(1);
        self.lag_sum.add(nanos);
    }

    /// Begins the measurement anew.
    pub(crate) fn reset(&self) {
        let single = [&self.busy, &self.longest, &self.step_began, &self.step_task, &self.lag_sum];
        single.into_iter().chain(&self.lag).for_each(|gauge| gauge.set(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_counted_in_the_first_bucket_that_holds_it() {
        let cases = [
            (0, 0),
            (FIRST_BUCKET, 0),
            (FIRST_BUCKET + 1, 1),
            (2 * FIRST_BUCKET, 1),
            (2 * FIRST_BUCKET + 1, 2),
            (u64::MAX / 4, LAG_BUCKETS - 1),
        ];
        for (nanos, bucket) in cases {
            let gauges = Gauges::default();
            gauges.count_lag(nanos);
            assert_eq!(gauges.lag[bucket].get(), 1, "{nanos}");
            assert_eq!(gauges.lag.iter().map(Gauge::get).sum::<u64>(), 1, "{nanos}");
        }
    }
}
