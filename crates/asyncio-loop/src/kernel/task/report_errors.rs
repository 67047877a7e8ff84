//! Which tasks have an error in their output reported if it is not observed.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;

use super::error_text::ErrorText;
use super::raw_task::RawTask;
use crate::kernel::header::LOOKED_FOR;

/// The types of outputs that a loop looks for errors in.
#[derive(Default)]
pub(crate) struct ErrorTexts(RefCell<HashMap<TypeId, ErrorText>>);

impl ErrorTexts {
    /// Adds `Result<T, E>`.
    pub(crate) fn add<T: 'static, E: Display + 'static>(&self) {
        self.0.borrow_mut().insert(TypeId::of::<Result<T, E>>(), ErrorText::of::<T, E>());
    }

    /// Has an error in the output of a task reported, if its type is one of these.
    pub(crate) fn look_at<T: 'static>(&self, task: &RawTask<T>) {
        if let Some(text) = self.0.borrow().get(&TypeId::of::<T>()) {
            // `T` is the type that the function was made for.
            set(task, *text);
        }
    }
}

/// `text` is for outputs of type `T`.
fn set<T>(task: &RawTask<T>, text: ErrorText) {
    let task = task.task().ptr();
    task.with_extra(|extra| extra.get_or_insert().error_text = Some(text));
    task.set(LOOKED_FOR);
}

impl<T, E: Display> RawTask<Result<T, E>> {
    /// Reports an error in the output if it is not observed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let seen = Rc::new(RefCell::new(String::new()));
    /// let see = Rc::clone(&seen);
    /// event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
    ///     see.replace(context.error().unwrap().to_string());
    /// })));
    /// let task = event_loop.spawn(async { Err::<(), _>("no luck") }, TaskOptions::new())?;
    /// task.report_errors();
    /// drop(task);
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(*seen.borrow(), "no luck");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn report_errors(&self) {
        set(self, ErrorText::of::<T, E>());
    }
}
