//! The options of a pool, and its start.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;

use asyncio_loop::EventLoop;

use super::LoopPool;
use super::cpus;
use super::end::End;
use super::worker::{Plan, Starting, Worker};
use crate::shutdown::GRACE_PERIOD;

type MakeLoop = dyn Fn(usize) -> io::Result<EventLoop> + Send + Sync;

/// The options of a [`LoopPool`].
#[doc(alias = "LocalExecutorPoolBuilder")]
#[must_use = "call start"]
pub struct LoopPoolBuilder {
    loops: Option<usize>,
    name: String,
    pin: bool,
    make: Arc<MakeLoop>,
    grace_period: Duration,
}

impl LoopPoolBuilder {
    pub(super) fn new() -> Self {
        Self {
            loops: None,
            name: "asyncio_loop".to_owned(),
            pin: false,
            make: Arc::new(|_| EventLoop::new()),
            grace_period: GRACE_PERIOD,
        }
    }

    /// The number of loops. Default: the number of threads that can run at the same time
    /// ([`available_parallelism`](thread::available_parallelism)).
    pub fn loops(mut self, count: usize) -> Self {
        self.loops = Some(count);
        self
    }

    /// The prefix of the threads' names; a dash and the loop's number follow. Default:
    /// "asyncio_loop".
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Whether each thread is pinned to one of the processors that the calling thread may use, in
    /// turn. Default: no. Supported on Linux and Android only.
    ///
    /// Pinning helps when the loops have the machine to themselves. Otherwise a loop may wait for
    /// its processor while another processor is idle.
    pub fn pin(mut self, yes: bool) -> Self {
        self.pin = yes;
        self
    }

    /// Makes each loop by `make`, which is called on the loop's thread with the loop's number.
    pub fn loop_factory(
        mut self,
        make: impl Fn(usize) -> io::Result<EventLoop> + Send + Sync + 'static,
    ) -> Self {
        self.make = Arc::new(make);
        self
    }

    /// How long to wait at the end for cancelled tasks, before they are reported to the exception
    /// handler and dropped. Default: 10 seconds.
    pub fn grace_period(mut self, limit: Duration) -> Self {
        self.grace_period = limit;
        self
    }

    /// Starts the threads, and returns when all loops run.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread, if a loop cannot be made, or if a thread cannot be
    /// pinned ([`io::ErrorKind::Unsupported`] if the system has no pinning). Loops that run already
    /// are stopped.
    ///
    /// # Panics
    ///
    /// If the number of loops is 0.
    pub fn start(self) -> io::Result<LoopPool> {
        let count = match self.loops {
            Some(count) => count,
            None => thread::available_parallelism()?.get(),
        };
        assert!(count > 0, "a pool needs a loop");
        let cpus = if self.pin { cpus::allowed()? } else { Vec::new() };
        let end = Arc::new(End::of(count));
        let starting: Vec<io::Result<Starting>> = (0..count)
            .map(|number| {
                let make = Arc::clone(&self.make);
                Starting::new(Plan {
                    name: format!("{}-{number}", self.name),
                    make: Box::new(move || make(number)),
                    cpu: cpus.get(number % cpus.len().max(1)).copied(),
                    grace_period: self.grace_period,
                    end: Arc::clone(&end),
                })
            })
            .collect();
        let (mut workers, mut failed) = (Vec::new(), None);
        for worker in starting.into_iter().map(|thread| thread.and_then(Starting::finish)) {
            match worker {
                Ok(worker) => workers.push(worker),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let workers: Box<[Worker]> = workers.into();
        let pool = LoopPool { workers, turn: AtomicUsize::new(0), end };
        // Dropping the pool stops the loops that run.
        failed.map_or(Ok(pool), Err)
    }
}

impl fmt::Debug for LoopPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopPoolBuilder")
            .field("loops", &self.loops)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
