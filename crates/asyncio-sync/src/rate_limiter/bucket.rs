//! The token bucket: how many tokens there are at a moment.

use std::time::Duration;

use asyncio_loop::LoopTime;

/// Tokens that come in at regular moments, up to a limit.
///
/// The state is one moment: when the bucket was, or will be, empty. Every token taken moves it on
/// by the time that one token takes to come, so there is nothing to refill and nothing to round.
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

    /// When the next token is there; `now` if one is already.
    pub(super) fn next_token(&self, now: LoopTime) -> LoopTime {
        let wait = (self.empty_at(now) + self.interval - at(now)).max(0);
        now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// Takes so many tokens, also more than there are: what comes next pays the debt.
    pub(super) fn take(&mut self, now: LoopTime, tokens: u32) {
        self.empty_at = Some(self.empty_at(now) + self.interval * i128::from(tokens));
    }

    pub(super) fn is_full(&self, now: LoopTime) -> bool {
        at(now) - self.empty_at(now) >= self.full
    }

    /// Tokens that did not fit are lost, so it was empty one whole bucket ago at the earliest.
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
