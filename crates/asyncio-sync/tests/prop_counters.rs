//! Counters that calls of a user can bring out of step stop at 0: nothing wraps, panics or hangs.

mod common;

use std::pin::{Pin, pin};
use std::task::Poll;

use asyncio_sync::{Barrier, BoundedSemaphore, HeldPermit, Queue, Semaphore, mixed};
use common::poll;
use proptest::prelude::*;

/// The case `queue_shutdown_now`: `task_done` for an item that is still in the queue.
#[test]
fn queue_shutdown_now() {
    let queue = Queue::new();
    queue.put_nowait(1).unwrap();
    queue.task_done().unwrap();
    queue.shutdown_now();
    assert_eq!(queue.unfinished(), 0);
    assert!(poll(pin!(queue.join())).is_ready());
}

#[test]
fn queue_shutdown_now_of_a_mixed_queue() {
    let queue = mixed::Queue::new();
    let (sync, tasks) = (queue.sync_side(), queue.async_side());
    sync.put(1).unwrap();
    tasks.task_done().unwrap();
    sync.shutdown_now();
    assert_eq!((sync.unfinished(), tasks.unfinished()), (0, 0));
    sync.join();
    assert!(poll(pin!(tasks.join())).is_ready());
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Put,
    Get,
    TaskDone,
    ShutdownNow,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        8 => Just(Call::Put),
        4 => Just(Call::Get),
        6 => Just(Call::TaskDone),
        1 => Just(Call::ShutdownNow),
    ];
    prop::collection::vec(call, 0..60)
}

/// What CPython 3.13 counts.
#[derive(Default)]
struct Model {
    items: usize,
    unfinished: usize,
    shut_down: bool,
}

impl Model {
    /// Whether the call succeeds.
    fn call(&mut self, call: Call) -> bool {
        match call {
            Call::Put if self.shut_down => return false,
            Call::Put => {
                self.items += 1;
                self.unfinished += 1;
            }
            Call::Get if self.items == 0 => return false,
            Call::Get => self.items -= 1,
            Call::TaskDone if self.unfinished == 0 => return false,
            Call::TaskDone => self.unfinished -= 1,
            Call::ShutdownNow => {
                self.unfinished = self.unfinished.saturating_sub(self.items);
                self.items = 0;
                self.shut_down = true;
            }
        }
        true
    }
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Arrive,
    Leave(usize),
    Poll(usize),
    Reset,
    Abort,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        5 => Just(Move::Arrive),
        3 => any::<usize>().prop_map(Move::Leave),
        5 => any::<usize>().prop_map(Move::Poll),
        1 => Just(Move::Reset),
        1 => Just(Move::Abort),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn queues_count_as_cpython_does(calls in calls()) {
        let (queue, mut model) = (Queue::new(), Model::default());
        for call in calls {
            let fine = match call {
                Call::Put => queue.put_nowait(()).is_ok(),
                Call::Get => queue.get_nowait().is_ok(),
                Call::TaskDone => queue.task_done().is_ok(),
                Call::ShutdownNow => {
                    queue.shutdown_now();
                    true
                }
            };
            prop_assert_eq!(fine, model.call(call));
            prop_assert_eq!(queue.unfinished(), model.unfinished);
            prop_assert_eq!(poll(pin!(queue.join())).is_ready(), model.unfinished == 0);
        }
    }

    #[test]
    fn mixed_queues_count_as_cpython_does(calls in calls()) {
        let (queue, mut model) = (mixed::Queue::new(), Model::default());
        let side = queue.async_side();
        for call in calls {
            let fine = match call {
                Call::Put => side.put_nowait(()).is_ok(),
                Call::Get => side.get_nowait().is_ok(),
                Call::TaskDone => side.task_done().is_ok(),
                Call::ShutdownNow => {
                    side.shutdown_now();
                    true
                }
            };
            prop_assert_eq!(fine, model.call(call));
            prop_assert_eq!(side.unfinished(), model.unfinished);
            prop_assert_eq!(poll(pin!(side.join())).is_ready(), model.unfinished == 0);
        }
    }

    /// Permits are taken, dropped, forgotten and released by hand in any order.
    #[test]
    fn permits_are_counted(steps in prop::collection::vec(0..4_u8, 0..80), permits in 0..4_usize) {
        let (semaphore, bounded) = (Semaphore::new(permits), BoundedSemaphore::new(permits));
        let (mut held, mut held_bounded) = (vec![], vec![]);
        let (mut free, mut free_bounded) = (permits, permits);
        for step in steps {
            match step {
                0 => {
                    let (one, other) = (semaphore.try_acquire(), bounded.try_acquire());
                    prop_assert_eq!(one.is_some(), free > 0);
                    prop_assert_eq!(other.is_some(), free_bounded > 0);
                    (free, free_bounded) = (free - held_by(&one), free_bounded - held_by(&other));
                    held.extend(one);
                    held_bounded.extend(other);
                }
                1 => {
                    let (one, other) = (held.pop(), held_bounded.pop());
                    (free, free_bounded) = (free + held_by(&one), free_bounded + held_by(&other));
                }
                2 => {
                    held.pop().into_iter().for_each(HeldPermit::forget);
                    held_bounded.pop().into_iter().for_each(HeldPermit::forget);
                }
                _ => {
                    semaphore.release();
                    free += 1;
                    let forgotten = permits - free_bounded - held_bounded.len();
                    prop_assert_eq!(bounded.release().is_ok(), forgotten > 0);
                    free_bounded += usize::from(forgotten > 0);
                }
            }
            prop_assert_eq!(semaphore.available(), free);
            prop_assert_eq!(bounded.available(), free_bounded);
        }
    }

    /// Parties arrive, leave, reset and abort in any order; after that the barrier still works.
    #[test]
    fn barriers_count_their_parties(moves in moves(), parties in 1..4_usize) {
        let barrier = Barrier::new(parties);
        let mut waits: Vec<Pin<Box<dyn Future<Output = _> + '_>>> = vec![];
        for step in moves {
            match step {
                Move::Arrive => waits.push(Box::pin(barrier.wait())),
                Move::Leave(n) if !waits.is_empty() => drop(waits.swap_remove(n % waits.len())),
                Move::Poll(n) if !waits.is_empty() => {
                    let at = n % waits.len();
                    if let Poll::Ready(outcome) = poll(waits[at].as_mut()) {
                        drop(waits.swap_remove(at));
                        prop_assert!(outcome.is_ok_and(|n| n < parties) || outcome.is_err());
                    }
                }
                Move::Leave(_) | Move::Poll(_) => {}
                Move::Reset => barrier.reset(),
                Move::Abort => barrier.abort(),
            }
            prop_assert!(barrier.n_waiting() <= parties);
        }
        waits.clear();
        barrier.reset();
        let mut all: Vec<_> = (0..parties).map(|_| Box::pin(barrier.wait())).collect();
        let polled = all.iter_mut().map(|wait| poll(wait.as_mut()).is_ready()).filter(|it| *it);
        prop_assert_eq!(polled.count(), 1, "the last one does not wait");
        prop_assert!(all[..parties - 1].iter_mut().all(|wait| poll(wait.as_mut()).is_ready()));
    }
}

fn held_by<T>(permit: &Option<T>) -> usize {
    usize::from(permit.is_some())
}
