//! One operation many times, for counting the instructions it takes under valgrind.
//!
//! ```text
//! ci/instructions.py                             count every row
//! instructions --list                            names of the rows, and how often each is to run
//! instructions ROW TIMES                         run one row that often
//! ```
//!
//! The loop's clock moves by a fixed step each time it is read, so the loop polls its driver after
//! a fixed amount of work. A run takes the same instructions however busy the machine is.

use std::future::{Future, pending, poll_fn, ready};
use std::hint::black_box;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use asyncio::net::connect_accepted_socket;
use asyncio::prelude::TaskLoopExt;
use asyncio::sync::{broadcast, watch};
use asyncio::{
    Event, EventLoop, Lock, Protocol, Queue, Transport, create_future, create_task, gather,
    open_connection, running_loop, sleep, task_group, timeout, yield_now,
};
use futures_util::future::join_all;

/// Tasks that are alive at the same time in the rows of many.
const MANY: u64 = 1000;
/// What one reading of the clock adds: less than half of what the loop aims at between two
/// readings, as in a loop that is busy with quick steps, so that it reads the clock once in as many
/// steps as it does there.
const CLOCK_STEP: Duration = Duration::from_micros(1);
/// Far enough away never to come.
const LIMIT: Duration = Duration::from_secs(3600);

/// A row: its name, how often it runs, operations in each run, and what runs.
type Row = (&'static str, u64, u64, fn(u64));

const ROWS: &[Row] = &[
    ("call_soon", 20_000, 1, call_soon),
    ("spawn_await", 20_000, 1, spawn_await),
    ("spawn_2_kb_await", 20_000, 1, spawn_large),
    ("spawn_1000_join", 20, MANY, spawn_many),
    ("yield_among_1000", 20, MANY, yield_among_many),
    ("yield_recorded", 20, MANY, yield_recorded),
    ("gather_10000", 2, 10_000, gather_many),
    ("join_all_10000", 2, 10_000, join_all_many),
    ("group_1000", 20, MANY, group),
    ("cancel_parked", 20, MANY, cancel_parked),
    ("queue_of_1", 20_000, 1, queue::<1>),
    ("queue_of_1024", 20_000, 1, queue::<1024>),
    ("event_round_trip", 10_000, 1, event_round_trip),
    ("promise_round_trip", 20_000, 1, promise_round_trip),
    ("broadcast_burst_to_10", 100, 1000, broadcast::<100>),
    ("broadcast_one_to_10", 2_000, 10, broadcast::<1>),
    ("watch_by_10", 2_000, 10, watch_by_many),
    ("lock_uncontended", 20_000, 1, lock_uncontended),
    ("timeout_ready", 20_000, 1, timeout_ready),
    ("timeout_pending_once", 20_000, 1, timeout_pending_once),
    ("sleep_dropped", 20_000, 1, sleep_dropped),
    ("wake_from_thread", 20, MANY, wake_from_thread),
    ("echo_protocol_stream", 2_000, 1, echo),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => {
            ROWS.iter().for_each(|(name, times, of, _)| println!("{name} {times} {of}"));
        }
        [name, times] => {
            let row = ROWS.iter().find(|row| row.0 == name).expect("a row of --list");
            (row.3)(times.parse().expect("a number"));
        }
        _ => panic!("usage: instructions --list | ROW TIMES"),
    }
}

/// Runs `main` in a loop whose clock moves as it is read.
fn run<T>(main: impl Future<Output = T>) -> T {
    let event_loop =
        EventLoop::builder().counted_time(CLOCK_STEP).debug(false).build().expect("a poller");
    event_loop.run_until_complete(main).expect("a run that ends")
}

/// Schedules a callback and lets it run.
fn call_soon(times: u64) {
    run(async move {
        let event_loop = running_loop();
        for number in 0..times {
            event_loop.call_soon(move || _ = black_box(number));
            if number % MANY == 0 {
                yield_now().await;
            }
        }
    });
}

/// Makes a task and waits for its value.
fn spawn_await(times: u64) {
    run(async move {
        for number in 0..times {
            black_box(create_task(ready(number)).await.expect("a value"));
        }
    });
}

/// Makes a task of a future of 2 KB, whose copies count, and waits for its value.
fn spawn_large(times: u64) {
    run(async move {
        for number in 0..times {
            let large = black_box([number; 256]);
            black_box(create_task(async move { black_box(&large)[0] }).await.expect("a value"));
        }
    });
}

/// Makes many tasks, then waits for each.
fn spawn_many(times: u64) {
    run(async move {
        for _ in 0..times {
            let tasks: Vec<_> = (0..MANY).map(|number| create_task(ready(number))).collect();
            for task in tasks {
                black_box(task.await.expect("a value"));
            }
        }
    });
}

/// Many tasks that let each other run.
fn yield_among_many(times: u64) {
    run(async move {
        let work = |_| {
            create_task(async move {
                for _ in 0..times {
                    yield_now().await;
                }
            })
        };
        for task in (0..MANY).map(work).collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
    });
}

/// As `yield_among_many`, with the flight recorder on: three events for each yield.
fn yield_recorded(times: u64) {
    run(async move {
        let recorder = running_loop().record(10_000);
        let work = |_| {
            create_task(async move {
                for _ in 0..times {
                    yield_now().await;
                }
            })
        };
        for task in (0..MANY).map(work).collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
        drop(recorder);
    });
}

/// Gathers ready futures.
fn gather_many(times: u64) {
    run(async move {
        for _ in 0..times {
            black_box(gather((0..10_000_u64).map(ready).collect::<Vec<_>>()).await);
        }
    });
}

/// Tasks under a combinator that has a waker of its own for each.
fn join_all_many(times: u64) {
    run(async move {
        for _ in 0..times {
            black_box(join_all((0..10_000_u64).map(|number| create_task(ready(number)))).await);
        }
    });
}

/// Children of a group, which the group polls.
fn group(times: u64) {
    run(async move {
        for _ in 0..times {
            let group = task_group(async |group| {
                for number in 0..MANY {
                    drop(group.create_task(ready(Ok::<_, io::Error>(number))));
                }
                Ok(())
            });
            group.await.expect("no child fails");
        }
    });
}

/// Cancels tasks that wait forever, and waits for their ends.
fn cancel_parked(times: u64) {
    run(async move {
        for _ in 0..times {
            let tasks: Vec<_> = (0..MANY).map(|_| create_task(pending::<()>())).collect();
            yield_now().await;
            tasks.iter().for_each(|task| assert!(task.cancel()));
            for task in tasks {
                assert!(task.await.is_err());
            }
        }
    });
}

/// One task puts, another gets.
fn queue<const SIZE: usize>(times: u64) {
    run(async move {
        let queue = Rc::new(Queue::bounded(SIZE));
        let sender = Rc::clone(&queue);
        let producer = create_task(async move {
            for item in 0..times {
                sender.put(item).await.expect("an open queue");
            }
        });
        for _ in 0..times {
            black_box(queue.get().await.expect("an open queue"));
        }
        producer.await.expect("no panic");
    });
}

/// Two tasks that wake each other by an event each.
fn event_round_trip(times: u64) {
    run(async move {
        let (ping, pong) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let (heard, answer) = (Rc::clone(&ping), Rc::clone(&pong));
        let other = create_task(async move {
            for _ in 0..times {
                heard.wait().await;
                heard.clear();
                answer.set();
            }
        });
        for _ in 0..times {
            ping.set();
            pong.wait().await;
            pong.clear();
        }
        other.await.expect("no panic");
    });
}

/// A number of values at a time for ten receivers.
fn broadcast<const VALUES: u64>(times: u64) {
    run(async move {
        let (sender, _) = broadcast::channel(1024);
        let receivers: Vec<_> = (0..10)
            .map(|_| {
                let mut receiver = sender.subscribe();
                create_task(async move {
                    while let Ok(value) = receiver.recv().await {
                        black_box::<u64>(value);
                    }
                })
            })
            .collect();
        for _ in 0..times {
            (0..VALUES).for_each(|value| _ = sender.send(value));
            yield_now().await;
        }
        drop(sender);
        for receiver in receivers {
            receiver.await.expect("no panic");
        }
    });
}

/// A value that changes, and ten tasks that look at it each time.
fn watch_by_many(times: u64) {
    run(async move {
        let (sender, _) = watch::channel(0);
        let receivers: Vec<_> = (0..10)
            .map(|_| {
                let mut receiver = sender.subscribe();
                create_task(async move {
                    while receiver.changed().await.is_ok() {
                        black_box::<u64>(*receiver.borrow_and_update());
                    }
                })
            })
            .collect();
        for value in 0..times {
            sender.send(value);
            yield_now().await;
        }
        drop(sender);
        for receiver in receivers {
            receiver.await.expect("no panic");
        }
    });
}

/// A promise that a callback settles while a task awaits it.
fn promise_round_trip(times: u64) {
    run(async move {
        let event_loop = running_loop();
        for number in 0..times {
            let promise = event_loop.create_future();
            let setter = promise.clone();
            event_loop.call_soon(move || _ = setter.set_result(number));
            black_box(promise.await.expect("a value"));
        }
        drop(create_future::<()>());
    });
}

/// Takes a free lock and releases it.
fn lock_uncontended(times: u64) {
    run(async move {
        let lock = Lock::new(0_u64);
        for _ in 0..times {
            *black_box(lock.acquire().await) += 1;
        }
    });
}

/// A limit around a future that is ready.
fn timeout_ready(times: u64) {
    run(async move {
        for number in 0..times {
            black_box(timeout(LIMIT, ready(number)).await.expect("in time"));
        }
    });
}

/// A limit around a future that is pending once.
fn timeout_pending_once(times: u64) {
    run(async move {
        for _ in 0..times {
            timeout(LIMIT, yield_now()).await.expect("in time");
        }
    });
}

/// A sleep that is made, polled once, and dropped.
fn sleep_dropped(times: u64) {
    run(async move {
        for _ in 0..times {
            let mut sleep = std::pin::pin!(sleep(LIMIT));
            let polled = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
        }
    });
}

/// Wakers that another thread wakes, and the polls that follow.
fn wake_from_thread(times: u64) {
    run(async move {
        for _ in 0..times {
            let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
            let tasks: Vec<_> = (0..MANY)
                .map(|_| {
                    let (sender, mut sent) = (sender.clone(), false);
                    create_task(poll_fn(move |cx| {
                        if std::mem::replace(&mut sent, true) {
                            return Poll::Ready(());
                        }
                        sender.send(cx.waker().clone()).expect("a receiver");
                        Poll::Pending
                    }))
                })
                .collect();
            drop(sender);
            yield_now().await;
            let wakers: Vec<Waker> = receiver.try_iter().collect();
            // The loop waits for the thread here, so it is never woken out of a poll.
            thread::spawn(move || wakers.into_iter().for_each(Waker::wake))
                .join()
                .expect("a thread that ends");
            for task in tasks {
                task.await.expect("no panic");
            }
        }
    });
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// A stream writes a small message, and a protocol sends it back.
fn echo(times: u64) {
    let main = async move {
        let (ours, theirs) = UnixStream::pair()?;
        connect_accepted_socket(ours, || Echo).await?;
        let (mut reader, writer) = open_connection(theirs).await?;
        for _ in 0..times {
            writer.write([7; 64]);
            black_box(reader.read_exactly(64).await?);
        }
        io::Result::Ok(())
    };
    run(main).expect("an open connection");
}
