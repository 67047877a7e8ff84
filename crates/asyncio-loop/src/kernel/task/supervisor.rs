//! The interface between the loop, which polls tasks, and cancellation scopes.

use std::any::Any;
use std::rc::Rc;

/// Decides, at each poll, how a task that was asked to end goes on.
///
/// A task without a supervisor drops its future at its next step after it was asked to end. A task
/// with a supervisor is polled and dropped as the supervisor decides. This is the interface between
/// the loop, which polls tasks, and the code for cancellation scopes.
///
/// # Examples
///
/// ```
/// # use asyncio_loop::machinery::TaskControl;
/// use std::any::Any;
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio_loop::{EventLoop, TaskOptions};
/// use asyncio_loop::machinery::{Supervisor, Verdict};
///
/// /// Grants one more poll to a task that was asked to end.
/// struct OnceMore(Cell<bool>);
///
/// impl Supervisor for OnceMore {
///     fn before_poll(self: Rc<Self>) -> Verdict {
///         if self.0.replace(false) { Verdict::Continue } else { Verdict::End }
///     }
///
///     fn after_poll(self: Rc<Self>, _ready: bool) -> Verdict {
///         Verdict::Continue
///     }
///
///     fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
///         self
///     }
/// }
///
/// let event_loop = EventLoop::new()?;
/// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
/// raw.task().set_supervisor(Some(Rc::new(OnceMore(Cell::new(true)))));
/// raw.task().request_cancel();
/// event_loop.run_until_complete(async {})?;
/// assert!(raw.task().is_ending() && !raw.task().is_done());
/// raw.task().wake();
/// event_loop.run_until_complete(async {})?;
/// assert!(raw.task().is_cancelled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Supervisor {
    /// Asked before each poll.
    fn before_poll(self: Rc<Self>) -> Verdict;

    /// Asked after each poll; `ready` says that the future has returned its output.
    fn after_poll(self: Rc<Self>, ready: bool) -> Verdict;

    /// Told when the task has ended, however it did.
    fn ended(self: Rc<Self>) {}

    /// Returns the supervisor as `dyn Any`, for downcasts.
    fn into_any(self: Rc<Self>) -> Rc<dyn Any>;
}

/// The decision of a [`Supervisor`]; see its example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on as if there were no request.
    Continue,
    /// Drop the future, or the output if there is one already: the task ends cancelled.
    End,
}
