//! The token bucket.

use std::time::Duration;

use asyncio_loop::LoopTime;

/// A bucket that gets tokens at regular moments, up to a limit.
///
/// The state is one moment: the time at which the bucket was, or will be, empty. Taking a token
/// moves it forward by the time of one token. So nothing has to be refilled or rounded.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Nanoseconds for one token.
    interval: i128,
    /// Nanoseconds for a full bucket.
    full: i128,
    /// When the bucket is empty, in nanoseconds on the loop's clock; `None` before the first use.
    empty_at: Option<i128>,
}

impl Bucket {
    /// A full bucket of `burst` tokens that gets `tokens` new ones in each `period`.
    pub(super) fn new(tokens: u32, period: Duration, burst: u32) -> Self {
        assert!(tokens > 0 && burst > 0, "a rate limiter needs one token at least");
        assert!(!period.is_zero(), "a rate limiter needs a period");
        let interval = (nanos(period) / i128::from(tokens)).max(1);
        Self { interval, full: interval * i128::from(burst), empty_at: None }
    }

    /// How many tokens there are.
    pub(super) fn tokens(&self, now: LoopTime) -> usize {
        let tokens = (at(now) - self.empty_at(now)).max(0) / self.interval;
        usize::try_from(tokens).unwrap_or(usize::MAX)
    }

    /// The time of the next token; `now` if there is one already.
    pub(super) fn next_token(&self, now: LoopTime) -> LoopTime {
        let wait = (self.empty_at(now) + self.interval - at(now)).max(0);
        now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// Takes `tokens` tokens, even more than there are: the following ones pay the debt.
    pub(super) fn take(&mut self, now: LoopTime, tokens: u32) {
        self.empty_at = Some(self.empty_at(now) + self.interval * i128::from(tokens));
    }

    pub(super) fn is_full(&self, now: LoopTime) -> bool {
        at(now) - self.empty_at(now) >= self.full
    }

    /// Tokens that did not fit are lost, so the bucket was empty at the earliest one full bucket
    /// ago.
    fn empty_at(&self, now: LoopTime) -> i128 {
        let earliest = at(now) - self.full;
        self.empty_at.map_or(earliest, |empty_at| empty_at.max(earliest))
    }
}

fn at(time: LoopTime) -> i128 {
    i128::from(time.as_nanos())
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}
