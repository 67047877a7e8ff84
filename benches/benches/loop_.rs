//! The loop itself: callbacks, context variables, and work that arrives from another thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use asyncio::Promise;
use asyncio_benches::contest::{Contest, run};
use asyncio_benches::on_every_runtime;
use asyncio_benches::runtime::{Asyncio, Runtime, Tokio, timed, timed_by_hand, timed_with_others};

/// Callbacks scheduled before the first of them runs.
const BATCH: usize = 1000;

thread_local! {
    /// The sum that the callbacks add to.
    static SUM: Cell<u64> = const { Cell::new(0) };
    /// Set by the last callback from another thread.
    static DONE: Cell<Option<Promise<()>>> = const { Cell::new(None) };
}

asyncio::context_var! {
    static REQUEST: u64 = 0;
}

tokio::task_local! {
    static TASK_LOCAL: u64;
}

fn main() {
    run(
        "loop",
        vec![
            Contest::new("call_soon", BATCH as u64)
                .with("floor", call_soon_by_hand)
                .with("asyncio", call_soon),
            Contest::new("context_get", 1)
                .with("floor", thread_local_get)
                .with("asyncio", context_get)
                .with("tokio", task_local_get),
            Contest::new("context_set_reset", 1)
                .with("floor", thread_local_set)
                .with("asyncio", context_set)
                .with("tokio", task_local_scope),
            on_every_runtime!(
                Contest::new("items_from_another_thread", 1).with("floor", from_thread_by_hand),
                from_thread
            ),
            Contest::new("callbacks_from_another_thread", 1)
                .with("asyncio", call_soon_threadsafe)
                .with("tokio", closures_through_channel),
        ],
    );
}

/// A thousand callbacks scheduled, then run.
fn call_soon(times: u64) -> Duration {
    timed::<Asyncio>(async move {
        let event_loop = asyncio::running_loop();
        for _ in 0..times {
            for number in 0..BATCH {
                event_loop.call_soon(move || add(number as u64));
            }
            asyncio::yield_now().await;
        }
    })
}

/// The same by hand: boxed closures in a ring buffer.
fn call_soon_by_hand(times: u64) -> Duration {
    let mut ready: VecDeque<Box<dyn FnOnce()>> = VecDeque::with_capacity(BATCH);
    timed_by_hand(|| {
        for _ in 0..times {
            ready.extend(
                (0..BATCH).map(|number| Box::new(move || add(number as u64)) as Box<dyn FnOnce()>),
            );
            while let Some(callback) = ready.pop_front() {
                callback();
            }
        }
    })
}

fn add(number: u64) {
    SUM.set(SUM.get().wrapping_add(number));
}

/// Read a context variable.
fn context_get(times: u64) -> Duration {
    timed::<Asyncio>(async move {
        REQUEST.set(1);
        for _ in 0..times {
            black_box(REQUEST.get());
        }
    })
}

/// Read a task-local.
fn task_local_get(times: u64) -> Duration {
    timed::<Tokio>(TASK_LOCAL.scope(1, async move {
        for _ in 0..times {
            black_box(TASK_LOCAL.get());
        }
    }))
}

fn thread_local_get(times: u64) -> Duration {
    timed_by_hand(|| {
        for _ in 0..times {
            black_box(SUM.get());
        }
    })
}

/// Set a context variable, and set it back.
fn context_set(times: u64) -> Duration {
    timed::<Asyncio>(async move {
        for number in 0..times {
            let token = REQUEST.set(number);
            REQUEST.reset(token).expect("this variable, in this context");
        }
    })
}

/// Enters the scope of a task-local around a ready future, and leaves it.
fn task_local_scope(times: u64) -> Duration {
    timed::<Tokio>(async move {
        for number in 0..times {
            black_box(TASK_LOCAL.scope(number, std::future::ready(number)).await);
        }
    })
}

fn thread_local_set(times: u64) -> Duration {
    timed_by_hand(|| {
        for number in 0..times {
            let before = black_box(SUM.replace(number));
            SUM.set(before);
        }
    })
}

/// Callbacks scheduled from another thread.
fn call_soon_threadsafe(times: u64) -> Duration {
    timed_with_others::<Asyncio>(async move {
        let handle = asyncio::running_loop().handle();
        let done = asyncio::create_future();
        DONE.set(Some(done.clone()));
        let thread = std::thread::spawn(move || {
            for number in 0..times {
                handle.call_soon_threadsafe(move || add(number)).expect("an open loop");
            }
            handle.call_soon_threadsafe(all_done).expect("an open loop");
        });
        done.await.expect("all done");
        thread.join().expect("the caller");
    })
}

fn all_done() {
    let done = DONE.take().expect("somebody waits");
    done.set_result(()).expect("set once");
}

/// The same on tokio: closures through a channel to a task that calls them.
fn closures_through_channel(times: u64) -> Duration {
    timed_with_others::<Tokio>(async move {
        let (sender, mut receiver) =
            tokio::sync::mpsc::unbounded_channel::<Box<dyn FnOnce() + Send>>();
        let thread = std::thread::spawn(move || {
            for number in 0..times {
                assert!(sender.send(Box::new(move || add(number))).is_ok());
            }
        });
        while let Some(closure) = receiver.recv().await {
            closure();
        }
        thread.join().expect("the caller");
    })
}

/// Items sent from another thread to a task of the loop, through an unbounded channel.
fn from_thread<R: Runtime>(times: u64) -> Duration {
    timed_with_others::<R>(async move {
        let produce = move |send: &dyn Fn(u64)| (0..times).for_each(send);
        R::from_thread(produce, |item| {
            black_box(item);
        })
        .await;
    })
}

/// The same between two threads that block, without a loop.
fn from_thread_by_hand(times: u64) -> Duration {
    let start = Instant::now();
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        (0..times).for_each(|item| sender.send(item).expect("a receiver"));
    });
    receiver.iter().for_each(|item| {
        black_box(item);
    });
    thread.join().expect("the producer");
    start.elapsed()
}
