//! The part of a suspended task's stack that is always known: the place where it was made, and the
//! place where it waits.

use std::fmt;
use std::io::{self, Write};
use std::panic::Location;

use super::task_info::{TaskInfo, TaskState};
use crate::kernel::TaskRef;

/// One line of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The line of code.
    pub location: &'static Location<'static>,
    /// The description of the frame: the function of the task, or what it waits for. Empty if it is
    /// not known.
    pub what: String,
    /// Whether the line is inside a future.
    pub is_async: bool,
}

impl Frame {
    /// Makes a frame of a function that is no future.
    #[doc(hidden)]
    #[must_use]
    pub fn plain(location: &'static Location<'static>) -> Self {
        Self { location, what: String::new(), is_async: false }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File '{}', line {}", self.location.file(), self.location.line())?;
        match (self.is_async, self.what.is_empty()) {
            (_, true) => Ok(()),
            (true, false) => write!(f, ", in async {}", self.what),
            (false, false) => write!(f, ", in {}", self.what),
        }
    }
}

impl TaskInfo {
    /// The stack of the task, the oldest frame first: its function with the place where the task
    /// was made, and the place where it waits. Empty if it has ended.
    ///
    /// Calls of async functions in between are not known: a compiled program keeps no trace of
    /// them.
    #[must_use]
    pub fn stack(&self) -> Vec<Frame> {
        if matches!(self.state, TaskState::Finished | TaskState::Cancelled | TaskState::Panicked) {
            return Vec::new();
        }
        let what = format!("{}()", self.function());
        let mut stack = vec![Frame { location: self.created_at, what, is_async: true }];
        if let Some(wait) = &self.wait {
            if let Some(location) = wait.at {
                stack.push(Frame { location, what: format!("wait for {wait}"), is_async: true });
            }
        }
        stack
    }
}

impl TaskRef {
    /// The stack of the task, the oldest frame first; the newest `limit` frames of it.
    ///
    /// # From asyncio
    ///
    /// `Task.get_stack`. There are two frames at most: see [`TaskInfo::stack`].
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let task = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert_eq!(task.task().stack(None)[0].location, task.task().site());
    /// assert!(task.task().stack(Some(0)).is_empty());
    /// # event_loop.run_until_complete(async {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_stack")]
    #[must_use]
    pub fn stack(&self, limit: Option<usize>) -> Vec<Frame> {
        let mut stack = self.info().stack();
        if let Some(limit) = limit {
            stack.drain(..stack.len().saturating_sub(limit));
        }
        stack
    }

    /// Writes the stack of the task, the newest `limit` frames of it.
    ///
    /// # Errors
    ///
    /// Those of `writer`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let task = event_loop.spawn(async {}, TaskOptions::new().name("worker"))?;
    /// let mut text = Vec::new();
    /// task.task().print_stack(&mut text, None)?;
    /// assert!(String::from_utf8(text)?.starts_with("Stack for <Task \"worker\" ready"));
    /// # event_loop.run_until_complete(async {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn print_stack(&self, writer: &mut impl Write, limit: Option<usize>) -> io::Result<()> {
        let stack = self.stack(limit);
        if stack.is_empty() {
            return writeln!(writer, "No stack for {self:?}");
        }
        writeln!(writer, "Stack for {self:?} (most recent call last):")?;
        stack.iter().try_for_each(|frame| writeln!(writer, "  {frame}"))
    }
}
