//! The watchdog of a loop.

use std::sync::Arc;
use std::time::Duration;

use super::LoopRef;
use crate::inspect::StuckStep;
use crate::watchdog::{Watch, Watched};

impl LoopRef {
    /// Makes a thread watch this loop, and report a callback or a poll that takes longer than
    /// `limit`, while it still runs: with its name, the place where it was made, and the calls that
    /// are active on the loop's thread. `None` ends the watch. A `Runner` sets a watchdog for its
    /// loop.
    ///
    /// The report is a record of the level `warn` with the target `asyncio`, or goes to standard
    /// error in a program without a logger. [`set_watchdog_with`](Self::set_watchdog_with) sends it
    /// elsewhere. There is one report for each step. If the loop records, the recording is written
    /// to the file for stalls: see [`Recorder::keep_in`](crate::inspect::Recorder::keep_in).
    ///
    /// The watchdog costs the loop nothing. One thread watches all loops of the process; it wakes
    /// up every 25 ms while a loop works, and once a second while all loops wait. Only the time
    /// counts in which the loop's thread computes or is blocked, not the time in which the process
    /// was stopped, or in which other threads had the processors.
    ///
    /// To find the active calls, the watchdog sends the stuck thread the signal `SIGURG` (unless
    /// the program handles that itself). So a system call in which the thread is blocked may return
    /// `EINTR`.
    ///
    /// # From asyncio
    ///
    /// asyncio reports slow callbacks only after they have ended, and only in debug mode.
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

    /// The time after which the watchdog reports a step; `None` if the loop is not watched.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.watched.borrow().as_ref().map(Watched::limit)
    }

    /// [`set_watchdog`](Self::set_watchdog), with a function that gets the reports instead of the
    /// log. It runs on the watchdog's thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (sender, receiver) = mpsc::channel();
    /// event_loop.set_watchdog_with(Duration::from_millis(20), move |step| {
    ///     let _ = sender.send(step.to_string());
    /// });
    /// let blocks = async move { receiver.recv().unwrap() };
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
