//! The random numbers of a run.

use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::time::Duration;

use asyncio_loop::machinery::random;

/// A small random number generator (SplitMix64). Equal seeds give equal numbers, on every machine
/// and in every version.
///
/// # Examples
///
/// ```
/// use asyncio_testing::Rng;
///
/// let (mut one, mut two) = (Rng::new(7), Rng::new(7));
/// assert_eq!(one.next_u64(), two.next_u64());
/// assert!(one.below(6) < 6);
/// ```
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `end`, with equal probability.
    ///
    /// # Panics
    ///
    /// If `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "no number is below 0");
        // The high half of the product is within bounds; the bias is below 2^-32 for such counts.
        ((u128::from(self.next_u64()) * end as u128) >> 64) as usize
    }

    /// Returns true with this probability: never for 0, always for 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits, as many as an `f64` has.
        let unit = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }

    /// A duration from `least` to `most`.
    pub fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        let spread = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        let part = (u128::from(self.next_u64()) * (u128::from(spread) + 1)) >> 64;
        least + Duration::from_nanos(part as u64)
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (2..=items.len()).rev() {
            items.swap(self.below(end), end - 1);
        }
    }
}

/// Mixes the bits of a number.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// A generator that the run seeds. In a simulation, equal seeds give equal numbers. Elsewhere the
/// numbers differ in each process.
///
/// A program that gets its random numbers from here is repeatable in tests.
///
/// # Examples
///
/// ```
/// use asyncio_testing::{Simulation, rng};
///
/// let numbers = |seed| {
///     let mut number = 0;
///     Simulation::new().seed(seed).run(async || number = rng().next_u64());
///     number
/// };
/// assert_eq!(numbers(3), numbers(3));
/// assert_ne!(numbers(3), numbers(4));
/// ```
#[must_use]
pub fn rng() -> Rng {
    Rng::new(random())
}

/// Hash keys for a `HashMap` or `HashSet`. In a simulation, the seed determines the iteration
/// order.
///
/// The standard library's default order differs for each map and run, so a test that iterates such
/// a map is not repeatable.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use asyncio_testing::{SeededState, Simulation};
///
/// let order = |seed| {
///     let mut order = Vec::new();
///     Simulation::new().seed(seed).run(async || {
///         let mut map = HashMap::with_hasher(SeededState::new());
///         map.extend((0..20).map(|number| (number, ())));
///         order = map.into_keys().collect();
///     });
///     order
/// };
/// assert_eq!(order(1), order(1));
/// assert_ne!(order(1), order(2));
/// ```
#[derive(Clone, Debug)]
pub struct SeededState(u64);

impl SeededState {
    /// Hash keys that the run seeds.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "two of them differ")]
    pub fn new() -> Self {
        Self(random())
    }
}

impl BuildHasher for SeededState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_bounds_and_reach_them() {
        let mut rng = Rng::new(1);
        let mut seen = [false; 7];
        (0..1000).for_each(|_| seen[rng.below(7)] = true);
        assert_eq!(seen, [true; 7]);
        let (least, most) = (Duration::from_nanos(3), Duration::from_nanos(5));
        for _ in 0..1000 {
            assert!((least..=most).contains(&rng.duration(least, most)));
        }
        assert!((0..1000).all(|_| !rng.chance(0.0) && rng.chance(1.0)));
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2200..2800).contains(&hits), "{hits} of 10,000");
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Rng::new(2).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
