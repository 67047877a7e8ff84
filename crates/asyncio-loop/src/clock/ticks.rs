//! Time stamps that take few instructions: the processor's own counter where it runs evenly.
//!
//! On x86-64 the time stamp counter runs at one rate and through all sleep states of the processor
//! if `CPUID` says that it is *invariant* (Intel SDM volume 3, section 17.17.1). On AArch64 the
//! virtual counter always does (Arm ARM, section D12). Elsewhere it is the monotonic clock.

use std::sync::OnceLock;

use super::system_nanos;

/// A counter that rises evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    Processor,
    #[cfg_attr(
        target_arch = "aarch64",
        allow(dead_code, reason = "its counter can always be used")
    )]
    Clock,
}

/// The counter of this process.
fn counter() -> Counter {
    static COUNTER: OnceLock<Counter> = OnceLock::new();
    *COUNTER.get_or_init(choose)
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[allow(unused_unsafe, reason = "newer compilers know that `__cpuid` is safe")]
fn choose() -> Counter {
    use std::arch::x86_64::__cpuid;
    const POWER: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    // SAFETY: every x86-64 processor has this instruction.
    let highest = unsafe { __cpuid(0x8000_0000) }.eax;
    // SAFETY: as above; the function exists.
    let is_even = highest >= POWER && unsafe { __cpuid(POWER) }.edx & INVARIANT != 0;
    if is_even { Counter::Processor } else { Counter::Clock }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
fn choose() -> Counter {
    Counter::Processor
}

#[cfg(any(not(any(target_arch = "x86_64", target_arch = "aarch64")), miri))]
fn choose() -> Counter {
    Counter::Clock
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
fn processor() -> u64 {
    // SAFETY: every x86-64 processor has this instruction, which reads a register.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
#[inline]
fn processor() -> u64 {
    let count: u64;
    // SAFETY: programs may read the virtual counter, and this does nothing else.
    unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
    count
}

/// Reads the counter that was chosen when this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks(Counter);

impl Ticks {
    pub(crate) fn new() -> Self {
        Self(counter())
    }

    #[inline]
    pub(crate) fn now(self) -> u64 {
        self.of_processor().unwrap_or_else(system_nanos)
    }

    /// What the processor's counter says, if that is the counter.
    #[inline]
    pub(crate) fn of_processor(self) -> Option<u64> {
        match self.0 {
            #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
            Counter::Processor => Some(processor()),
            Counter::Clock => None,
        }
    }
}

/// A moment by the counter and by the system's clock. Two of them give the rate of the counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) ticks: u64,
    pub(crate) nanos: u64,
}

impl Mark {
    /// This moment. Of a few tries the one counts in which the two readings are closest.
    pub(crate) fn now(ticks: Ticks) -> Self {
        let read = |_| {
            let (before, nanos, after) = (ticks.now(), system_nanos(), ticks.now());
            (
                after.wrapping_sub(before),
                Self { ticks: before.wrapping_add((after.wrapping_sub(before)) / 2), nanos },
            )
        };
        let tries = (0..5).map(read);
        tries.min_by_key(|(gap, _)| *gap).map_or(Self { ticks: 0, nanos: 0 }, |(_, mark)| mark)
    }
}

/// Turns counts into nanoseconds of the system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    start: Mark,
    nanos_per_tick: f64,
}

impl Scale {
    /// The rate between two moments, which should be some milliseconds apart.
    pub(crate) fn between(start: Mark, end: Mark) -> Self {
        let ticks = end.ticks.wrapping_sub(start.ticks);
        let nanos = end.nanos.saturating_sub(start.nanos);
        let nanos_per_tick = if ticks == 0 { 1.0 } else { nanos as f64 / ticks as f64 };
        Self { start, nanos_per_tick }
    }

    /// Nanoseconds of the system's clock.
    pub(crate) fn nanos(self, ticks: u64) -> u64 {
        // Events are read after the start, but two processors may be some ticks apart.
        let since = ticks.wrapping_sub(self.start.ticks) as i64 as f64 * self.nanos_per_tick;
        self.start.nanos.saturating_add_signed(since as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back_as_times_in_order() {
        let ticks = Ticks::new();
        let start = Mark::now(ticks);
        let before = system_nanos();
        let stamps: Vec<u64> = (0..1000).map(|_| ticks.now()).collect();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let scale = Scale::between(start, Mark::now(ticks));
        let times: Vec<u64> = stamps.iter().map(|&stamp| scale.nanos(stamp)).collect();
        assert!(times.is_sorted());
        // The two marks are exact to the time between two instructions, unless the thread is
        // interrupted in all five tries.
        let off = times[0].abs_diff(before);
        assert!(off < 20_000_000, "{off} ns");
    }
}
