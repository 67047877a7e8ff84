//! Helpers of tests with scopes.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use asyncio_task::{Runner, running_loop, yield_now};

/// Runs under virtual time.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    Runner::builder().virtual_time(true).run(future)
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Milliseconds on the loop's clock.
pub(crate) fn now() -> u64 {
    running_loop().time().as_nanos() / 1_000_000
}

/// Makes `n` turns.
pub(crate) async fn turns(n: usize) {
    for _ in 0..n {
        yield_now().await;
    }
}

/// A log of notes, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, what: impl fmt::Display) {
        self.0.borrow_mut().push(what.to_string());
    }

    /// Removes and returns the notes so far.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

/// Logs its own drop.
#[derive(Debug)]
pub(crate) struct OnDrop(pub(crate) Log, pub(crate) &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}
