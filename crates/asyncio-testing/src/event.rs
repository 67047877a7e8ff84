//! Events of a program, in order.

use std::cell::RefCell;

use asyncio_loop::running_loop;

use crate::conductor::Conductor;

/// The events of a loop.
#[derive(Debug, Default)]
struct Events(RefCell<Vec<String>>);

/// Records an event for [`assert_trace!`](crate::assert_trace). In a simulation, the event is also
/// part of the [`Trace`](crate::Trace).
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_testing::{assert_trace, event};
///
/// asyncio_task::run(async {
///     let task = asyncio_task::create_task(async { event("task") });
///     event("main");
///     task.await.unwrap();
///     assert_trace!["main", "task"];
/// });
/// ```
#[track_caller]
pub fn event(text: impl AsRef<str>) {
    let text = text.as_ref();
    match Conductor::current() {
        Some(conductor) => conductor.event(text),
        None => running_loop().local::<Events>().0.borrow_mut().push(text.to_owned()),
    }
}

/// Takes the events that were recorded on the running loop since the last call.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_testing::{event, take_events};
///
/// asyncio_task::run(async {
///     event("begin");
///     assert_eq!(take_events(), ["begin"]);
///     assert!(take_events().is_empty());
/// });
/// ```
#[must_use]
#[track_caller]
pub fn take_events() -> Vec<String> {
    match Conductor::current() {
        Some(conductor) => conductor.take_events(),
        None => running_loop().local::<Events>().0.take(),
    }
}

/// Asserts that exactly these [events](crate::event()) were recorded since the last
/// `assert_trace!`, in this order.
///
/// # Panics
///
/// If they differ. The message shows both lists.
///
/// # Examples
///
/// ```
/// use asyncio_testing::{assert_trace, event};
///
/// asyncio_task::run(async {
///     event("write");
///     event(format!("read {}", 3));
///     assert_trace!["write", "read 3"];
///     assert_trace![];
/// });
/// ```
#[macro_export]
macro_rules! assert_trace {
    ($($event:expr),* $(,)?) => {{
        let expected: ::std::vec::Vec<::std::string::String> =
            ::std::vec![$(::std::string::ToString::to_string(&$event)),*];
        ::std::assert_eq!($crate::take_events(), expected, "the events differ");
    }};
}
