//! asyncio programs inside a tokio runtime: where its context is set, and which side waits for
//! which.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio_loop::{EventLoop, RunError, TaskOptions, ThreadPoolExecutor};
use asyncio_task::{
    LoopThread, Promise, Runner, create_future, create_task, finally, gather, running_loop, sleep,
    timeout, to_thread, try_running_loop, yield_now,
};
use asyncio_tokio::{TokioExt, TokioHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

fn in_context() -> bool {
    Handle::try_current().is_ok()
}

/// Logs, when it is dropped, whether tokio's context is set.
struct AtDrop(Rc<RefCell<Vec<bool>>>);

impl Drop for AtDrop {
    fn drop(&mut self) {
        self.0.borrow_mut().push(in_context());
    }
}

#[test]
fn the_context_is_in_tasks_callbacks_cleanup_destructors_and_jobs() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let see = |seen: &Rc<RefCell<Vec<bool>>>| seen.borrow_mut().push(in_context());
    let mut runner = Runner::builder().tokio(true).build();
    let noted = Rc::clone(&seen);
    runner
        .run(async move {
            see(&noted);
            let task = Rc::clone(&noted);
            create_task(async move { see(&task) }).await.unwrap();
            let callback = Rc::clone(&noted);
            running_loop().call_soon(move || see(&callback));
            let timer = Rc::clone(&noted);
            running_loop().call_later(Duration::from_millis(1), move || see(&timer));
            sleep(Duration::from_millis(3)).await;
            let in_job = to_thread(in_context).await.unwrap();
            noted.borrow_mut().push(in_job);

            // Code in cleanup at the end of the program, and destructors while the loop closes.
            let cleanup = Rc::clone(&noted);
            create_task(finally(pending::<()>(), async move |_| {
                tokio::time::sleep(Duration::from_millis(1)).await;
                see(&cleanup);
            }));
            let hook = AtDrop(Rc::clone(&noted));
            running_loop().set_exception_handler(Some(Rc::new(move |_, _| {
                let _hook = &hook;
            })));
            yield_now().await;
        })
        .unwrap();
    assert!(!in_context(), "between the runs");
    drop(runner);
    assert_eq!(*seen.borrow(), [true; 7]);
}

#[test]
fn a_main_future_that_is_stopped_is_dropped_in_the_context() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let at_drop = AtDrop(Rc::clone(&seen));
    let mut runner = Runner::builder().tokio(true).build();
    let stopped = runner.run(async move {
        let _at_drop = at_drop;
        running_loop().stop();
        pending::<()>().await;
    });
    assert_eq!((stopped, &*seen.borrow()), (Err(RunError::Stopped), &vec![true]));
}

#[test]
fn tasks_timers_and_blocking_jobs_of_tokio_run_beside_ours() {
    let log = asyncio_tokio::run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let (ours, theirs) = (Rc::clone(&log), Rc::clone(&log));
        let task = create_task(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            ours.borrow_mut().push("ours, on a timer of tokio");
        });
        let local = tokio::task::spawn_local(async move {
            sleep(Duration::from_millis(6)).await;
            theirs.borrow_mut().push("theirs, on a timer of ours");
        });
        let blocking = tokio::task::spawn_blocking(|| 2);
        let spawned = tokio::spawn(async { 40 });
        assert_eq!(blocking.await.unwrap() + spawned.await.unwrap(), 42);
        task.await.unwrap();
        local.await.unwrap();
        log.take()
    });
    assert!(log.contains(&"ours, on a timer of tokio"), "{log:?}");
    assert!(log.contains(&"theirs, on a timer of ours"), "{log:?}");
}

#[test]
fn tasks_of_tokio_use_the_running_loop() {
    asyncio_tokio::run(async {
        let task = tokio::task::spawn_local(async {
            assert!(running_loop().close().is_err());
            let other = EventLoop::new().unwrap().run_until_complete(async {});
            assert!(matches!(other, Err(RunError::AlreadyRunning { .. })));
            // The loop rests by now, so the new task has to wake it.
            create_task(async { yield_now().await }).await.unwrap();
            let (one, two) = gather((async { 1 }, async { 2 })).await;
            one + two
        });
        assert_eq!(task.await.unwrap(), 3);
    });
}

#[test]
fn sockets_of_tokio_work_in_tasks_of_ours() {
    const ROUNDS: usize = 1000;
    asyncio_tokio::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = create_task(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..read]).await.unwrap();
            }
        });
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut buffer = [0; 64];
        for round in 0..ROUNDS {
            buffer[0] = round as u8;
            stream.write_all(&buffer).await.unwrap();
            stream.read_exact(&mut buffer).await.unwrap();
            assert_eq!(buffer[0], round as u8);
        }
        drop(stream);
        server.await.unwrap();
    });
}

#[test]
fn our_cancellation_reaches_futures_of_tokio() {
    asyncio_tokio::run(async {
        let slow = tokio::time::sleep(Duration::from_secs(3600));
        assert!(timeout(Duration::from_millis(1), slow).await.is_err());
        let dropped = Rc::new(RefCell::new(Vec::new()));
        let at_drop = AtDrop(Rc::clone(&dropped));
        let task = create_task(async move {
            let _at_drop = at_drop;
            let _listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tokio::time::sleep(Duration::from_secs(3600)).await;
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*dropped.borrow(), [true]);
    });
}

#[test]
fn a_busy_loop_leaves_time_to_tokio() {
    asyncio_tokio::run(async {
        let end = Rc::new(Cell::new(false));
        for _ in 0..1000 {
            let end = Rc::clone(&end);
            create_task(async move {
                while !end.get() {
                    yield_now().await;
                }
            });
        }
        // Both waits need turns of tokio and of the loop.
        tokio::time::sleep(Duration::from_millis(2)).await;
        for _ in 0..10 {
            tokio::spawn(async { tokio::task::yield_now().await }).await.unwrap();
        }
        end.set(true);
    });
}

#[test]
fn tasks_of_tokio_wait_for_the_next_run_and_end_with_the_loop() {
    let dropped = Rc::new(RefCell::new(Vec::new()));
    let mut runner = Runner::builder().tokio(true).build();
    let count = Rc::new(Cell::new(0));
    let (counter, at_drop) = (Rc::clone(&count), AtDrop(Rc::clone(&dropped)));
    let first_run = Rc::clone(&count);
    runner
        .run(async move {
            tokio::task::spawn_local(async move {
                let _at_drop = at_drop;
                loop {
                    counter.set(counter.get() + 1);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            until(first_run, 2).await;
        })
        .unwrap();
    let first = count.get();
    runner.run(until(Rc::clone(&count), first + 1)).unwrap();
    assert!(dropped.borrow().is_empty());
    drop(runner);
    assert_eq!(*dropped.borrow(), [true]);
}

/// Waits with tokio's timers until a count is reached.
async fn until(count: Rc<Cell<usize>>, least: usize) {
    while count.get() < least {
        tokio_sleep(1).await;
    }
}

async fn tokio_sleep(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[test]
fn a_panic_ends_its_task_or_the_run() {
    let mut runner = Runner::builder().tokio(true).build();
    let ended = runner.run(async {
        let task = create_task(async {
            tokio_sleep(1).await;
            panic!("ours");
        });
        let theirs = tokio::spawn(async { panic!("theirs") });
        (task.await.is_err(), theirs.await.is_err())
    });
    assert_eq!(ended, Ok((true, true)));
    let run = AssertUnwindSafe(|| runner.run(async { panic!("the main task") }));
    let payload = catch_unwind(run).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the main task"));
    assert_eq!(runner.run(async { tokio::spawn(async { 1 }).await.unwrap() }), Ok(1));
}

#[test]
fn blocking_on_tokio_inside_a_task_is_refused() {
    let message = |code: fn()| {
        let payload = asyncio_tokio::run(async move { catch_unwind(code).unwrap_err() });
        match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
        }
    };
    let block_on = message(|| Handle::current().block_on(async {}));
    assert!(block_on.contains("from within a runtime"), "{block_on}");
    let block_in_place = message(|| tokio::task::block_in_place(|| ()));
    assert!(block_in_place.contains("multi-threaded runtime"), "{block_in_place}");
}

#[test]
fn a_loop_thread_has_its_own_runtime() {
    let thread = LoopThread::builder().tokio(true).start().unwrap();
    let answer = thread.run(|| async {
        tokio_sleep(1).await;
        tokio::task::spawn_local(async { try_running_loop().is_ok() }).await.unwrap()
    });
    assert!(answer.unwrap());
    let never = thread.submit(|| tokio_sleep(3_600_000));
    thread.stop();
    assert!(never.result(None).unwrap_err().is_cancelled());
}

#[test]
fn the_option_may_be_false() {
    Runner::builder().tokio(false).run(async { assert!(!in_context()) });
}

#[test]
fn virtual_time_is_the_loops() {
    let start = Instant::now();
    Runner::builder().virtual_time(true).tokio(true).run(async {
        let before = running_loop().time();
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(running_loop().time() - before, Duration::from_secs(3600));
        assert_eq!(tokio::spawn(async { 1 }).await.unwrap(), 1);
    });
    assert!(start.elapsed() < Duration::from_secs(600));
}

#[test]
fn threads_reach_a_loop_that_rests_in_tokio() {
    asyncio_tokio::run(async {
        let (promise, (sender, receiver)) =
            (create_future::<u32>(), tokio::sync::oneshot::channel());
        running_loop().local::<RefCell<Option<Promise<u32>>>>().replace(Some(promise.clone()));
        let handle = running_loop().handle();
        let thread = std::thread::spawn(move || {
            sender.send(1).unwrap();
            let keep = || {
                let promise = running_loop().local::<RefCell<Option<Promise<u32>>>>().take();
                promise.unwrap().set_result(41).unwrap();
            };
            handle.call_soon_threadsafe(keep).unwrap();
        });
        assert_eq!(receiver.await.unwrap() + promise.await.unwrap(), 42);
        thread.join().unwrap();
    });
}

#[test]
fn a_host_of_another_runtime_is_dropped_without_blocking() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_host(Rc::new(TokioHost::new().unwrap())).unwrap();
    event_loop
        .run_until_complete(async {
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        })
        .unwrap();
    asyncio_tokio::run(async move { drop(event_loop) });
}

#[test]
fn an_executor_of_the_program_enters_the_runtime_by_its_initializer() {
    asyncio_tokio::run(async {
        let plain = ThreadPoolExecutor::default();
        assert!(!running_loop().run_in_executor(Some(&plain), in_context).await.unwrap());
        let runtime = Handle::current();
        let enter = move || std::mem::forget(runtime.enter());
        let own = ThreadPoolExecutor::builder().initializer(enter).build();
        assert!(running_loop().run_in_executor(Some(&own), in_context).await.unwrap());
        let sum = to_thread(|| {
            // A job may wait for tokio, since it does not block the loop.
            Handle::current().block_on(async { tokio::spawn(async { 42 }).await.unwrap() })
        });
        assert_eq!(sum.await.unwrap(), 42);
    });
}

#[test]
fn a_loop_by_hand_runs_in_a_runtime_too() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_host(Rc::new(TokioHost::new().unwrap())).unwrap();
    let this = event_loop.loop_ref();
    event_loop.call_later(Duration::from_millis(1), move || this.stop());
    event_loop.run_forever().unwrap();
    let task = event_loop.spawn(tokio_sleep(1), TaskOptions::new()).unwrap();
    event_loop.run_until_complete(tokio_sleep(2)).unwrap();
    assert!(task.task().is_done());
    event_loop.close().unwrap();
}

#[test]
fn without_the_runtime_a_report_names_the_feature() {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&reports);
    asyncio_task::run(async move {
        running_loop().set_exception_handler(Some(Rc::new(move |_, context| {
            told.borrow_mut().push(context.to_string());
        })));
        let task = create_task(async { tokio_sleep(1).await });
        assert!(task.await.is_err(), "the awaiter gets the panic");
        let detached = create_task(async { drop(TcpListener::bind("127.0.0.1:0").await) });
        drop(detached);
        yield_now().await;
        yield_now().await;
    });
    let reports = reports.take();
    let named = reports.iter().filter(|report| report.contains("`tokio-runtime`")).count();
    assert_eq!((named, reports.len()), (2, 3), "{reports:?}");
}

/// Runs a program in debug mode up to the first report, if there is one; returns what was reported.
fn reported<F: Future + 'static>(program: F) -> (Result<F::Output, RunError>, Vec<String>) {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let mut runner = Runner::builder().tokio(true).debug(true).build();
    let event_loop = runner.event_loop().unwrap();
    let heard = Rc::clone(&reports);
    event_loop.set_exception_handler(Some(Rc::new(move |event_loop, context| {
        heard.borrow_mut().push(context.message().to_owned());
        event_loop.stop();
    })));
    let result = runner.run(program);
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    (result, reports.take())
}

#[test]
fn tasks_that_nothing_can_wake_are_reported_if_tokio_has_no_task_that_could() {
    let (result, reports) = reported(pending::<()>());
    assert!(matches!(result, Err(RunError::Stopped)), "{result:?}");
    assert_eq!(reports, ["all tasks wait, and nothing is left that could wake one"]);
}

#[test]
fn tasks_that_tokio_wakes_are_not_reported() {
    let (result, reports) = reported(async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let promise = create_future();
        let settle = promise.clone();
        // The loop does not know that this tokio task holds its promise.
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            settle.set_result(6 * 7).unwrap();
        });
        promise.await.unwrap()
    });
    assert_eq!((result.unwrap(), reports), (42, Vec::new()));
}
