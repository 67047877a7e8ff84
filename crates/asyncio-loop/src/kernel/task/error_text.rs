//! Outputs of tasks that are errors, and that nobody looks at.
//!
//! The output of a task is of any type. Who knows that it is a `Result` gives the task a function
//! that finds the error in it, with which the kernel asks an output that it is about to drop.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;

use super::header::TaskPtr;
use super::raw_task::RawTask;
use crate::kernel::header::{LOOKED_FOR, RunnableRef};
use crate::kernel::host::{self, Failure, report_panic};
use crate::kernel::panics::catch;

/// The function that gives the text of the error in an output of one type.
///
/// Its parameter is the address of such an output.
#[derive(Clone, Copy)]
pub(super) struct ErrorText(unsafe fn(*const ()) -> Option<String>);

impl ErrorText {
    fn of<T, E: Display>() -> Self {
        Self(text::<T, E>)
    }
}

/// # Safety
///
/// `output` is the address of a `Result<T, E>`.
unsafe fn text<T, E: Display>(output: *const ()) -> Option<String> {
    // SAFETY: the caller's promise.
    let output = unsafe { &*output.cast::<Result<T, E>>() };
    // Some errors show what has caused them in this form.
    output.as_ref().err().map(|error| format!("{error:#}"))
}

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
    /// Has an error in the output reported if nobody looks at it.
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

/// The text of the error in an output that is about to be dropped, if somebody asked for it.
///
/// # Safety
///
/// `output` is the address of an output of `task`.
#[cold]
pub(super) unsafe fn unseen_error(task: TaskPtr, output: *const ()) -> Option<String> {
    let ErrorText(text) = task.with_extra(|extra| extra.get().and_then(|x| x.error_text))?;
    // To show an error is code of a user.
    // SAFETY: `set` gave the task a function for its type of output; the caller's promise.
    catch(|| unsafe { text(output) }).unwrap_or_else(|payload| {
        report_panic(task.type_name(), payload);
        None
    })
}

/// Reports an error that nobody has looked at.
#[cold]
pub(super) fn report(task: &RunnableRef, text: String) {
    host::report(Failure::Error { task, text });
}
