//! What one operation costs when there are many others: at 1,000, 10,000 and 100,000.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin growth
//! cargo run --release -p asyncio-benches --bin growth -- event lock
//! cargo run --release -p asyncio-benches --bin growth -- --million
//! ```
//!
//! A cost that stays within a small factor grows by what the processor's caches no longer hold. A
//! cost that grows with the number would be the fault of the operation.

use std::cell::Cell;
use std::future::{Future, IntoFuture, poll_fn};
use std::io::{Read, Write, stdin};
use std::net::TcpStream;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio::{
    Barrier, Event, Lock, LoopThread, Protocol, Queue, ReturnWhen, Runner, Signal, Signals, Task,
    Transport, all_tasks, as_completed, create_future, create_server, create_task, finally, run,
    running_loop, scope, sleep, wait, yield_now,
};
use asyncio_benches::process::warn_if_busy;
use nix::time::{ClockId, clock_gettime};

/// How many there are of what is measured.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// As the first argument: the process is to be the clients of a server.
const CONNECT: &str = "--connect";
/// Far enough away never to come.
const LONG: Duration = Duration::from_secs(3600);

/// Does the work on `n` things, and says how long the part took that counts.
type Work = fn(usize) -> Duration;

struct Row {
    name: &'static str,
    /// The most there can be of it, for instance of descriptors.
    most: usize,
    work: Work,
}

const fn row(name: &'static str, most: usize, work: Work) -> Row {
    Row { name, most, work }
}

const ANY: usize = usize::MAX;

const ROWS: &[Row] = &[
    row("create_task", ANY, tasks),
    row("all_tasks, a task", ANY, list_tasks),
    row("task cancelled, parked", ANY, cancelled_tasks),
    row("chain of awaits, ended by run", 100_000, chain),
    row("cancel from another thread", ANY, cancel_from_a_thread),
    row("timer made and cancelled", ANY, timers),
    row("timer made and fired", ANY, timers_fired),
    row("event: wait and cancel", ANY, event),
    row("event: wait and set", ANY, event_set),
    row("lock: line half cancelled, then served", ANY, lock),
    row("queue: getters cancelled, any order", ANY, getters),
    row("barrier: waiters cancelled", ANY, barrier),
    row("promise: waits dropped, any order", ANY, promise_waits),
    row("promise: callbacks removed, any order", ANY, promise_callbacks),
    row("task: callbacks removed, any order", ANY, task_callbacks),
    row("wait, all completed", ANY, wait_all),
    row("wait, first exception", ANY, wait_exception),
    row("as_completed, as many waiters", ANY, completed),
    row("children of a scope", ANY, children),
    row("children cancelled with cleanup", ANY, children_cancelled),
    row("signal watchers made and dropped", 10_000, signals),
    row("clients of a server: come, say something, go", 10_000, clients),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [flag, address, count] = &arguments[..] {
        if flag == CONNECT {
            return connect(address, count.parse().expect("a number"));
        }
    }
    let (flags, names): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument.starts_with("--"));
    let sizes = if flags.iter().any(|flag| flag == "--million") { 4 } else { 3 };
    let chosen = |row: &&Row| names.is_empty() || names.iter().any(|name| row.name.contains(name));
    warn_if_busy();
    let titles: Vec<_> = SIZES[..sizes].iter().map(|size| format!(" {size} |")).collect();
    println!("\n| ns for each, of |{} growth |", titles.concat());
    println!("|---|{}---|", "---|".repeat(sizes));
    for row in ROWS.iter().filter(chosen) {
        let figures: Vec<_> = SIZES[..sizes]
            .iter()
            .map(|&size| (size <= row.most).then(|| nanoseconds(row.work, size)))
            .collect();
        let cells = figures.iter().map(|ns| match ns {
            Some(ns) => format!(" {ns:.0} |"),
            None => " – |".to_owned(),
        });
        let cells: String = cells.collect();
        let known: Vec<f64> = figures.into_iter().flatten().collect();
        let growth = known.last().unwrap_or(&1.0) / known.first().unwrap_or(&1.0);
        println!("| {} |{cells} {growth:.1} |", row.name);
    }
}

/// The median of some runs, for each of the `n`.
fn nanoseconds(work: Work, n: usize) -> f64 {
    let rounds = (30_000 / n).clamp(3, 15);
    work(n.min(1_000)); // warms up
    let mut figures: Vec<_> = (0..rounds).map(|_| work(n)).collect();
    figures.sort();
    figures[rounds / 2].as_nanos() as f64 / n as f64
}

/// The processor time that the whole program has used.
fn now() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every Linux has it");
    Duration::new(now.tv_sec().unsigned_abs(), now.tv_nsec().unsigned_abs() as u32)
}

async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let start = now();
    work.await;
    now() - start
}

/// The numbers below `n` in an order that looks like none.
fn shuffled(n: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..n).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..n).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        order.swap(at, random as usize % (at + 1));
    }
    order
}

fn parked(n: usize) -> Vec<Task<()>> {
    (0..n).map(|_| create_task(std::future::pending())).collect()
}

async fn poll_all<F: Future + Unpin>(futures: &mut [F]) {
    poll_fn(|cx| {
        for future in &mut *futures {
            assert!(Pin::new(future).poll(cx).is_pending());
        }
        Poll::Ready(())
    })
    .await;
}

/// Lets every task end that was cancelled.
async fn end_all<T>(tasks: Vec<Task<T>>) {
    for task in &tasks {
        task.cancel();
    }
    for task in tasks {
        assert!(task.await.is_err());
    }
}

fn tasks(n: usize) -> Duration {
    run(async {
        timed(async {
            let tasks: Vec<_> = (0..n).map(|_| create_task(async {})).collect();
            for task in tasks {
                task.await.unwrap();
            }
        })
        .await
    })
}

fn list_tasks(n: usize) -> Duration {
    run(async {
        let tasks = parked(n);
        yield_now().await;
        let time = timed(async { assert_eq!(all_tasks().len(), n + 1) }).await;
        end_all(tasks).await;
        time
    })
}

fn cancelled_tasks(n: usize) -> Duration {
    run(async {
        let tasks = parked(n);
        yield_now().await;
        timed(end_all(tasks)).await
    })
}

/// Each task awaits the one before, and `run` ends while all of them wait.
fn chain(n: usize) -> Duration {
    let end = Rc::new(Cell::new(Duration::ZERO));
    let start = Rc::clone(&end);
    run(async move {
        let mut last = create_task(std::future::pending::<()>());
        for _ in 1..n {
            let before = last;
            last = create_task(async move { before.await.unwrap_or(()) });
        }
        yield_now().await;
        start.set(now());
    });
    now() - end.get()
}

fn cancel_from_a_thread(n: usize) -> Duration {
    let thread = LoopThread::start().unwrap();
    let futures: Vec<_> = (0..n).map(|_| thread.submit(std::future::pending::<()>)).collect();
    thread.run(yield_now).unwrap();
    let start = now();
    for future in &futures {
        future.cancel();
    }
    while thread.run(async || all_tasks().len()).unwrap() > 2 {}
    now() - start
}

fn timers(n: usize) -> Duration {
    run(async {
        timed(async {
            let timers: Vec<_> = shuffled(n)
                .into_iter()
                .map(|at| running_loop().call_later(LONG + Duration::from_nanos(at as u64), || ()))
                .collect();
            timers.iter().for_each(asyncio::TimerHandle::cancel);
        })
        .await
    })
}

fn timers_fired(n: usize) -> Duration {
    Runner::builder().virtual_time(true).run(timed(async {
        for at in shuffled(n) {
            running_loop().call_later(Duration::from_micros(at as u64), || ());
        }
        sleep(Duration::from_micros(n as u64)).await;
    }))
}

fn event(n: usize) -> Duration {
    run(async {
        let event = Rc::new(Event::new());
        timed(async {
            let wait = |event: Rc<Event>| async move { event.wait().await };
            let tasks: Vec<_> = (0..n).map(|_| create_task(wait(event.clone()))).collect();
            yield_now().await;
            end_all(tasks).await;
        })
        .await
    })
}

fn event_set(n: usize) -> Duration {
    run(async {
        let event = Rc::new(Event::new());
        timed(async {
            let wait = |event: Rc<Event>| async move { event.wait().await };
            let tasks: Vec<_> = (0..n).map(|_| create_task(wait(event.clone()))).collect();
            yield_now().await;
            event.set();
            for task in tasks {
                task.await.unwrap();
            }
        })
        .await
    })
}

fn lock(n: usize) -> Duration {
    run(async {
        let lock = Rc::new(Lock::new(0));
        timed(async {
            let guard = lock.acquire().await;
            let count = |lock: Rc<Lock<usize>>| async move { *lock.acquire().await += 1 };
            let tasks: Vec<_> = (0..n).map(|_| create_task(count(lock.clone()))).collect();
            yield_now().await;
            for task in tasks.iter().step_by(2) {
                task.cancel();
            }
            yield_now().await;
            drop(guard);
            for (at, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.is_ok(), at % 2 == 1);
            }
        })
        .await
    })
}

fn getters(n: usize) -> Duration {
    run(async {
        let queue = Rc::new(Queue::<u8>::new());
        timed(async {
            let get = |queue: Rc<Queue<u8>>| async move { queue.get().await.is_ok() };
            let tasks: Vec<_> = (0..n).map(|_| create_task(get(queue.clone()))).collect();
            yield_now().await;
            for at in shuffled(n) {
                tasks[at].cancel();
            }
            for task in tasks {
                assert!(task.await.is_err());
            }
        })
        .await
    })
}

fn barrier(n: usize) -> Duration {
    run(async {
        let barrier = Rc::new(Barrier::new(n + 1));
        timed(async {
            let wait = |barrier: Rc<Barrier>| async move { barrier.wait().await.is_ok() };
            let tasks: Vec<_> = (0..n).map(|_| create_task(wait(barrier.clone()))).collect();
            yield_now().await;
            assert_eq!(barrier.n_waiting(), n);
            end_all(tasks).await;
        })
        .await
    })
}

fn promise_waits(n: usize) -> Duration {
    run(async {
        let promise = create_future::<()>();
        let mut waits: Vec<_> = (0..n).map(|_| Some(promise.clone())).collect();
        let order = shuffled(n);
        timed(async {
            let mut futures: Vec<_> = waits.iter_mut().flatten().collect();
            poll_all(&mut futures).await;
            for at in order {
                drop(waits[at].take());
            }
        })
        .await
    })
}

fn promise_callbacks(n: usize) -> Duration {
    run(async {
        let (promise, order) = (create_future::<()>(), shuffled(n));
        timed(async {
            let callbacks: Vec<_> = (0..n).map(|_| promise.add_done_callback(|_| ())).collect();
            for at in order {
                assert_eq!(promise.remove_done_callback(&callbacks[at]), 1);
            }
        })
        .await
    })
}

fn task_callbacks(n: usize) -> Duration {
    run(async {
        let (task, order) = (create_task(std::future::pending::<()>()), shuffled(n));
        timed(async {
            let callbacks: Vec<_> = (0..n).map(|_| task.add_done_callback(|_| ())).collect();
            for at in order {
                assert_eq!(task.remove_done_callback(&callbacks[at]), 1);
            }
        })
        .await
    })
}

/// Tasks of which one ends in each turn.
fn one_after_the_other(n: usize) -> Vec<Task<()>> {
    let turns = Rc::new(Cell::new(0));
    let ends: Vec<_> = (0..n).map(|_| create_future::<()>()).collect();
    let tasks = ends.iter().map(|end| {
        let end = end.clone();
        create_task(async move { end.await.unwrap() })
    });
    let tasks = tasks.collect();
    drop(create_task(async move {
        for end in ends {
            turns.set(turns.get() + 1);
            end.set_result(()).unwrap();
            yield_now().await;
        }
    }));
    tasks
}

fn wait_all(n: usize) -> Duration {
    run(async {
        let tasks = one_after_the_other(n);
        yield_now().await;
        timed(async { assert_eq!(wait(tasks).await.0.len(), n) }).await
    })
}

fn wait_exception(n: usize) -> Duration {
    run(async {
        let tasks = one_after_the_other(n);
        yield_now().await;
        let ended = wait(tasks).return_when(ReturnWhen::FirstException).into_future();
        timed(async { assert_eq!(ended.await.0.len(), n) }).await
    })
}

fn completed(n: usize) -> Duration {
    run(async {
        let ended = as_completed(one_after_the_other(n));
        timed(scope(async |scope| {
            let children: Vec<_> = (0..n).map(|_| scope.create_task(ended.next())).collect();
            for child in children {
                assert!(child.await.is_some());
            }
        }))
        .await
    })
}

fn children(n: usize) -> Duration {
    run(timed(scope(async |scope| {
        let children: Vec<_> = (0..n).map(|_| scope.create_task(yield_now())).collect();
        for child in children {
            child.await;
        }
    })))
}

fn children_cancelled(n: usize) -> Duration {
    run(async {
        let task = create_task(scope(async move |scope| {
            for _ in 0..n {
                let wait = std::future::pending::<()>();
                drop(scope.create_task(finally(wait, async |_| yield_now().await)));
            }
            std::future::pending::<()>().await;
        }));
        yield_now().await;
        yield_now().await;
        timed(end_all(vec![task])).await
    })
}

fn signals(n: usize) -> Duration {
    run(async {
        timed(async {
            let signals: Vec<_> = (0..n).map(|_| Signals::new([Signal::USR1]).unwrap()).collect();
            drop(signals);
        })
        .await
    })
}

struct Idle;

impl Protocol for Idle {
    fn data_received(&mut self, _: &Transport, _: &[u8]) {}
}

/// The clients are a process of their own, and their time does not count.
fn clients(n: usize) -> Duration {
    run(async {
        let server = create_server("127.0.0.1:0", || Idle).await.unwrap();
        let mut peers = Command::new(std::env::current_exe().unwrap())
            .args([CONNECT, &server.local_addr().unwrap().to_string(), &n.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let until = async |count: usize| {
            while server.client_count() != count {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let took = timed(async {
            until(n).await;
            drop(peers.stdin.take());
            until(0).await;
        })
        .await;
        peers.wait().unwrap();
        took
    })
}

/// The other process: makes connections, says something on each, and leaves at the end of its
/// input.
fn connect(address: &str, count: usize) {
    let connections: Vec<_> = (0..count)
        .map(|_| {
            let mut connection = TcpStream::connect(address).unwrap();
            connection.write_all(b"hello").unwrap();
            connection
        })
        .collect();
    stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(connections);
}
