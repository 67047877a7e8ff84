//! Delays between attempts.

use std::time::Duration;

/// Growing delays with random jitter: an endless iterator.
///
/// The n-th delay, counted from 0, is `first * factor^n`, at most `max`, less a random share of up
/// to `jitter`. Jitter keeps clients that failed together from retrying together.
///
/// | | default |
/// |---|---|
/// | [`first`](Self::new) | 100 ms in [`Backoff::default`] |
/// | [`factor`](Self::factor) | 2 |
/// | [`max`](Self::max) | 30 s |
/// | [`jitter`](Self::jitter) | 0.5 |
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::Backoff;
///
/// let delays = Backoff::new(Duration::from_secs(1)).max(Duration::from_secs(5)).jitter(0.0);
/// let seconds: Vec<u64> = delays.take(5).map(|delay| delay.as_secs()).collect();
/// assert_eq!(seconds, [1, 2, 4, 5, 5]);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    /// The next delay in seconds, without jitter.
    next: f64,
    factor: f64,
    max: f64,
    jitter: f64,
    random: u64,
}

impl Backoff {
    /// Delays that begin with `first`.
    #[must_use]
    pub fn new(first: Duration) -> Self {
        let random = asyncio_loop::machinery::random();
        Self { next: first.as_secs_f64(), factor: 2.0, max: 30.0, jitter: 0.5, random }
    }

    /// Each delay is `factor` times as long as the previous one; 1 keeps them equal.
    ///
    /// # Panics
    ///
    /// If `factor` is below 1 or not a number.
    #[must_use]
    pub fn factor(self, factor: f64) -> Self {
        assert!(factor >= 1.0, "delays grow by a factor of 1 at least, not {factor}");
        Self { factor, ..self }
    }

    /// No delay is longer than `max`.
    #[must_use]
    pub fn max(self, max: Duration) -> Self {
        Self { max: max.as_secs_f64(), ..self }
    }

    /// Subtracts a random share of up to `jitter` from each delay. With 0 the delays are exact;
    /// with 1 a delay is between zero and its full length.
    ///
    /// # Panics
    ///
    /// If `jitter` is not between 0 and 1.
    #[must_use]
    pub fn jitter(self, jitter: f64) -> Self {
        assert!((0.0..=1.0).contains(&jitter), "jitter is between 0 and 1, not {jitter}");
        Self { jitter, ..self }
    }

    /// Makes the delays repeatable: the same seed gives the same ones.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { random: seed, ..self }
    }

    /// A number from 0 to 1, by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // 53 bits are what a float holds exactly.
        #[allow(clippy::cast_precision_loss, reason = "it fits")]
        let chance = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        chance
    }
}

/// The same as [`Backoff::new`].
impl From<Duration> for Backoff {
    fn from(first: Duration) -> Self {
        Self::new(first)
    }
}

impl Default for Backoff {
    /// Delays that begin with 100 milliseconds.
    fn default() -> Self {
        Self::new(Duration::from_millis(100))
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = self.next.min(self.max);
        self.next = delay * self.factor;
        let share = 1.0 - self.jitter * self.chance();
        Some(Duration::try_from_secs_f64(delay * share).unwrap_or(Duration::MAX))
    }
}
