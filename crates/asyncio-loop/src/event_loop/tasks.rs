//! Making tasks, and finding them.

use super::{LoopRef, TaskFactory};
use crate::error::LoopClosed;
use crate::kernel::{RawTask, TaskRef};
use crate::spawn::TaskOptions;

impl LoopRef {
    /// Makes a task of `future`. This is what `create_task` is made of.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`]; the future is dropped unpolled.
    #[inline]
    pub fn spawn<F: Future + 'static>(
        &self,
        future: F,
        mut options: TaskOptions,
    ) -> Result<RawTask<F::Output>, LoopClosed> {
        if !self.is_closed() {
            self.apply_factory(&mut options);
        }
        // Looked at after the factory, which may have closed it.
        if self.is_closed() {
            return Err(LoopClosed(()));
        }
        let mut how = options.into_spawn();
        // A step outside of a run could be cut short by a close.
        how.eager = how.eager && self.is_running();
        Ok(self.0.home.spawn(future, how))
    }

    #[inline]
    pub(super) fn apply_factory(&self, options: &mut TaskOptions) {
        if self.0.has_factory.get() && !options.hidden {
            self.call_factory(options);
        }
    }

    #[cold]
    fn call_factory(&self, options: &mut TaskOptions) {
        let factory = self.0.factory.borrow().clone();
        if let Some(factory) = factory {
            factory(self, options);
        }
    }

    /// Has `factory` look at every new task's options, or nobody.
    ///
    /// # From asyncio
    ///
    /// The factory changes how a task is made (its name, its context, whether it starts eagerly)
    /// but does not make it: a task's future has a type of its own.
    pub fn set_task_factory(&self, factory: Option<TaskFactory>) {
        self.0.has_factory.set(factory.is_some());
        let old = self.0.factory.replace(factory);
        drop(old);
    }

    /// The task factory, if one was set.
    #[doc(alias = "get_task_factory")]
    #[must_use]
    pub fn task_factory(&self) -> Option<TaskFactory> {
        self.0.factory.borrow().clone()
    }

    /// The task that is being stepped; `None` inside a plain callback, and outside of steps.
    #[must_use]
    pub fn current_task(&self) -> Option<TaskRef> {
        self.0.home.current()
    }

    /// Every unfinished task of this loop, oldest first.
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.0.home.tasks()
    }
}
