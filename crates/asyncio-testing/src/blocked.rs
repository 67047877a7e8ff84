//! Waiting until everything else waits.

use std::cell::Cell;

use asyncio_loop::running_loop;
use asyncio_task::yield_now;

/// How many tasks of a loop wait for the others to block.
#[derive(Debug, Default)]
struct Waiting(Cell<usize>);

/// Counts a waiter, also if it is dropped.
struct Waiter(std::rc::Rc<Waiting>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// Waits until every other task of this loop is blocked: nothing is ready, and the next thing to
/// happen is a deadline, or comes from outside.
///
/// The clock does not move meanwhile, virtual or not. Sockets, other threads and jobs are outside:
/// a task that waits for one of them is blocked.
///
/// # Cancel safety
///
/// Nothing is lost.
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
        // Others that wait for the same are ready all the time.
        let waiters = waiter.0.0.get() - 1;
        if event_loop.ready_count() <= waiters && event_loop.remote_mark() == 0 {
            return;
        }
    }
}
