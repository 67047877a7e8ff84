//! The same program on our loop and on unrelated executors.

mod common;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use asyncio_loop::{EventLoop, TaskOptions};
use asyncio_sync::{Barrier, Condition, Event, Lock, Queue, Semaphore};
use common::yield_now;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;

type Task = Pin<Box<dyn Future<Output = ()>>>;

const TASKS: usize = 20;
const ROUNDS: usize = 50;

/// Tasks that use every primitive, and the count that they reach together.
#[derive(Default)]
struct Program {
    tasks: RefCell<Vec<Task>>,
    done: Rc<Cell<usize>>,
}

impl Program {
    fn task(&self, future: impl Future<Output = ()> + 'static) {
        let done = self.done.clone();
        self.tasks.borrow_mut().push(Box::pin(async move {
            future.await;
            done.set(done.get() + 1);
        }));
    }

    fn new() -> Self {
        let program = Self::default();
        let lock = Rc::new(Lock::new(0));
        let semaphore = Rc::new(Semaphore::new(3));
        let users = Rc::new(Cell::new(0));
        let barrier = Rc::new(Barrier::new(TASKS));
        for _ in 0..TASKS {
            let (lock, semaphore) = (lock.clone(), semaphore.clone());
            let (users, barrier) = (users.clone(), barrier.clone());
            program.task(async move {
                for round in 0..ROUNDS {
                    let mut guard = lock.acquire().await;
                    let before = *guard;
                    yield_now().await;
                    *guard = before + 1;
                    drop(guard);

                    let permit = semaphore.acquire().await;
                    users.set(users.get() + 1);
                    assert!(users.get() <= 3);
                    yield_now().await;
                    users.set(users.get() - 1);
                    drop(permit);

                    barrier.wait().await.expect("whole");
                    assert!(*lock.acquire().await >= (round + 1) * TASKS);
                    barrier.wait().await.expect("whole");
                }
            });
        }
        program.hand_over();
        program.take_turns();
        program
    }

    /// Producers and consumers, over a queue and over a condition.
    fn hand_over(&self) {
        let (queue, stock) = (Rc::new(Queue::bounded(2)), Rc::new(Condition::new(0)));
        let finished = Rc::new(Event::new());
        for _ in 0..4 {
            let (queue, stock) = (queue.clone(), stock.clone());
            self.task(async move {
                for n in 0..ROUNDS {
                    queue.put(n).await.expect("open");
                    let mut guard = stock.acquire().await;
                    *guard += 1;
                    stock.notify(&guard, 1);
                }
            });
        }
        for _ in 0..4 {
            let (queue, stock, finished) = (queue.clone(), stock.clone(), finished.clone());
            self.task(async move {
                for _ in 0..ROUNDS {
                    queue.get().await.expect("open");
                    queue.task_done().expect("one was put");
                    *stock.wait_for(stock.acquire().await, |n| *n > 0).await -= 1;
                }
                finished.wait().await;
            });
        }
        self.task(async move {
            yield_now().await;
            queue.join().await;
            finished.set();
        });
    }

    /// Two tasks that wake each other.
    fn take_turns(&self) {
        let (ping, pong) = (Rc::new(Event::new()), Rc::new(Event::new()));
        for (mine, theirs) in [(ping.clone(), pong.clone()), (pong, ping.clone())] {
            self.task(async move {
                for _ in 0..ROUNDS {
                    mine.wait().await;
                    mine.clear();
                    theirs.set();
                }
            });
        }
        ping.set();
    }

    fn check(&self) {
        assert_eq!(self.done.get(), TASKS + 4 + 4 + 1 + 2);
    }
}

#[test]
fn our_loop() {
    let program = Program::new();
    let event_loop = EventLoop::new().expect("a poller");
    let tasks: Vec<_> = program
        .tasks
        .take()
        .into_iter()
        .map(|task| event_loop.spawn(task, TaskOptions::new()).expect("open"))
        .collect();
    let joined = event_loop.run_until_complete(async {
        for mut task in tasks {
            std::future::poll_fn(|cx| task.poll_join(cx)).await;
        }
    });
    assert!(joined.is_ok());
    program.check();
}

#[test]
fn futures_local_pool() {
    let program = Program::new();
    let mut pool = LocalPool::new();
    for task in program.tasks.take() {
        pool.spawner().spawn_local(task).expect("the pool was made");
    }
    pool.run();
    program.check();
}

#[test]
fn tokio_local_set() {
    let program = Program::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let set = tokio::task::LocalSet::new();
    for task in program.tasks.take() {
        set.spawn_local(task);
    }
    runtime.block_on(set);
    program.check();
}

#[test]
fn one_task_of_many() {
    // `join_all` polls its futures with wakers of its own.
    let program = Program::new();
    let joined = futures::future::join_all(program.tasks.take());
    futures::executor::block_on(joined);
    program.check();
}

/// An open loop in which a task waits for `future`.
fn waits_on_a_loop(future: impl Future + 'static) -> EventLoop {
    let event_loop = EventLoop::new().expect("a poller");
    let wait = async move { drop(future.await) };
    let task = event_loop.spawn(wait, TaskOptions::new());
    event_loop.run_until_complete(yield_now()).unwrap();
    drop(task);
    event_loop
}

/// The text with which a wait on a second loop panics.
fn refusal<F: Future>(wait: F) -> String {
    let second = EventLoop::new().expect("a poller");
    let run = AssertUnwindSafe(|| second.run_until_complete(async { drop(wait.await) }));
    *catch_unwind(run).unwrap_err().downcast::<String>().unwrap()
}

// Y-012
#[test]
fn is_bound_to_the_loop_on_which_it_was_waited_for() {
    let (lock, event) = (Rc::new(Lock::new(())), Rc::new(Event::new()));
    let (queue, semaphore) = (Rc::new(Queue::<u8>::new()), Rc::new(Semaphore::new(0)));
    let guard = lock.clone().try_acquire_owned();
    let first = waits_on_a_loop(lock.clone().acquire_owned());
    let text = refusal(lock.clone().acquire_owned());
    assert!(text.contains("attached to a different loop, <EventLoop not running>"), "{text}");
    assert!(text.contains("<EventLoop running, started at"), "{text}");
    drop(guard);

    let waiting = event.clone();
    let second = waits_on_a_loop(async move { waiting.wait().await });
    assert!(refusal(async { event.wait().await }).contains("different loop"));
    let waiting = queue.clone();
    let third = waits_on_a_loop(async move { waiting.get().await });
    assert!(refusal(async { queue.get().await }).contains("different loop"));
    let fourth = waits_on_a_loop(semaphore.clone().acquire_owned());
    assert!(refusal(semaphore.acquire()).contains("different loop"));

    // An operation that does not wait does not bind the primitive to a loop.
    event.set();
    let run = EventLoop::new().unwrap().run_until_complete(async { event.wait().await });
    assert!(run.is_ok());
    drop((first, second, third, fourth));
}

// Y-012: once a loop is closed, another loop may use its primitives.
#[test]
fn serves_one_loop_after_the_other() {
    let lock = Rc::new(Lock::new(0));
    for _ in 0..2 {
        let event_loop = EventLoop::new().expect("a poller");
        let guard = lock.clone().try_acquire_owned();
        let (waiting, abandoned) = (lock.clone(), lock.clone());
        let leaves =
            event_loop.spawn(async move { drop(abandoned.acquire().await) }, TaskOptions::new());
        event_loop.call_soon(move || drop(guard));
        let run = event_loop.run_until_complete(async move { *waiting.acquire().await += 1 });
        assert!(run.is_ok() && leaves.is_ok());
    }
    assert_eq!(*lock.try_acquire().expect("free"), 2);
}
