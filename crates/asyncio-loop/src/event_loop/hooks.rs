//! Task hooks: functions that are called when tasks are made, are polled, and end.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::LoopRef;
use crate::kernel::{Moment, RunnableRef, TaskRef, caught};

/// Functions that a loop calls when something happens to one of its tasks: see
/// [`LoopRef::add_task_hooks`]. Each does nothing unless it is written.
///
/// They run on the loop's thread, between the steps of tasks, so they should be short. A panic in a
/// hook is reported, and the loop goes on.
pub trait TaskHooks {
    /// The task was made. It has not run yet.
    fn created(&self, task: &TaskRef) {
        let _ = task;
    }

    /// A poll of the task begins. The hook runs with the task as the current one.
    fn poll_begins(&self, task: &TaskRef) {
        let _ = task;
    }

    /// The poll has ended, even if it was the last one. There is one call for each `poll_begins`,
    /// unless the hooks were added or removed during the poll.
    fn poll_ends(&self, task: &TaskRef) {
        let _ = task;
    }

    /// The task has returned, was cancelled, or has panicked: its state says which. Its awaiters
    /// have not gone on yet.
    fn ended(&self, task: &TaskRef) {
        let _ = task;
    }
}

/// The hooks of one loop.
#[derive(Default)]
pub(super) struct Hooks(RefCell<Rc<[Rc<dyn TaskHooks>]>>);

impl Hooks {
    fn all(&self) -> Rc<[Rc<dyn TaskHooks>]> {
        Rc::clone(&self.0.borrow())
    }

    fn replace(&self, hooks: Vec<Rc<dyn TaskHooks>>) {
        let before = self.0.replace(hooks.into());
        drop(before);
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.replace(Vec::new());
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooks({})", self.0.borrow().len())
    }
}

impl LoopRef {
    /// Calls functions when tasks of this loop are made, are polled, and end, including tasks of
    /// groups, and tasks that exist already. Hooks that were added first are called first. Hidden
    /// tasks are not reported. A closed loop ignores this.
    ///
    /// A loop without hooks pays nothing: each task has a flag for hooks, which is tested together
    /// with other flags.
    ///
    /// # From asyncio
    ///
    /// asyncio has a task factory for the making of tasks, and nothing for the other events.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_loop::{EventLoop, TaskHooks, TaskOptions, TaskRef};
    ///
    /// #[derive(Default)]
    /// struct Ended(Cell<u32>);
    ///
    /// impl TaskHooks for Ended {
    ///     fn ended(&self, task: &TaskRef) {
    ///         println!("{} has ended after {} polls", task.name(), task.info().polls);
    ///         self.0.set(self.0.get() + 1);
    ///     }
    /// }
    ///
    /// let event_loop = EventLoop::new()?;
    /// let ended = Rc::new(Ended::default());
    /// event_loop.add_task_hooks(ended.clone());
    /// let _task = event_loop.spawn(async {}, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(ended.0.get(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_task_hooks(&self, hooks: Rc<dyn TaskHooks>) {
        if self.is_closed() {
            // A closed loop must not keep them, because they may own a reference to the loop.
            return;
        }
        let mut all = self.0.hooks.all().to_vec();
        all.push(hooks);
        self.0.hooks.replace(all);
        self.0.scheduler.set_hooked(true);
    }

    /// Removes hooks that [`add_task_hooks`](Self::add_task_hooks) has added. Returns whether they
    /// had been added.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use asyncio_loop::{EventLoop, TaskHooks};
    ///
    /// struct Nothing;
    /// impl TaskHooks for Nothing {}
    ///
    /// let event_loop = EventLoop::new()?;
    /// let hooks: Rc<dyn TaskHooks> = Rc::new(Nothing);
    /// event_loop.add_task_hooks(Rc::clone(&hooks));
    /// assert!(event_loop.remove_task_hooks(&hooks));
    /// assert!(!event_loop.remove_task_hooks(&hooks));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn remove_task_hooks(&self, hooks: &Rc<dyn TaskHooks>) -> bool {
        let mut all = self.0.hooks.all().to_vec();
        let same = |one: &Rc<dyn TaskHooks>| std::ptr::addr_eq(Rc::as_ptr(one), Rc::as_ptr(hooks));
        let Some(place) = all.iter().position(same) else { return false };
        all.remove(place);
        self.0.scheduler.set_hooked(!all.is_empty());
        self.0.hooks.replace(all);
        true
    }
}

/// The function that the kernel calls.
pub(super) fn traced(task: &RunnableRef, moment: Moment) {
    let Ok(task) = TaskRef::from_runnable(task.clone()) else { return };
    let Some(event_loop) = task.event_loop() else { return };
    for hooks in event_loop.0.hooks.all().iter() {
        caught("a hook of tasks", || match moment {
            Moment::Created => hooks.created(&task),
            Moment::Begins => hooks.poll_begins(&task),
            Moment::Pends => hooks.poll_ends(&task),
            Moment::Ends => {
                hooks.poll_ends(&task);
                hooks.ended(&task);
            }
        });
    }
}
