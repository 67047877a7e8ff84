//! The budget of operations that a step may complete before it yields to other tasks.
//!
//! An operation that is ready at once returns without suspending. A task that loops over such
//! operations would run forever, and no other task, timer or descriptor would be served. So the
//! loop keeps one budget for each step, and every operation on a descriptor that completes spends
//! one unit of it. When the budget is used up, the next operation wakes its task and returns
//! `Pending`.
//!
//! Several futures of one task share the step, and the first of them may spend all of it each time.
//! So an operation that one step has refused is allowed in the next step that polls it.

use std::cell::Cell;
use std::task::{Context, Poll};

use crate::event_loop::LoopRef;
use crate::event_loop::running::with_running;

/// The number of operations in one step.
const UNITS: u32 = 16;

/// The budget of the step that runs now, kept by the loop.
#[derive(Debug, Default)]
pub(crate) struct StepBudget {
    /// The number of the step that `spent` belongs to.
    step: Cell<usize>,
    spent: Cell<u32>,
}

impl StepBudget {
    /// Spends one unit in the step with this number; false if none is left.
    #[inline]
    fn spend(&self, step: usize) -> bool {
        let spent = if self.step.get() == step { self.spent.get() } else { 0 };
        self.step.set(step);
        self.spent.set(spent.saturating_add(1));
        spent < UNITS
    }

    /// Returns the unit that the running step spent last.
    #[inline]
    fn refund(&self) {
        self.spent.set(self.spent.get().saturating_sub(1));
    }
}

/// An operation's share of the budget. It belongs to the future, or to the stream that the future
/// reads from.
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use asyncio_loop::EventLoop;
/// use asyncio_loop::machinery::Share;
///
/// let event_loop = EventLoop::new()?;
/// event_loop.run_until_complete(async {
///     for _ in 0..100 {
///         let share = Share::default();
///         poll_fn(|cx| share.poll(cx, |_| Poll::Ready(()))).await;
///     }
/// })?;
/// assert!(event_loop.turns() > 5, "the task gave way several times");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Share {
    /// The step that refused the operation last.
    refused_in: Cell<Option<usize>>,
}

impl Share {
    /// Polls `operation`, which spends one unit of the step's budget if it completes. If none is
    /// left, wakes the task and returns `Pending` instead.
    ///
    /// Outside a loop there is no limit.
    #[inline]
    pub fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let spent = with_running(|event_loop| self.spend(event_loop));
        if spent == Ok(false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let result = operation(cx);
        if result.is_pending() {
            // The call fails outside a loop.
            let _ = with_running(|event_loop| event_loop.step_budget().refund());
        }
        result
    }

    /// Spends one unit; false if the operation has to wait for the next step.
    #[inline]
    fn spend(&self, event_loop: &LoopRef) -> bool {
        let step = event_loop.scheduler().steps();
        let has_left = event_loop.step_budget().spend(step);
        if has_left && self.refused_in.get().is_none() {
            return true;
        }
        self.settle(event_loop, step, has_left)
    }

    /// Whether the operation may go on, since the budget has something left or an earlier step has
    /// refused it.
    #[cold]
    fn settle(&self, event_loop: &LoopRef, step: usize, has_left: bool) -> bool {
        let refused_before = self.refused_in.take().is_some_and(|refused| refused != step);
        if has_left || refused_before {
            return true;
        }
        self.refused_in.set(Some(step));
        event_loop.pace().read_next();
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::rc::Rc;

    use super::*;
    use crate::{EventLoop, TaskOptions};

    /// Completes an operation that is ready at once.
    async fn operate() {
        let share = Share::default();
        poll_fn(|cx| share.poll(cx, |_| Poll::Ready(()))).await;
    }

    /// Runs `task` in a loop beside others, and returns the number of turns.
    fn turns(task: impl Future<Output = ()> + 'static) -> u64 {
        let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
        event_loop.run_until_complete(task).unwrap();
        event_loop.turns()
    }

    #[test]
    fn a_task_gives_way_when_its_step_has_spent_its_budget() {
        let rounds = 10 * u64::from(UNITS);
        let task = async move {
            for _ in 0..rounds {
                operate().await;
            }
        };
        assert_eq!(turns(task), rounds / u64::from(UNITS));
    }

    #[test]
    fn what_waits_spends_nothing() {
        let share = Share::default();
        let mut polls = 0;
        let task = poll_fn(move |cx| {
            polls += 1;
            for _ in 0..2 * UNITS {
                assert!(share.poll(cx, |_| Poll::<()>::Pending).is_pending());
            }
            assert!(share.poll(cx, |_| Poll::Ready(())).is_ready(), "{polls}");
            Poll::Ready(())
        });
        assert_eq!(turns(task), 1);
    }

    #[test]
    fn tasks_have_budgets_of_their_own() {
        let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
        let rounds = u64::from(UNITS);
        let tasks = (0..3).map(|_| {
            let task = async move {
                for _ in 0..rounds {
                    operate().await;
                }
            };
            event_loop.spawn(task, TaskOptions::new()).unwrap()
        });
        let tasks: Vec<_> = tasks.collect();
        event_loop.run_until_complete(async {}).unwrap();
        assert!(tasks.iter().all(|task| task.task().is_done()), "one turn is enough");
    }

    #[test]
    fn a_future_that_spends_all_of_each_step_leaves_some_to_the_others_of_its_task() {
        let (greedy, served) = (Rc::new(Cell::new(0_u32)), Rc::new(Cell::new(0_u32)));
        let task = {
            let (greedy, served) = (Rc::clone(&greedy), Rc::clone(&served));
            let (first, second) = (Share::default(), Share::default());
            poll_fn(move |cx| {
                while first.poll(cx, |_| Poll::Ready(())).is_ready() {
                    greedy.set(greedy.get() + 1);
                }
                while second.poll(cx, |_| Poll::Ready(())).is_ready() {
                    served.set(served.get() + 1);
                }
                if served.get() >= 5 { Poll::Ready(()) } else { Poll::Pending }
            })
        };
        assert!(turns(task) <= 10);
        assert!(greedy.get() <= 10 * (UNITS + 1), "each step has an end: {greedy:?}");
    }

    #[test]
    fn two_futures_that_are_always_ready_do_not_keep_each_other_going() {
        let (first, second) = (Share::default(), Share::default());
        let mut steps = 0;
        let task = poll_fn(move |cx| {
            steps += 1;
            for round in 0.. {
                assert!(round < 2 * UNITS, "the step ends");
                let one = first.poll(cx, |_| Poll::Ready(())).is_ready();
                if !one && second.poll(cx, |_| Poll::Ready(())).is_pending() {
                    break;
                }
            }
            if steps == 5 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert_eq!(turns(task), 5);
    }
}
