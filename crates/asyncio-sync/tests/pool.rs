//! Pools: the number of objects, which object is returned, and that no place is lost.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_sync::{Pool, Pooled};
use asyncio_task::{Runner, create_task, sleep, yield_now};
use common::poll;

const SECOND: Duration = Duration::from_secs(1);

fn run<T>(main: impl Future<Output = T>) -> T {
    Runner::builder().virtual_time(true).run(main)
}

/// A pool of numbers; each new object gets the next number.
fn numbers(max: usize) -> Pool<u32, impl AsyncFn() -> Result<u32, ()>> {
    let made = Cell::new(0);
    Pool::new(max, async move || {
        made.set(made.get() + 1);
        yield_now().await;
        Ok(made.get())
    })
}

#[test]
fn the_object_given_back_last_is_used_first() {
    run(async {
        let pool = numbers(3);
        let (first, second) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        assert_eq!((*first, *second), (1, 2));
        drop(first);
        drop(second);
        assert_eq!(*pool.get().await.unwrap(), 2);
        assert_eq!((pool.idle(), pool.available()), (2, 3));
    });
}

#[test]
fn those_that_wait_are_served_in_order() {
    run(async {
        let pool = Rc::new(numbers(1));
        let object = pool.get().await.unwrap();
        let order = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..3)
            .map(|name| {
                let (pool, order) = (pool.clone(), order.clone());
                create_task(async move {
                    let object: Pooled<u32> = pool.get().await.unwrap();
                    assert_eq!(order.replace(order.get() + 1), name);
                    *object
                })
            })
            .collect();
        yield_now().await;
        assert!(pool.try_get().is_none());
        drop(object);
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1, "one object serves all");
        }
    });
}

#[test]
fn an_attempt_that_fails_or_is_dropped_gives_its_place_back() {
    run(async {
        let fails = Rc::new(Cell::new(true));
        let failing = fails.clone();
        let pool = Pool::new(1, async move || {
            yield_now().await;
            if failing.get() { Err("refused") } else { Ok(()) }
        });
        assert_eq!(pool.get().await.err(), Some("refused"));
        let mut making = Box::pin(pool.get());
        assert!(poll(making.as_mut()).is_pending());
        drop(making);
        fails.set(false);
        assert!(pool.get().await.is_ok());
        assert_eq!(pool.available(), 1);
    });
}

#[test]
fn broken_objects_are_not_handed_out() {
    run(async {
        let pool = numbers(2).check(|n| *n != 99);
        let mut object = pool.get().await.unwrap();
        *object = 99;
        drop(object);
        assert_eq!(pool.idle(), 0);
        assert_eq!(*pool.get().await.unwrap(), 2);
    });
}

#[test]
fn objects_that_rest_too_long_are_dropped() {
    run(async {
        let pool = numbers(3).idle_timeout(SECOND * 10);
        let (first, second) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        drop(first);
        sleep(SECOND * 6).await;
        drop(second);
        sleep(SECOND * 6).await;
        assert_eq!(*pool.get().await.unwrap(), 2);
        assert_eq!(pool.idle(), 1, "the first one is too old");
        sleep(SECOND * 10).await;
        assert_eq!(*pool.get().await.unwrap(), 3);
    });
}

#[test]
fn no_more_are_kept_than_wanted() {
    run(async {
        let pool = numbers(3).max_idle(1);
        let objects = (pool.get().await, pool.get().await);
        drop(objects);
        assert_eq!((pool.idle(), pool.available()), (1, 3));
        pool.clear();
        assert_eq!(pool.idle(), 0);
    });
}

#[test]
fn an_object_outlives_its_pool() {
    let dropped = Rc::new(Cell::new(0));
    struct Noted(Rc<Cell<u32>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    run(async {
        let noting = dropped.clone();
        let pool = Pool::new(2, async move || Ok::<_, ()>(Noted(noting.clone())));
        let (idle, object) = (pool.get().await, pool.get().await.unwrap());
        drop(idle);
        drop(pool);
        assert_eq!(dropped.get(), 1);
        drop(object);
        assert_eq!(dropped.get(), 2);
    });
}
