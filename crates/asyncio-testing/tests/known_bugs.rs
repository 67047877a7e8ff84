//! Twenty bugs of concurrent programs, each hidden by the usual order. Each must be found within
//! 1,000 seeds, and the seed must replay.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_sync::{Condition, Event, Lock, Queue, Semaphore};
use asyncio_task::{Promise, create_future, create_task, sleep, timeout, to_thread, yield_now};
use asyncio_testing::{Failure, Faults, Simulation};

/// Values that tasks share.
fn shared<T>(value: T) -> (Rc<T>, Rc<T>) {
    let one = Rc::new(value);
    (Rc::clone(&one), one)
}

async fn yields(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Checks that the usual order hides the bug, that some seed finds it, and that both the seed and
/// the schedule replay it.
fn assert_found(faults: Faults, body: impl AsyncFn()) {
    if let Err(failure) = Simulation::new().check(&body) {
        panic!("the usual order shows the bug: {failure}");
    }
    let simulation = Simulation::new().faults(faults);
    let failure = simulation.clone().seeds(1000).check(&body).expect_err("found in 1,000 seeds");
    let same = |other: &Failure| {
        assert_eq!((other.kind(), other.message()), (failure.kind(), failure.message()));
    };
    same(&simulation.clone().seed(failure.seed()).check(&body).expect_err("the seed replays"));
    same(&simulation.check_schedule(failure.schedule(), &body).expect_err("the schedule replays"));
}

macro_rules! bugs {
    ($($(#[doc = $doc:literal])* $name:ident $(by $faults:expr)? => $body:block)*) => {$(
        $(#[doc = $doc])*
        #[test]
        fn $name() {
            let faults = Faults::new();
            $(let faults = $faults(faults);)?
            assert_found(faults, async || $body);
        }
    )*};
}

bugs! {
    /// Reads, awaits, and writes what it has computed from the old value.
    lost_update => {
        let counter = Rc::new(Cell::new(0));
        let tasks = [0, 2].map(|wait| {
            let counter = Rc::clone(&counter);
            create_task(async move {
                yields(wait).await;
                let seen = counter.get();
                yield_now().await;
                counter.set(seen + 1);
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(counter.get(), 2);
    }

    /// Checks a flag, awaits, and then registers a waiter: the notification may have been sent
    /// already.
    lost_wake => {
        let flag = Rc::new(Cell::new(false));
        let waiters = Rc::new(RefCell::new(Vec::<Promise<()>>::new()));
        let (seen, list) = (Rc::clone(&flag), Rc::clone(&waiters));
        let waiter = create_task(async move {
            if !seen.get() {
                yield_now().await;
                let told = create_future();
                list.borrow_mut().push(told.clone());
                told.await.unwrap();
            }
        });
        let setter = create_task(async move {
            yields(3).await;
            flag.set(true);
            waiters.take().iter().for_each(|waiter| waiter.set_result(()).unwrap());
        });
        setter.await.unwrap();
        waiter.await.unwrap();
    }

    /// Two tasks take two locks, in opposite orders.
    abba_locks => {
        let (a, b) = (Rc::new(Lock::new(())), Rc::new(Lock::new(())));
        let (a2, b2) = (Rc::clone(&a), Rc::clone(&b));
        let one = create_task(async move {
            let _a = a.acquire().await;
            yield_now().await;
            let _b = b.acquire().await;
        });
        let two = create_task(async move {
            yields(3).await;
            let _b = b2.acquire().await;
            yield_now().await;
            let _a = a2.acquire().await;
        });
        one.await.unwrap();
        two.await.unwrap();
    }

    /// A worker that is cancelled between taking an item and storing its result loses the item.
    cancel_race => {
        let (queue, done) = (Rc::new(Queue::new()), Rc::new(RefCell::new(Vec::new())));
        (0..3).for_each(|item| queue.put_nowait(item).unwrap());
        let (items, results) = (Rc::clone(&queue), Rc::clone(&done));
        let worker = create_task(async move {
            while let Ok(item) = items.get_nowait() {
                yield_now().await;
                results.borrow_mut().push(item);
            }
        });
        yields(6).await;
        worker.cancel();
        let _ = worker.await;
        assert_eq!(queue.len() + done.borrow().len(), 3, "an item is lost");
    }

    /// Both tasks see that the connection is open, await, and close it.
    double_close => {
        let (open, closes) = (Rc::new(Cell::new(true)), Rc::new(Cell::new(0)));
        let tasks = [0, 3].map(|wait| {
            let (open, closes) = (Rc::clone(&open), Rc::clone(&closes));
            create_task(async move {
                yields(wait).await;
                if open.get() {
                    yield_now().await;
                    open.set(false);
                    closes.set(closes.get() + 1);
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(closes.get(), 1);
    }

    /// Clears the event after the work, and so loses a `set` from meanwhile.
    missed_reset => {
        let (event, work) = (Rc::new(Event::new()), Rc::new(Cell::new(0)));
        let (told, todo) = (Rc::clone(&event), Rc::clone(&work));
        let consumer = create_task(async move {
            let mut done = 0;
            while done < 2 {
                told.wait().await;
                done += todo.take();
                yield_now().await;
                told.clear();
            }
        });
        for _ in 0..2 {
            work.set(work.get() + 1);
            event.set();
            yields(6).await;
        }
        consumer.await.unwrap();
    }

    /// Stores a value in the cache after another task has changed it and cleared the cache.
    stale_cache => {
        let (stored, cache) = (Rc::new(Cell::new(1)), Rc::new(Cell::new(None)));
        let (disk, cached) = (Rc::clone(&stored), Rc::clone(&cache));
        let reader = create_task(async move {
            let value = disk.get();
            yield_now().await;
            cached.set(Some(value));
        });
        let (disk, cached) = (Rc::clone(&stored), Rc::clone(&cache));
        let writer = create_task(async move {
            yields(3).await;
            disk.set(2);
            cached.set(None);
        });
        reader.await.unwrap();
        writer.await.unwrap();
        assert_eq!(cache.get().unwrap_or(stored.get()), stored.get());
    }

    /// Initializes the shared value twice, since two tasks found none.
    double_init => {
        let (place, made) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(0)));
        let tasks = [0, 2, 4].map(|wait| {
            let (place, made) = (Rc::clone(&place), Rc::clone(&made));
            create_task(async move {
                yields(wait).await;
                if place.get().is_none() {
                    made.set(made.get() + 1);
                    yield_now().await;
                    place.set(Some(made.get()));
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(made.get(), 1);
    }

    /// Admits one more than the limit: the check and the count are two steps.
    over_admission => {
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let guests = [0, 2, 4, 6].map(|wait| {
            let (inside, most) = (Rc::clone(&inside), Rc::clone(&most));
            create_task(async move {
                yields(wait).await;
                if inside.get() < 2 {
                    yield_now().await;
                    inside.set(inside.get() + 1);
                    most.set(most.get().max(inside.get()));
                    yields(2).await;
                    inside.set(inside.get() - 1);
                }
            })
        });
        for guest in guests {
            guest.await.unwrap();
        }
        assert!(most.get() <= 2);
    }

    /// The first producer that is done shuts the queue down, although the other is not.
    early_shutdown => {
        let queue = Rc::new(Queue::new());
        let producers = [4, 2].map(|items| {
            let queue = Rc::clone(&queue);
            create_task(async move {
                for item in 0..items {
                    queue.put(item).await.expect("the queue is open");
                    yield_now().await;
                }
                if items == 4 {
                    queue.shutdown();
                }
            })
        });
        for producer in producers {
            producer.await.unwrap();
        }
    }

    /// Waits until the count of running workers is zero, before all workers have been counted.
    premature_join => {
        let (running, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks = [0, 1, 2].map(|_| {
            let (running, done) = (Rc::clone(&running), Rc::clone(&done));
            create_task(async move {
                running.set(running.get() + 1);
                yields(2).await;
                done.set(done.get() + 1);
                running.set(running.get() - 1);
            })
        });
        yield_now().await;
        while running.get() > 0 {
            yield_now().await;
        }
        assert_eq!(done.get(), 3);
        drop(tasks);
    }

    /// The worker releases its permit by hand, so a cancelled worker does not release it.
    leaked_permit by |faults: Faults| faults.cancel(0.05) => {
        let semaphore = Rc::new(Semaphore::new(1));
        let worker = {
            let semaphore = Rc::clone(&semaphore);
            create_task(async move {
                semaphore.acquire().await.forget();
                yields(3).await;
                semaphore.release();
            })
        };
        let _ = worker.await;
        assert_eq!(semaphore.available(), 1, "the permit is lost");
    }

    /// Relies on jobs to end in the order of their submission.
    assumed_job_order => {
        let results = Rc::new(RefCell::new(Vec::new()));
        let jobs = [1, 2, 3].map(|number| {
            let results = Rc::clone(&results);
            create_task(async move {
                let number = to_thread(move || number).await.unwrap();
                results.borrow_mut().push(number);
            })
        });
        for job in jobs {
            job.await.unwrap();
        }
        assert_eq!(results.take(), [1, 2, 3]);
    }

    /// Relies on an answer to win against a timeout at the same moment.
    equal_deadlines => {
        let (first, other) = shared(Cell::new(None));
        let (second, first_come) = (Duration::from_secs(1), Rc::clone(&first));
        running_loop().call_later(second, move || first.set(first.get().or(Some("answer"))));
        running_loop().call_later(second, move || other.set(other.get().or(Some("limit"))));
        sleep(2 * second).await;
        assert_eq!(first_come.get(), Some("answer"));
    }

    /// Changes two values that belong together, with an await in between.
    torn_read => {
        let (pair, other) = shared(Cell::new((0, 0)));
        let writer = create_task(async move {
            for number in 1..4 {
                pair.set((number, pair.get().1));
                yield_now().await;
                pair.set((pair.get().0, number));
                yields(3).await;
            }
        });
        let reader = create_task(async move {
            yield_now().await;
            for _ in 0..3 {
                yields(2).await;
                let (one, two) = other.get();
                assert_eq!(one, two, "torn");
                yields(2).await;
            }
        });
        writer.await.unwrap();
        reader.await.unwrap();
    }

    /// Waits once for a condition that another waiter may undo first.
    condition_without_a_loop => {
        let items = Rc::new(Condition::new(VecDeque::new()));
        let consumers = [0, 12].map(|wait| {
            let items = Rc::clone(&items);
            create_task(async move {
                yields(wait).await;
                let mut guard = items.acquire().await;
                if guard.is_empty() {
                    guard = items.wait(guard).await;
                }
                guard.pop_front().expect("notified of an item")
            })
        });
        for item in 0..2 {
            yields(4).await;
            let mut guard = items.acquire().await;
            guard.push_back(item);
            items.notify_all(&guard);
            drop(guard);
            yields(8).await;
        }
        for consumer in consumers {
            consumer.await.unwrap();
        }
    }

    /// Two tasks fill each other's queue before they read their own.
    full_queues => {
        let queues = [(); 2].map(|()| Rc::new(Queue::bounded(1)));
        let tasks = [0, 1].map(|own| {
            let (mine, other) = (Rc::clone(&queues[own]), Rc::clone(&queues[1 - own]));
            create_task(async move {
                yields(5 * own).await;
                let asks = mine.is_empty();
                yield_now().await;
                for item in 0..2 {
                    if asks {
                        other.put(item).await.unwrap();
                    } else {
                        mine.get().await.unwrap();
                    }
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Keeps an index over an await, while another task removes entries.
    stale_index => {
        let (list, other) = shared(RefCell::new(vec![1, 2, 3]));
        let reader = create_task(async move {
            let last = list.borrow().len() - 1;
            yield_now().await;
            list.borrow()[last]
        });
        let remover = create_task(async move {
            yields(3).await;
            other.borrow_mut().pop();
        });
        remover.await.unwrap();
        assert_eq!(reader.await.unwrap(), 3);
    }

    /// Repeats a request that was slow and not lost, so it is performed twice.
    double_retry by |faults: Faults| faults.delay(0.05, Duration::from_secs(3)) => {
        let orders = Rc::new(RefCell::new(BTreeMap::<u32, u32>::new()));
        let request = |number: u32| {
            let orders = Rc::clone(&orders);
            create_task(async move {
                sleep(Duration::from_millis(500)).await;
                *orders.borrow_mut().entry(number).or_default() += 1;
            })
        };
        let first = request(1);
        if timeout(Duration::from_secs(1), asyncio_task::shield(first)).await.is_err() {
            request(1).await.unwrap();
        }
        sleep(Duration::from_secs(10)).await;
        assert_eq!(orders.borrow()[&1], 1, "ordered twice");
    }

    /// Cancels the connections that it knows at the shutdown, while one more is being accepted.
    shutdown_race => {
        let (stopping, connections) = shared(Cell::new(false));
        let open = Rc::new(Cell::new(0));
        let count = Rc::clone(&open);
        let acceptor = create_task(async move {
            for _ in 0..3 {
                if stopping.get() {
                    return;
                }
                // Stands for the accept.
                yield_now().await;
                count.set(count.get() + 1);
                yields(2).await;
            }
        });
        yields(14).await;
        connections.set(true);
        open.set(0);
        acceptor.await.unwrap();
        assert_eq!(open.get(), 0, "a connection is left open");
    }
}
