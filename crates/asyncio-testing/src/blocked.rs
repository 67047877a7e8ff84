//! Waiting until all other tasks wait.

use std::cell::Cell;

use asyncio_loop::running_loop;
use asyncio_task::yield_now;

/// How many tasks of a loop are in `wait_all_tasks_blocked`.
#[derive(Debug, Default)]
struct Waiting(Cell<usize>);

/// Counts a waiter until it is done or dropped.
struct Waiter(std::rc::Rc<Waiting>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// Waits until every other task of this loop is blocked: no task is ready, and the next event is a
/// deadline or comes from outside of the loop.
///
/// A virtual clock does not advance meanwhile. Sockets, other threads and jobs are outside of the
/// loop: a task that waits for one of them is blocked.
///
/// # Cancel safety
///
/// A dropped future has no effect.
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_future, create_task, run};
/// use asyncio_testing::wait_all_tasks_blocked;
///
/// run(async {
///     let promise = create_future::<()>();
///     let waiter = create_task(promise.clone());
///     wait_all_tasks_blocked().await;
///     assert!(!waiter.is_done(), "it waits for the promise");
///     promise.set_result(()).unwrap();
///     wait_all_tasks_blocked().await;
///     assert!(waiter.is_done());
/// });
/// ```
pub async fn wait_all_tasks_blocked() {
    let event_loop = running_loop();
    let waiting = event_loop.local::<Waiting>();
    waiting.0.set(waiting.0.get() + 1);
    let waiter = Waiter(waiting);
    loop {
        yield_now().await;
        // Other tasks in `wait_all_tasks_blocked` are always ready.
        let waiters = waiter.0.0.get() - 1;
        if event_loop.ready_count() <= waiters && event_loop.remote_mark() == 0 {
            return;
        }
    }
}
