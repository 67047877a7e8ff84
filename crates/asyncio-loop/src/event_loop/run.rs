//! Running, stopping and closing.

use std::panic::{Location, resume_unwind};

use super::LoopRef;
use super::marks::{GUIDED, STOPPING};
use super::running::{run_within, running_site};
use crate::error::{LoopRunning, RunError};
use crate::kernel::{LoopWaker, Outcome, TaskRef, caught};
use crate::signals::run_interruptible;
use crate::spawn::TaskOptions;
use crate::watchdog;

impl LoopRef {
    /// Runs until [`stop`](Self::stop) is called.
    ///
    /// On the main thread of a program that does not handle it, Ctrl-C stops the loop. The caller
    /// goes on, and can clean up in another run.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] inside any run on this thread, [`RunError::Closed`] if the loop
    /// is closed, [`RunError::Interrupted`] if Ctrl-C has ended the run.
    ///
    /// # Panics
    ///
    /// If the operating system's poller fails, which happens only if the program has closed its
    /// descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// let this = event_loop.loop_ref();
    /// event_loop.call_later(Duration::from_secs(5), move || this.stop());
    /// event_loop.run_forever()?;
    /// assert_eq!(event_loop.time().as_secs_f64(), 5.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn run_forever(&self) -> Result<(), RunError> {
        let site = Location::caller();
        let run = || self.within(site, || self.drive(site, None));
        match run_interruptible(self, run) {
            (Ok(()), true) => Err(RunError::Interrupted),
            (result, _) => result,
        }
    }

    /// Runs the loop until `future` is done, as a task, and returns its value.
    ///
    /// The future may borrow. If it is not done at the end of the run, it is dropped before this
    /// returns; other tasks keep their state and go on in the next run.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] and [`RunError::Closed`], with the future dropped unpolled;
    /// [`RunError::Stopped`] if [`stop`](Self::stop) was called first; [`RunError::Cancelled`] if
    /// the task was cancelled; [`RunError::Interrupted`] if Ctrl-C has ended the run, as for
    /// [`run_forever`](Self::run_forever).
    ///
    /// # Panics
    ///
    /// With the future's own panic; or as [`run_forever`](Self::run_forever).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let words = ["one", "two"];
    /// let event_loop = EventLoop::new()?;
    /// assert_eq!(event_loop.run_until_complete(async { words.len() })?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn run_until_complete<F: IntoFuture>(&self, future: F) -> Result<F::Output, RunError> {
        let (site, options) = (Location::caller(), TaskOptions::new());
        let future = future.into_future();
        match run_interruptible(self, || self.run_task_at(site, future, options)) {
            (Err(RunError::Stopped), true) => Err(RunError::Interrupted),
            (result, _) => result,
        }
    }

    /// [`run_until_complete`](Self::run_until_complete) with options for the task.
    ///
    /// # Errors
    ///
    /// As [`run_until_complete`](Self::run_until_complete).
    ///
    /// # Panics
    ///
    /// As [`run_until_complete`](Self::run_until_complete).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions, running_loop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let main = async { running_loop().current_task().unwrap().name() };
    /// assert_eq!(&*event_loop.run_task(main, TaskOptions::new().name("main"))?, "main");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[track_caller]
    pub fn run_task<F: IntoFuture>(
        &self,
        future: F,
        options: TaskOptions,
    ) -> Result<F::Output, RunError> {
        self.run_task_at(Location::caller(), future.into_future(), options)
    }

    fn run_task_at<F: Future>(
        &self,
        site: &'static Location<'static>,
        future: F,
        mut options: TaskOptions,
    ) -> Result<F::Output, RunError> {
        let outcome = self.within(site, || {
            self.apply_factory(&mut options);
            self.0.scheduler.run_scoped(future, options.take_spawn(|| true), |task| {
                self.drive(site, Some(task.task().clone()));
            })
        })?;
        match outcome {
            Some(Outcome::Value(value)) => Ok(value),
            Some(Outcome::Panicked(payload)) => resume_unwind(payload),
            Some(Outcome::Cancelled) => Err(RunError::Cancelled),
            None => Err(RunError::Stopped),
        }
    }

    /// Runs `f` with this loop as the running one.
    pub(super) fn within<R>(
        &self,
        site: &'static Location<'static>,
        f: impl FnOnce() -> R,
    ) -> Result<R, RunError> {
        if self.is_closed() {
            return Err(RunError::Closed);
        }
        watchdog::wake();
        let result = self.with_host(|| run_within(self, site, f));
        if self.0.orphan.get() {
            // This is not refused, because nothing runs any more.
            let _ = self.close();
        }
        result
    }

    /// Makes turns until the task is done, or the loop is stopped.
    fn drive(&self, site: &'static Location<'static>, task: Option<TaskRef>) {
        match (self.host(), task) {
            (Some(host), task) => self.drive_by(&*host, site, task),
            (None, Some(task)) => self.make_turns(|| task.is_done()),
            (None, None) => self.make_turns(|| false),
        }
        self.0.marks.set(STOPPING, false);
    }

    fn make_turns(&self, done: impl Fn() -> bool) {
        self.end_rest();
        let mut poll = true;
        while !done() {
            poll = self.0.turn(poll).expect("the poller of a running loop works");
            if !poll {
                self.0.short_turns(&done);
            }
            if self.0.marks.has(STOPPING) {
                break;
            }
        }
        self.0.scheduler.pause_recording();
        if self.0.marks.has(GUIDED) {
            self.0.restore_candidates();
        }
    }

    /// Ends the current run after this turn; outside a run, the next one after its first turn.
    ///
    /// Callbacks that are ready then, and all unfinished tasks, wait for the next run.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let ran = Rc::new(Cell::new(false));
    /// let (this, run) = (event_loop.loop_ref(), Rc::clone(&ran));
    /// event_loop.call_soon(move || this.stop());
    /// event_loop.call_soon(move || run.set(true));
    /// event_loop.run_forever()?;
    /// assert!(ran.get(), "the turn is brought to its end");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop(&self) {
        self.0.marks.set(STOPPING, true);
        self.wake_host();
    }

    /// Whether this loop is running.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, running_loop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// assert!(!event_loop.is_running());
    /// assert!(event_loop.run_until_complete(async { running_loop().is_running() })?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_running(&self) -> bool {
        running_site(self).is_some()
    }

    /// Closes the loop: drops every callback and every task, on this thread. Nothing runs on it any
    /// more. Tasks that had not ended are reported. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`LoopRunning`] while the loop runs; the loop is unchanged then.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, RunError, running_loop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.run_until_complete(async { assert!(running_loop().close().is_err()) })?;
    /// event_loop.close()?;
    /// assert_eq!(event_loop.run_until_complete(async { 1 }), Err(RunError::Closed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) -> Result<(), LoopRunning> {
        if let Some(site) = running_site(self) {
            return Err(LoopRunning { site });
        }
        if self.is_closed() {
            return Ok(());
        }
        self.end_rest();
        // Destructors may look for their loop, and report to it. Inside the run of another loop
        // they find that one.
        let site = Location::caller();
        self.with_host(|| {
            if run_within(self, site, || self.discard()).is_err() {
                self.discard();
            }
        });
        self.leave_host();
        Ok(())
    }

    /// Drops everything that the loop owns, one by one, so that a destructor that panics does not
    /// stop the others.
    pub(super) fn discard(&self) {
        fn drop_each<T>(what: &'static str, things: impl IntoIterator<Item = T>) {
            things.into_iter().for_each(|thing| caught(what, || drop(thing)));
        }
        self.set_watchdog(None);
        self.0.scheduler.close();
        self.stop_recording();
        self.0.scheduler.set_pick(None);
        drop_each("the end of a director", self.0.guided.take());
        let timers = self.0.timers.borrow_mut().drain();
        // Handles may keep the callbacks, but not their closures.
        timers.into_iter().for_each(LoopWaker::discard);
        drop_each("the end of a turn", self.0.turn_end.take());
        drop_each("the end of a loop's local", self.0.locals.take().into_values());
        drop_each("the end of a task factory", self.0.factory.take());
        caught("the end of hooks of tasks", || self.0.hooks.clear());
        drop_each("the end of an exception handler", self.0.handler.take());
        self.0.driver.close();
    }

    /// Whether the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.close()?;
    /// assert!(event_loop.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.scheduler.is_closed()
    }
}
