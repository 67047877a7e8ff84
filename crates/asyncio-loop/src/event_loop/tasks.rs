//! Making tasks, and finding them.

use std::fmt::Display;

use super::{LoopRef, TaskFactory};
use crate::error::LoopClosed;
use crate::kernel::{ErrorTexts, RawTask, TaskRef};
use crate::spawn::TaskOptions;

impl LoopRef {
    /// Makes a task of `future`: `create_task` calls this.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`]; the future is dropped unpolled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut task = event_loop.spawn(async { 6 * 7 }, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert!(matches!(task.take(), Some(Outcome::Value(42))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[inline]
    pub fn spawn<F: Future + 'static>(
        &self,
        future: F,
        mut options: TaskOptions,
    ) -> Result<RawTask<F::Output>, LoopClosed> {
        self.apply_factory(&mut options);
        // Tested after the factory, which may have closed the loop.
        if self.is_closed() {
            return Err(LoopClosed(()));
        }
        // A poll outside of a run could be cut short by a close.
        let how = options.take_spawn(|| self.is_running());
        let task = self.0.scheduler.spawn(future, how);
        if self.0.looks_for_errors.get() {
            self.look_for_error(&task);
        }
        Ok(task)
    }

    #[cold]
    fn look_for_error<T: 'static>(&self, task: &RawTask<T>) {
        self.local::<ErrorTexts>().look_at(task);
    }

    /// From now on, if a task of this loop returns an error of the type `Result<T, E>`, and that is
    /// never taken or looked at, it is reported to the exception handler. Call this once for each
    /// type of output. Children of groups are not reported, because their group returns their
    /// errors.
    ///
    /// For a single task there is `Task::report_errors`.
    ///
    /// # From asyncio
    ///
    /// asyncio reports each exception that was never retrieved, as this loop reports panics. An
    /// error is a value like any other, and only its type knows how to show it, so the loop needs
    /// the type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::io;
    /// use std::rc::Rc;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let seen = Rc::new(RefCell::new(String::new()));
    /// let see = Rc::clone(&seen);
    /// event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
    ///     see.replace(context.to_string());
    /// })));
    /// event_loop.report_errors::<(), io::Error>();
    /// let refresh = async { Err::<(), _>(io::Error::other("no luck")) };
    /// drop(event_loop.spawn(refresh, TaskOptions::new().name("refresh"))?);
    /// event_loop.run_until_complete(async {})?;
    /// assert!(seen.borrow().starts_with("task error was never retrieved: no luck"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn report_errors<T: 'static, E: Display + 'static>(&self) {
        if !self.is_closed() {
            self.local::<ErrorTexts>().add::<T, E>();
            self.0.looks_for_errors.set(true);
        }
    }

    /// Lets the task factory, if there is one, change the options. They are not moved for that.
    #[inline]
    pub(crate) fn apply_factory(&self, options: &mut TaskOptions) {
        if self.0.has_factory.get() {
            self.call_factory(options);
        }
    }

    #[cold]
    fn call_factory(&self, options: &mut TaskOptions) {
        let factory = self.0.factory.borrow().clone();
        if let Some(factory) = factory.filter(|_| !options.hidden && !self.is_closed()) {
            factory(self, options);
        }
    }

    /// Sets or removes the task factory, which gets the options of each new task. A closed loop
    /// ignores this.
    ///
    /// # From asyncio
    ///
    /// The factory changes how a task is made (its name, its context, whether it starts eagerly)
    /// but does not make it: a task's future has a type of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use asyncio_loop::{EventLoop, TaskOptions, running_loop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_task_factory(Some(Rc::new(|_, options| {
    ///     *options = options.clone().eager_start(true);
    /// })));
    /// event_loop.run_until_complete(async {
    ///     let task = running_loop().spawn(async { 1 }, TaskOptions::new()).unwrap();
    ///     assert!(task.task().is_done());
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_task_factory(&self, factory: Option<TaskFactory>) {
        if self.is_closed() {
            // A closed loop must not keep the factory, because it may own a reference to the loop.
            return;
        }
        self.0.has_factory.set(factory.is_some());
        let old = self.0.factory.replace(factory);
        drop(old);
    }

    /// The task factory, if one was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// assert!(EventLoop::new()?.task_factory().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_task_factory")]
    #[must_use]
    pub fn task_factory(&self) -> Option<TaskFactory> {
        self.0.factory.borrow().clone()
    }

    /// The task that is being polled; `None` inside a plain callback, and outside steps.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, running_loop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// assert!(event_loop.current_task().is_none());
    /// assert!(event_loop.run_until_complete(async { running_loop().current_task() })?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn current_task(&self) -> Option<TaskRef> {
        self.0.scheduler.current()
    }

    /// The number of the task that `current_task` returns; zero for `None`.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn current_task_number(&self) -> u64 {
        self.0.scheduler.current_number()
    }

    /// The task that is being polled, including hidden tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions, running_loop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let main = async {
    ///     let event_loop = running_loop();
    ///     assert!(event_loop.current_task().is_none(), "hidden tasks are nobody's");
    ///     event_loop.stepped_task().is_some()
    /// };
    /// assert!(event_loop.run_task(main, TaskOptions::new().hidden())?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn stepped_task(&self) -> Option<TaskRef> {
        self.0.scheduler.polled()
    }

    /// Every unfinished task of this loop, oldest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let task = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert_eq!(event_loop.all_tasks(), [task.task().clone()]);
    /// event_loop.run_until_complete(async {})?;
    /// assert!(event_loop.all_tasks().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.0.scheduler.tasks()
    }
}

/// A task's access to its loop.
impl TaskRef {
    /// The loop that the task belongs to, unless the loop is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert_eq!(raw.task().event_loop().as_ref(), Some(&*event_loop));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_loop")]
    #[must_use]
    pub fn event_loop(&self) -> Option<LoopRef> {
        self.owner().and_then(LoopRef::from_owner)
    }

    /// Panics unless `running` is the task's loop: while another loop runs, to wait for the task
    /// would hang.
    #[doc(hidden)]
    pub fn check_loop(&self, running: Option<&LoopRef>) {
        let own = self.event_loop();
        let name = |event_loop: Option<&LoopRef>| {
            event_loop
                .map_or("a loop that is gone".to_owned(), |event_loop| format!("{event_loop:?}"))
        };
        assert!(
            self.is_done() || own.as_ref() == running,
            "{self:?} is attached to a different loop, {}, than the one it is awaited on, {}",
            name(own.as_ref()),
            name(running),
        );
    }
}
