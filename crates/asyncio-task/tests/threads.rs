//! Between threads and loops: `to_thread`, `run_coroutine_threadsafe`, `LoopThread`, `from_thread`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{
    ErrorContext, EventLoop, JobError, LoopHandle, LoopRef, RunError, context_var, running_loop,
};
use asyncio_task::{
    LoopThread, Runner, TaskHandleExt, create_task, create_task_with, current_task, from_thread,
    run, run_coroutine_threadsafe, to_thread, yield_now,
};

context_var! { static USER: u32 = 0; }

/// A job that blocks until it is released, the receiver of its start, and the sender that releases
/// it.
fn blocking_job() -> (impl FnOnce() + Send + 'static, Receiver<()>, Sender<()>) {
    let (started, starts) = mpsc::channel();
    let (release, held) = mpsc::channel();
    let job = move || {
        let _ = started.send(());
        let _ = held.recv();
    };
    (job, starts, release)
}

//
#[test]
fn to_thread_runs_elsewhere_and_brings_the_value_or_the_panic_back() {
    let here = thread::current().id();
    run(async {
        assert_ne!(to_thread(|| thread::current().id()).await.unwrap(), here);
        let error = to_thread(|| -> u8 { panic!("no") }).await.unwrap_err();
        assert_eq!(error.to_string(), "job panicked: no");
    });
}

//
#[test]
fn to_thread_carries_the_context_there_but_not_back() {
    run(async {
        USER.set(7);
        let seen = to_thread(|| {
            let seen = USER.get();
            USER.set(8);
            seen
        });
        assert_eq!(seen.await.unwrap(), 7);
        assert_eq!(USER.get(), 7);
        // The same worker runs the next job without the context of the first.
        assert_eq!(running_loop().run_in_executor(None, || USER.get()).await.unwrap(), 0);
    });
}

#[test]
fn to_thread_may_be_made_before_the_loop_runs() {
    assert_eq!(run(to_thread(|| 5)).unwrap(), 5);
}

#[test]
fn to_thread_is_named_by_its_caller_when_it_is_stuck() {
    let (job, starts, release) = blocking_job();
    run(async {
        let line = line!() + 1;
        let task = create_task(to_thread(job));
        yield_now().await;
        starts.recv().unwrap();
        let executor = running_loop().default_executor().unwrap();
        assert_eq!(executor.running_jobs()[0].site().line(), line);
        release.send(()).unwrap();
        task.await.unwrap().unwrap();
    });
}

//
#[test]
fn cancelling_a_task_in_to_thread_ends_it_at_once_while_the_thread_continues() {
    let (job, starts, release) = blocking_job();
    run(async {
        let task = create_task(to_thread(job));
        yield_now().await;
        starts.recv().unwrap();
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        // `send` succeeds, so the job still runs.
        release.send(()).unwrap();
    });
}

//
#[test]
fn a_future_from_a_thread_runs_as_a_task_on_the_loop() {
    let thread = LoopThread::start().unwrap();
    let here = thread::current().id();
    let (id, is_task) = thread
        .handle()
        .run_coroutine_threadsafe(|| async {
            // The future is not `Send`, and need not be.
            let local = Rc::new(Cell::new(1));
            yield_now().await;
            local.set(2);
            (thread::current().id(), current_task().is_some())
        })
        .result(Some(Duration::from_secs(60)))
        .unwrap();
    assert_ne!(id, here);
    assert!(is_task);
}

//
#[test]
fn its_panic_comes_back() {
    let thread = LoopThread::start().unwrap();
    let future = run_coroutine_threadsafe(thread.handle(), || async { panic!("boom") });
    assert_eq!(future.result(None).unwrap_err().to_string(), "job panicked: boom");
    assert_eq!(thread.run(|| async { 1 }).unwrap(), 1);
}

//
#[test]
fn a_limit_leaves_the_task_running() {
    let thread = LoopThread::start().unwrap();
    let (release, held) = mpsc::channel();
    let future = thread.submit(move || async move {
        while held.try_recv().is_err() {
            yield_now().await;
        }
        3
    });
    let waited = future.result(Some(Duration::from_millis(1)));
    assert!(matches!(waited, Err(JobError::TimedOut)));
    release.send(()).unwrap();
    assert_eq!(future.result(None).unwrap(), 3);
}

#[test]
fn cancelling_the_thread_future_cancels_the_task() {
    let thread = LoopThread::start().unwrap();
    let (sender, receiver) = mpsc::channel();
    let future = thread.submit(move || async move {
        struct TellDrop(Sender<&'static str>);
        impl Drop for TellDrop {
            fn drop(&mut self) {
                self.0.send("dropped").unwrap();
            }
        }
        let guard = TellDrop(sender);
        guard.0.send("started").unwrap();
        std::future::pending::<()>().await;
        drop(guard);
    });
    assert_eq!(receiver.recv().unwrap(), "started");
    assert!(future.cancel());
    assert_eq!(receiver.recv().unwrap(), "dropped");
    assert!(future.result(None).unwrap_err().is_cancelled());
}

/// The CPU time, on this thread, of one of `count` cancels from outside the loop.
fn time_of_a_cancel(count: usize) -> Duration {
    let cpu_time = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    run(async {
        let handle = running_loop().handle();
        let pending = || run_coroutine_threadsafe(&handle, std::future::pending::<()>);
        let futures: Vec<_> = (0..count).map(|_| pending()).collect();
        while asyncio_task::all_tasks().len() <= count {
            yield_now().await;
        }
        let start = cpu_time();
        futures.iter().for_each(|future| assert!(future.cancel()));
        while asyncio_task::all_tasks().len() > 1 {
            yield_now().await;
        }
        (cpu_time() - start) / count as u32
    })
}

// cases/cancel_from_a_thread
#[test]
fn a_cancel_from_a_thread_costs_the_same_however_many_tasks_there_are() {
    // Compares the shortest of several measurements, since a busy machine makes some of them
    // longer. If each cancel searched all tasks, it would take 32 times as long.
    let (mut few, mut many) = (Duration::MAX, Duration::MAX);
    for _ in 0..100 {
        few = few.min(time_of_a_cancel(500));
        many = many.min(time_of_a_cancel(16_000));
        if many < few * 8 {
            return;
        }
    }
    panic!("{few:?} each among 500, {many:?} among 16,000");
}

#[test]
fn a_future_cancelled_before_it_started_is_never_made() {
    let event_loop = EventLoop::new().unwrap();
    let future = run_coroutine_threadsafe(&event_loop.handle(), || async { unreachable!() });
    assert!(future.cancel());
    event_loop.run_until_complete(yield_now()).unwrap();
    assert!(event_loop.all_tasks().is_empty());
}

//
#[test]
fn cancelling_the_task_on_the_loop_makes_the_thread_future_cancelled() {
    let thread = LoopThread::start().unwrap();
    let future = thread.submit(|| async {
        current_task().unwrap().request_cancel();
        std::future::pending::<()>().await;
    });
    assert!(future.result(None).unwrap_err().is_cancelled());
}

//
#[test]
fn a_task_factory_that_fails_fails_the_thread_future_and_is_reported_once() {
    let reports = Rc::new(Cell::new(0));
    let event_loop = EventLoop::new().unwrap();
    let counts = Rc::clone(&reports);
    event_loop.set_exception_handler(Some(Rc::new(move |_: &LoopRef, context: &ErrorContext| {
        assert_eq!(context.panic(), Some("factory"));
        counts.set(counts.get() + 1);
    })));
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            running_loop().set_task_factory(Some(Rc::new(|_, _| panic!("factory"))));
            let future = run_coroutine_threadsafe(&handle, || async { 1 });
            let error = future.await.unwrap_err();
            assert_eq!(error.to_string(), "job panicked: factory");
        })
        .unwrap();
    assert_eq!(reports.get(), 1);
}

#[test]
fn a_submitted_task_sees_the_context_of_the_thread() {
    let thread = LoopThread::start().unwrap();
    let token = USER.set(9);
    assert_eq!(thread.run(|| async { USER.get() }).unwrap(), 9);
    USER.reset(token).unwrap();
    assert_eq!(thread.run(|| async { USER.get() }).unwrap(), 0);
}

#[test]
fn a_closed_loop_is_an_error() {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let before = run_coroutine_threadsafe(&handle, || async { 1 });
    event_loop.close().unwrap();
    let after = run_coroutine_threadsafe(&handle, || async { 1 });
    assert!(matches!(before.result(None), Err(JobError::LoopClosed)));
    assert!(matches!(after.result(None), Err(JobError::LoopClosed)));
}

#[test]
fn blocking_the_loop_on_its_own_future_is_an_error() {
    let thread = LoopThread::start().unwrap();
    let handle = thread.handle().clone();
    let error = thread.run(move || async move {
        run_coroutine_threadsafe(&handle, || async { 1 }).result(None).unwrap_err()
    });
    assert!(matches!(error, Ok(JobError::WouldDeadlock(_))));
}

#[test]
fn a_thread_future_can_be_awaited_on_another_loop() {
    let thread = LoopThread::start().unwrap();
    let value = run(thread.submit(|| async {
        yield_now().await;
        4
    }));
    assert_eq!(value.unwrap(), 4);
}

#[test]
fn stopping_a_loop_thread_cancels_what_runs_there_and_joins_it() {
    let thread = LoopThread::builder().name("my loop").start().unwrap();
    let name = thread.run(|| async { thread::current().name().map(str::to_owned) });
    assert_eq!(name.unwrap().as_deref(), Some("my loop"));
    let left = thread.submit(std::future::pending::<()>);
    let handle = thread.handle().clone();
    thread.stop();
    assert!(left.result(None).is_err());
    assert!(handle.is_closed());
    assert!(run_coroutine_threadsafe(&handle, || async { 1 }).result(None).is_err());
}

#[test]
fn a_loop_thread_that_cannot_start_says_why() {
    let refused = LoopThread::builder().loop_factory(|| Err(std::io::Error::other("no loop")));
    assert_eq!(refused.start().unwrap_err().to_string(), "no loop");
}

#[test]
fn a_loop_thread_can_be_dropped_on_its_own_thread() {
    let thread = LoopThread::start().unwrap();
    let handle = thread.handle().clone();
    let future = run_coroutine_threadsafe(&handle, || async move { drop(thread) });
    // If the loop ends first, the task has been cancelled after it dropped the thread.
    let _ = future.result(None);
    while !handle.is_closed() {
        thread::yield_now();
    }
}

#[test]
fn a_job_can_call_back_to_its_loop() {
    let seen = run(async {
        let here = thread::current().id();
        to_thread(move || {
            let inside = from_thread::run(move || async move {
                yield_now().await;
                thread::current().id() == here
            });
            let sync = from_thread::run_sync(move || thread::current().id() == here);
            (inside.unwrap(), sync.unwrap())
        })
        .await
    });
    assert_eq!(seen.unwrap(), (true, true));
}

#[test]
fn calls_back_nest() {
    fn count(depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        from_thread::run(move || async move { to_thread(move || count(depth - 1)).await })
            .unwrap()
            .unwrap()
            + 1
    }
    assert_eq!(run(to_thread(|| count(4))).unwrap(), 4);
}

#[test]
fn from_thread_outside_of_a_job_is_an_error() {
    let error = from_thread::run(|| async { 1 }).unwrap_err();
    assert!(matches!(error, JobError::Failed(_)));
}

#[test]
fn from_thread_of_a_job_that_outlives_its_loop_is_an_error() {
    let (sender, receiver) = mpsc::channel();
    let (job, starts, release) = blocking_job();
    let mut runner = Runner::new();
    let result: Result<(), RunError> = runner.run(async {
        let job = move || {
            job();
            sender.send(from_thread::run(|| async { 1 })).unwrap();
        };
        create_task_with(to_thread(job), asyncio_task::TaskOptions::new().eager_start(true));
        starts.recv().unwrap();
    });
    result.unwrap();
    let handle: LoopHandle = runner.event_loop().unwrap().handle();
    // Closing the loop does not wait for the blocked job.
    runner.event_loop().unwrap().close().unwrap();
    assert!(handle.is_closed());
    release.send(()).unwrap();
    assert!(matches!(receiver.recv().unwrap(), Err(JobError::LoopClosed)));
}
