//! What a thread has done between two checks, and how much of it counts.

use std::time::Duration;

/// Time that a thread has used since its beginning, as far as the system says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// On a processor.
    pub(super) computed: Option<Duration>,
    /// Ready to run, while other threads had the processors.
    pub(super) waited: Option<Duration>,
}

/// What a thread does at the moment of a check.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    allow(dead_code, reason = "other systems are not asked")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It runs, or would if it had a processor.
    Runnable,
    /// It waits for something in a call of the system.
    Blocked,
    /// A signal or a debugger has stopped it.
    Stopped,
}

/// How long the thread has computed or was blocked between two checks, at least.
///
/// What does not count is the time in which it was ready and had no processor, or was stopped. Nor
/// does the time by which the check came late count, unless the thread has computed then: the whole
/// process may have been stopped, or the machine asleep. The check was meant to be `at_most` behind
/// the one before.
pub(super) fn counted(
    before: Usage,
    now: Usage,
    state: State,
    elapsed: Duration,
    at_most: Duration,
) -> Duration {
    let since = |before: Option<Duration>, now: Option<Duration>| {
        Some(now?.saturating_sub(before?)).map(|used| used.min(elapsed))
    };
    let computed = since(before.computed, now.computed);
    match state {
        State::Stopped => Duration::ZERO,
        // It may be waiting for a processor since it was blocked last: only what it has computed is
        // certain.
        State::Runnable => computed.unwrap_or(elapsed.min(at_most)),
        State::Blocked => {
            let waited = since(before.waited, now.waited).unwrap_or_default();
            (elapsed - waited).min(at_most).max(computed.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn usage(computed: u64, waited: u64) -> Usage {
        Usage { computed: Some(ms(computed)), waited: Some(ms(waited)) }
    }

    /// The checks are 25 ms apart, or this long.
    fn count(now: Usage, state: State, elapsed: u64) -> Duration {
        counted(usage(1000, 5000), now, state, ms(elapsed), ms(30))
    }

    #[test]
    fn a_thread_that_computes_or_is_blocked_is_counted() {
        assert_eq!(count(usage(1025, 5000), State::Runnable, 25), ms(25));
        assert_eq!(count(usage(1000, 5000), State::Blocked, 25), ms(25));
        assert_eq!(count(usage(1010, 5000), State::Blocked, 25), ms(25));
    }

    #[test]
    fn one_that_other_threads_keep_from_the_processor_is_not() {
        assert_eq!(count(usage(1000, 5000), State::Runnable, 25), ms(0));
        assert_eq!(count(usage(1003, 5022), State::Runnable, 25), ms(3));
        // It is blocked now, and was not before.
        assert_eq!(count(usage(1003, 5020), State::Blocked, 25), ms(5));
        // It has got a processor at last, after more than this time.
        assert_eq!(count(usage(1002, 5900), State::Blocked, 25), ms(2));
    }

    #[test]
    fn a_stop_is_not_counted() {
        assert_eq!(count(usage(1025, 5000), State::Stopped, 25), ms(0));
        // All threads were stopped for a minute, and go on.
        assert_eq!(count(usage(1000, 5000), State::Blocked, 60_000), ms(30));
        assert_eq!(count(usage(1001, 5000), State::Runnable, 60_000), ms(1));
        // The check was late, while the thread has computed.
        assert_eq!(count(usage(1090, 5000), State::Runnable, 90), ms(90));
        assert_eq!(count(usage(1090, 5000), State::Blocked, 90), ms(90));
    }

    #[test]
    fn a_system_that_says_nothing_is_believed_to_work() {
        let count = |state, elapsed| {
            counted(Usage::default(), Usage::default(), state, ms(elapsed), ms(30))
        };
        assert_eq!(count(State::Blocked, 25), ms(25));
        assert_eq!(count(State::Runnable, 25), ms(25));
        assert_eq!(count(State::Blocked, 60_000), ms(30));
    }
}
