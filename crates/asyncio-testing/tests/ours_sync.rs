//! The locks and queues of asyncio-sync, under many schedules, with tasks that are cancelled,
//! delayed and dropped.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use asyncio_sync::{
    Barrier, Condition, Event, Lock, PriorityQueue, Queue, RateLimiter, Semaphore, broadcast,
    mixed, watch,
};
use asyncio_task::{Task, create_task, sleep, timeout, to_thread, yield_now};
use asyncio_testing::{Faults, Simulation, droppable};

/// All faults that can be injected without a network.
fn hard_times() -> Simulation {
    let faults = Faults::new().cancel(0.02).drop(0.05).delay(0.02, Duration::from_millis(10));
    Simulation::new().seeds(300).faults(faults)
}

/// Waits for tasks, whatever their results.
async fn all<T>(tasks: impl IntoIterator<Item = Task<T>>) {
    for task in tasks {
        let _ = task.await;
    }
}

#[test]
fn a_lock_has_one_holder_and_is_free_in_the_end() {
    hard_times().run(async || {
        let (lock, inside) = (Rc::new(Lock::new(0)), Rc::new(Cell::new(false)));
        let workers = (0..6).map(|_| {
            let (lock, inside) = (Rc::clone(&lock), Rc::clone(&inside));
            create_task(async move {
                for _ in 0..3 {
                    let hold = async {
                        let mut guard = lock.acquire().await;
                        let before = *guard;
                        assert!(!inside.replace(true), "two holders");
                        let leave = Leave(&inside);
                        yield_now().await;
                        assert_eq!(*guard, before);
                        *guard += 1;
                        drop(leave);
                    };
                    droppable(hold).await;
                }
            })
        });
        all(workers.collect::<Vec<_>>()).await;
        assert!(lock.try_acquire().is_some(), "the lock is free");
    });
}

/// Clears a flag when it is dropped: the critical section is empty again.
struct Leave<'a>(&'a Cell<bool>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[test]
fn a_semaphore_loses_no_permit() {
    hard_times().run(async || {
        let (semaphore, inside) = (Rc::new(Semaphore::new(2)), Rc::new(Cell::new(0_u32)));
        let workers = (0..6).map(|_| {
            let (semaphore, inside) = (Rc::clone(&semaphore), Rc::clone(&inside));
            create_task(async move {
                for _ in 0..3 {
                    let hold = async {
                        let _permit = semaphore.acquire().await;
                        inside.set(inside.get() + 1);
                        let leave = Count(&inside);
                        assert!(inside.get() <= 2, "too many inside");
                        yield_now().await;
                        drop(leave);
                    };
                    droppable(hold).await;
                }
            })
        });
        all(workers.collect::<Vec<_>>()).await;
        assert_eq!(semaphore.available(), 2);
    });
}

/// Counts down when it is dropped.
struct Count<'a>(&'a Cell<u32>);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Each item is taken once or left, whatever happens to the tasks that put and take.
#[test]
fn a_queue_loses_no_item() {
    hard_times().run(async || {
        let queue = Rc::new(Queue::bounded(2));
        let (put, taken) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
        let producers = (0..3).map(|producer| {
            let (queue, put) = (Rc::clone(&queue), Rc::clone(&put));
            create_task(async move {
                for number in 0..4 {
                    let item = producer * 10 + number;
                    if let Some(Ok(())) = droppable(queue.put(item)).await {
                        put.borrow_mut().push(item);
                    }
                }
            })
        });
        let consumers = (0..3).map(|_| {
            let (queue, taken) = (Rc::clone(&queue), Rc::clone(&taken));
            create_task(async move {
                loop {
                    match droppable(queue.get()).await {
                        Some(Ok(item)) => taken.borrow_mut().push(item),
                        Some(Err(_)) => return,
                        None => {}
                    }
                }
            })
        });
        let (producers, consumers): (Vec<_>, Vec<_>) = (producers.collect(), consumers.collect());
        // If faults end all consumers, the producers would wait forever, so this task takes the
        // rest.
        let drain = create_task({
            let (queue, taken) = (Rc::clone(&queue), Rc::clone(&taken));
            async move {
                loop {
                    sleep(Duration::from_millis(100)).await;
                    while let Ok(item) = queue.get_nowait() {
                        taken.borrow_mut().push(item);
                    }
                }
            }
        });
        let _ = timeout(Duration::from_secs(60), all(producers)).await;
        queue.shutdown();
        let _ = timeout(Duration::from_secs(60), all(consumers)).await;
        drain.cancel();
        let _ = drain.await;
        while let Ok(item) = queue.get_nowait() {
            taken.borrow_mut().push(item);
        }
        let (mut put, mut taken) = (put.take(), taken.take());
        put.sort_unstable();
        taken.sort_unstable();
        taken.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1], "taken twice"));
        // A put may be cancelled after its item has gone in, so more items may be taken than were
        // logged as put.
        assert!(put.iter().all(|item| taken.contains(item)), "{put:?} {taken:?}");
    });
}

#[test]
fn an_event_wakes_all_who_wait() {
    hard_times().run(async || {
        let event = Rc::new(Event::new());
        let waiters: Vec<_> = (0..5)
            .map(|_| {
                let event = Rc::clone(&event);
                create_task(async move { droppable(event.wait()).await })
            })
            .collect();
        yield_now().await;
        event.set();
        all(waiters).await;
    });
}

#[test]
fn a_condition_wakes_as_many_as_it_is_told() {
    hard_times().run(async || {
        let ready = Rc::new(Condition::new(0));
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let ready = Rc::clone(&ready);
                create_task(async move {
                    let guard = ready.acquire().await;
                    let mut guard = ready.wait_for(guard, |count| *count > 0).await;
                    *guard -= 1;
                })
            })
            .collect();
        for _ in 0..4 {
            yield_now().await;
            let mut guard = ready.acquire().await;
            *guard += 1;
            ready.notify(&guard, 1);
        }
        all(waiters).await;
        assert!(ready.try_acquire().is_some());
    });
}

#[test]
fn a_barrier_lets_all_go_or_breaks() {
    // No task is cancelled, since dropping a wait breaks the barrier by its rules.
    let faults = Faults::new().delay(0.1, Duration::from_millis(10));
    Simulation::new().seeds(300).faults(faults).run(async || {
        let barrier = Rc::new(Barrier::new(3));
        let parties = (0..6).map(|_| {
            let barrier = Rc::clone(&barrier);
            create_task(async move { barrier.wait().await.unwrap() })
        });
        let mut places = Vec::new();
        for party in parties.collect::<Vec<_>>() {
            places.push(party.await.unwrap());
        }
        places.sort_unstable();
        assert_eq!(places, [0, 0, 1, 1, 2, 2]);
    });
}

#[test]
fn a_priority_queue_gives_the_least_of_what_it_has() {
    Simulation::new().seeds(300).run(async || {
        let queue = Rc::new(PriorityQueue::new());
        let producers = (0..3).map(|producer| {
            let queue = Rc::clone(&queue);
            create_task(async move {
                for number in 0..3 {
                    queue.put(number * 3 + producer).await.unwrap();
                    yield_now().await;
                }
            })
        });
        all(producers.collect::<Vec<_>>()).await;
        let items: Vec<_> = std::iter::from_fn(|| queue.get_nowait().ok()).collect();
        assert_eq!(items, (0..9).collect::<Vec<_>>());
    });
}

#[test]
fn a_broadcast_reaches_every_receiver_in_order() {
    hard_times().run(async || {
        let (sender, first) = broadcast::channel(16);
        let mut receivers = vec![first, sender.subscribe(), sender.subscribe()];
        let tasks: Vec<_> = receivers
            .drain(..)
            .map(|mut receiver| {
                create_task(async move {
                    let mut seen = Vec::new();
                    loop {
                        match droppable(receiver.recv()).await {
                            Some(Ok(item)) => seen.push(item),
                            Some(Err(_)) => return seen,
                            None => {}
                        }
                    }
                })
            })
            .collect();
        for item in 0..10 {
            let _ = sender.send(item);
            yield_now().await;
        }
        drop(sender);
        for task in tasks {
            if let Ok(seen) = task.await {
                assert_eq!(seen, (0..10).collect::<Vec<_>>());
            }
        }
    });
}

#[test]
fn a_watch_ends_with_the_last_value() {
    hard_times().run(async || {
        let (sender, mut receiver) = watch::channel(0);
        let watcher = create_task(async move {
            loop {
                match droppable(receiver.changed()).await {
                    Some(Err(_)) => return *receiver.borrow_and_update(),
                    _ => yield_now().await,
                }
            }
        });
        for value in 1..=5 {
            sender.send(value);
            yield_now().await;
        }
        drop(sender);
        if let Ok(last) = watcher.await {
            assert_eq!(last, 5);
        }
    });
}

#[test]
fn a_rate_limiter_keeps_its_rate() {
    let faults = Faults::new().delay(0.05, Duration::from_millis(10)).cancel(0.01);
    Simulation::new().seeds(200).faults(faults).run(async || {
        let limiter = Rc::new(RateLimiter::new(10, Duration::from_secs(1)));
        let times = Rc::new(RefCell::new(Vec::new()));
        let clients = (0..5).map(|_| {
            let (limiter, times) = (Rc::clone(&limiter), Rc::clone(&times));
            create_task(async move {
                for _ in 0..6 {
                    limiter.acquire().await;
                    times.borrow_mut().push(asyncio_loop::running_loop().time());
                }
            })
        });
        all(clients.collect::<Vec<_>>()).await;
        let times = times.take();
        // A token may be used late, so up to a burst and the tokens of one more period can pass in
        // a period.
        for (from, time) in times.iter().enumerate() {
            let within = times[from..].iter().filter(|other| **other - *time < SECOND).count();
            assert!(within <= 21, "{within} in a second");
        }
    });
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_mixed_queue_loses_no_item_of_a_thread() {
    Simulation::new().seeds(50).run(async || {
        let queue = mixed::Queue::bounded(20);
        let sender = queue.clone();
        let job = create_task(to_thread(move || {
            (0..10).for_each(|item| sender.sync_side().put(item).unwrap());
        }));
        for item in 0..10 {
            assert_eq!(queue.async_side().get().await.unwrap(), item);
        }
        job.await.unwrap().unwrap();
    });
}
