//! A row of the matrix, and helpers that its programs share.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{FutureExt, LocalBoxFuture};
use tokio::sync::Semaphore;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A program, which can be run several times.
pub(crate) type Program = Box<dyn Fn() -> LocalBoxFuture<'static, Outcome>>;

pub(crate) struct Row {
    /// The crates' names in Cargo.lock. The row is named after the first one.
    pub(crate) crates: &'static [&'static str],
    pub(crate) what: &'static str,
    /// The column "to know" of the table.
    pub(crate) note: &'static str,
    pub(crate) programs: [(&'static str, Program); 3],
}

impl Row {
    /// A row with its three programs: a typical use, a cancellation, and a shutdown with requests
    /// in flight.
    pub(crate) fn new<A, B, C>(
        crates: &'static [&'static str],
        what: &'static str,
        natural: impl Fn() -> A + 'static,
        cancelled: impl Fn() -> B + 'static,
        shutdown: impl Fn() -> C + 'static,
    ) -> Self
    where
        A: Future<Output = Outcome> + 'static,
        B: Future<Output = Outcome> + 'static,
        C: Future<Output = Outcome> + 'static,
    {
        let programs: [(_, Program); 3] = [
            ("the program", Box::new(move || natural().boxed_local())),
            ("a cancel in the middle", Box::new(move || cancelled().boxed_local())),
            ("a shutdown in flight", Box::new(move || shutdown().boxed_local())),
        ];
        Self { crates, what, note: "", programs }
    }

    pub(crate) fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.crates.iter().any(|of_row| of_row.contains(name))
    }
}

/// Counts requests that are being handled, or tasks that hold a connection.
#[derive(Clone, Default)]
pub(crate) struct InUse(Arc<AtomicUsize>);

pub(crate) struct Used(Arc<AtomicUsize>);

impl InUse {
    pub(crate) fn enter(&self) -> Used {
        self.0.fetch_add(1, Ordering::Relaxed);
        Used(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A gate at which requests wait until a program lets them pass.
#[derive(Clone)]
pub(crate) struct Gate(Arc<(Semaphore, Semaphore)>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new((Semaphore::new(0), Semaphore::new(0))))
    }

    /// Of the request.
    pub(crate) async fn pass(&self) {
        self.0.0.add_permits(1);
        self.0.1.acquire().await.expect("never closed").forget();
    }

    /// Waits until a request is at the gate.
    pub(crate) async fn has_one(&self) {
        self.0.0.acquire().await.expect("never closed").forget();
    }

    /// Lets one request pass.
    pub(crate) fn open(&self) {
        self.0.1.add_permits(1);
    }
}

/// Waits for an action of another process or task, within the time limit of the program.
pub(crate) async fn until(condition: impl AsyncFn() -> Outcome<bool>) -> Outcome {
    while !condition().await? {
        asyncio::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
