//! The children of a task group.

use std::ops::Deref;

use super::LoopRef;
use crate::kernel::{ChildSet, RawTask};
use crate::spawn::TaskOptions;

/// Tasks that are polled by the owner of this set, and may borrow values that live for `'a`.
///
/// Dropping it drops every future, and every output that was not taken, at once and on this thread.
/// An output that was borrowed by [`RawTask::peek`] stays with its handle. If the set is leaked,
/// the futures leak with it, and are never polled again.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use asyncio_loop::{EventLoop, TaskOptions, running_loop};
/// use asyncio_loop::machinery::Children;
///
/// let event_loop = EventLoop::new()?;
/// let sum = Cell::new(0);
/// event_loop.run_until_complete(async {
///     let children = Children::new(&running_loop());
///     for number in 1..=3 {
///         let sum = &sum;
///         drop(children.spawn(async move { sum.set(sum.get() + number) }, TaskOptions::new()));
///     }
///     poll_fn(|cx| {
///         children.set_waker(cx);
///         while children.step() {}
///         if children.live() == 0 { Poll::Ready(()) } else { Poll::Pending }
///     })
///     .await;
/// })?;
/// assert_eq!(sum.get(), 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Children<'a> {
    set: ChildSet<'a>,
    event_loop: LoopRef,
}

impl<'a> Deref for Children<'a> {
    type Target = ChildSet<'a>;

    #[inline]
    fn deref(&self) -> &ChildSet<'a> {
        &self.set
    }
}

impl<'a> Children<'a> {
    /// Makes an empty set of a loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    /// use asyncio_loop::machinery::Children;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.loop_ref());
    /// assert_eq!((children.live(), children.ready()), (0, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(event_loop: &LoopRef) -> Self {
        Self { set: event_loop.0.scheduler.children(), event_loop: event_loop.clone() }
    }

    /// Makes a child, to be polled by this set. Every child is a task: it has a number and a
    /// context, and is found by `all_tasks`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    /// use asyncio_loop::machinery::Children;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let name = String::from("borrowed");
    /// let children = Children::new(&event_loop.loop_ref());
    /// let mut child = children.spawn(async { name.len() }, TaskOptions::new());
    /// assert!(event_loop.all_tasks().contains(child.task()));
    /// assert!(children.step());
    /// assert!(matches!(child.take(), Some(asyncio_loop::Outcome::Value(8))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn<F: Future + 'a>(&self, future: F, mut options: TaskOptions) -> RawTask<F::Output> {
        self.event_loop.apply_factory(&mut options);
        let how = options.take_spawn(|| self.event_loop.is_running());
        self.set.spawn_with(future, how)
    }
}
