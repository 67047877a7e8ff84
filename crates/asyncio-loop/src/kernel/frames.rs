//! The stack of frames that are being polled on this thread, and whether futures are being dropped
//! because they were cancelled.
//!
//! A cancellation scope pushes a frame around each poll of its body, so that a scope inside it can
//! find it. A push and its pop cost two stores.

use std::any::Any;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::ptr::NonNull;

thread_local! {
    static TOP: Cell<Option<NonNull<Link>>> = const { Cell::new(None) };
    static CANCELLING: Cell<bool> = const { Cell::new(false) };
}

/// A frame and a pointer to the next one. It lives in the stack frame of the call that pushed it.
#[derive(Clone, Copy)]
struct Link {
    frame: NonNull<dyn Any>,
    boundary: bool,
    below: Option<NonNull<Self>>,
}

/// Sets the top of the stack back when dropped.
struct Restore(Option<NonNull<Link>>);

impl Drop for Restore {
    #[inline]
    fn drop(&mut self) {
        TOP.set(self.0);
    }
}

#[inline]
fn push<R>(frame: &dyn Any, boundary: bool, f: impl FnOnce() -> R) -> R {
    let below = TOP.get();
    let link = Link { frame: NonNull::from(frame), boundary, below };
    // Dropped before `link`, on return and when `f` unwinds.
    let _restore = Restore(below);
    TOP.set(Some(NonNull::from(&link)));
    f()
}

/// Runs `f` with `frame` on top of this thread's stack of frames.
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow;
/// use asyncio_loop::machinery::{visit_frames, with_frame};
///
/// let innermost = || visit_frames(|frame, _| ControlFlow::Break(frame.is::<u32>()));
/// assert_eq!(with_frame(&1u32, innermost), Some(true));
/// assert_eq!(innermost(), None, "it is gone");
/// ```
#[inline]
pub fn with_frame<R>(frame: &dyn Any, f: impl FnOnce() -> R) -> R {
    push(frame, false, f)
}

/// Runs `f` with `frame` on top of the stack as a boundary: the futures that `f` polls are other
/// tasks.
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow;
/// use asyncio_loop::machinery::{visit_frames, with_boundary};
///
/// let is_boundary = || visit_frames(|_, boundary| ControlFlow::Break(boundary));
/// assert_eq!(with_boundary(&(), is_boundary), Some(true));
/// ```
#[inline]
pub fn with_boundary<R>(frame: &dyn Any, f: impl FnOnce() -> R) -> R {
    push(frame, true, f)
}

/// Runs `f`, a poll inside a poll, with an empty stack, where nothing is being cancelled.
pub(super) fn isolated<R>(f: impl FnOnce() -> R) -> R {
    let _restore = Restore(TOP.take());
    without_cancelling(f)
}

/// Calls `visit` with the frames, the innermost one first, until it breaks; the second argument
/// says whether the frame is a boundary.
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow;
/// use asyncio_loop::machinery::{visit_frames, with_boundary, with_frame};
///
/// let depths = with_frame(&1u32, || {
///     with_boundary(&2u32, || {
///         let mut seen = Vec::new();
///         visit_frames(|frame, boundary| {
///             seen.push((*frame.downcast_ref::<u32>().unwrap(), boundary));
///             ControlFlow::<()>::Continue(())
///         });
///         seen
///     })
/// });
/// assert_eq!(depths, [(2, true), (1, false)]);
/// ```
pub fn visit_frames<B>(mut visit: impl FnMut(&dyn Any, bool) -> ControlFlow<B>) -> Option<B> {
    let mut next = TOP.get();
    while let Some(link) = next {
        // SAFETY: promise 8: a link in the stack is in a live call of `push` further up this
        // thread's stack, which does not return while `visit` runs.
        let link = unsafe { link.read() };
        // SAFETY: as above: that call borrows the frame.
        let frame = unsafe { link.frame.as_ref() };
        if let ControlFlow::Break(value) = visit(frame, link.boundary) {
            return Some(value);
        }
        next = link.below;
    }
    None
}

/// Whether the task that is being polled has no frame of its own.
#[inline]
pub(super) fn is_bare() -> bool {
    match TOP.get() {
        None => true,
        // SAFETY: promise 8.
        Some(link) => unsafe { link.read() }.boundary,
    }
}

/// Runs `f`, which drops futures because they were cancelled.
///
/// # Examples
///
/// ```
/// use asyncio_loop::is_cancelling;
/// use asyncio_loop::machinery::while_cancelling;
///
/// struct Guard;
///
/// impl Drop for Guard {
///     fn drop(&mut self) {
///         assert!(is_cancelling());
///     }
/// }
///
/// while_cancelling(|| drop(Guard));
/// assert!(!is_cancelling());
/// ```
pub fn while_cancelling<R>(f: impl FnOnce() -> R) -> R {
    let _reset = Reset(CANCELLING.replace(true));
    f()
}

/// Runs `f`, which polls another task, perhaps from a destructor of one that was cancelled.
pub(super) fn without_cancelling<R>(f: impl FnOnce() -> R) -> R {
    let _reset = Reset(CANCELLING.replace(false));
    f()
}

/// Restores the flag when dropped.
struct Reset(bool);

impl Drop for Reset {
    fn drop(&mut self) {
        CANCELLING.set(self.0);
    }
}

/// Whether futures are being dropped on this thread because they were cancelled, and not because
/// code simply drops them.
///
/// # Examples
///
/// ```
/// # use asyncio_loop::machinery::TaskControl;
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio_loop::{EventLoop, TaskOptions, is_cancelling};
///
/// struct Guard(Rc<Cell<bool>>);
///
/// impl Drop for Guard {
///     fn drop(&mut self) {
///         self.0.set(is_cancelling());
///     }
/// }
///
/// let (cancelled, event_loop) = (Rc::new(Cell::new(false)), EventLoop::new()?);
/// let guard = Guard(Rc::clone(&cancelled));
/// let raw = event_loop.spawn(async move { drop(guard) }, TaskOptions::new())?;
/// raw.task().request_cancel();
/// event_loop.run_until_complete(async {})?;
/// assert!(cancelled.get());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
#[must_use]
pub fn is_cancelling() -> bool {
    CANCELLING.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn numbers() -> Vec<(u32, bool)> {
        let mut seen = Vec::new();
        visit_frames(|frame, boundary| {
            seen.push((*frame.downcast_ref::<u32>().unwrap(), boundary));
            ControlFlow::<()>::Continue(())
        });
        seen
    }

    #[test]
    fn frames_are_seen_from_the_innermost_one_outwards() {
        assert!(is_bare());
        with_frame(&1u32, || {
            assert!(!is_bare());
            with_boundary(&2u32, || {
                assert!(is_bare());
                with_frame(&3u32, || {
                    assert_eq!(numbers(), [(3, false), (2, true), (1, false)]);
                    isolated(|| assert_eq!(numbers(), []));
                });
            });
            assert_eq!(numbers(), [(1, false)]);
        });
        assert_eq!(numbers(), []);
    }

    #[test]
    fn a_panic_pops_its_frames() {
        let result = catch_unwind(AssertUnwindSafe(|| {
            with_frame(&1u32, || with_frame(&2u32, || panic!("out")));
        }));
        assert!(result.is_err());
        assert_eq!(numbers(), []);
    }

    #[test]
    fn cancelling_ends_with_the_outermost_call() {
        while_cancelling(|| {
            while_cancelling(|| ());
            without_cancelling(|| assert!(!is_cancelling()));
            isolated(|| assert!(!is_cancelling()));
            assert!(is_cancelling());
        });
        assert!(!is_cancelling());
    }
}
