//! Having the loop watched.

use std::sync::Arc;
use std::time::Duration;

use super::LoopRef;
use crate::inspect::StuckStep;
use crate::watchdog::{Watch, Watched};

impl LoopRef {
    /// Has a thread watch this loop, and tell when a callback or a poll takes longer than `limit`,
    /// while it still does: by name, by the place where it was made, and with the calls that are
    /// active on the loop's thread. `None` ends it. A `Runner` does this for its loop.
    ///
    /// The report is a record of the level `warn` with the target `asyncio`, or goes to standard
    /// error in a program without a logger. [`set_watchdog_with`](Self::set_watchdog_with) sends it
    /// elsewhere. A loop is told about once for each step. If it records, the recording is written
    /// to the file for stalls: see [`Recorder::keep_in`](crate::inspect::Recorder::keep_in).
    ///
    /// It costs the loop nothing. There is one thread for all loops of the process, which wakes up
    /// every 25 ms while one of them works, and once a second while all of them wait. What counts
    /// is the time in which the thread computes or is blocked. A process that was stopped is not
    /// stuck, nor is a thread that is ready while other threads have the processors.
    ///
    /// To find out what a stuck thread does, it gets the signal `SIGURG` (unless the program
    /// handles that itself). So a system call that it is blocked in may return `EINTR`.
    ///
    /// # From asyncio
    ///
    /// asyncio tells about slow callbacks after they have ended, in debug mode.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_watchdog(Some(Duration::from_millis(50)));
    /// event_loop.run_until_complete(async {
    ///     std::thread::sleep(Duration::from_millis(10)); // not long enough
    /// })?;
    /// event_loop.set_watchdog(None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_watchdog(&self, limit: Option<Duration>) {
        self.set_watch(limit.map(|limit| self.new_watch(limit)));
    }

    /// How long a step may take until the watchdog tells about it; `None` if the loop is not
    /// watched.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.watched.borrow().as_ref().map(Watched::limit)
    }

    /// [`set_watchdog`](Self::set_watchdog), with a function that is called instead of the log. It
    /// runs on the watchdog's thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (tell, told) = mpsc::channel();
    /// event_loop.set_watchdog_with(Duration::from_millis(20), move |step| {
    ///     let _ = tell.send(step.to_string());
    /// });
    /// let blocks = async move { told.recv().unwrap() };
    /// let report = event_loop.run_task(blocks, TaskOptions::new().name("blocks"))?;
    /// assert!(report.contains("is blocked for "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_watchdog_with(
        &self,
        limit: Duration,
        handler: impl Fn(&StuckStep) + Send + Sync + 'static,
    ) {
        let watch = Watch { handler: Some(Arc::new(handler)), ..self.new_watch(limit) };
        self.set_watch(Some(watch));
    }

    fn new_watch(&self, limit: Duration) -> Watch {
        Watch { scheduler: self.0.scheduler.remote(), limit, handler: None }
    }

    fn set_watch(&self, watch: Option<Watch>) {
        let watched = watch.filter(|_| !self.is_closed()).map(Watched::new);
        let before = self.0.watched.replace(watched);
        drop(before);
    }
}
