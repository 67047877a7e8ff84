//! `run_in_executor`, the default executor and its shutdown, and thread futures that a loop awaits.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use asyncio_loop::{
    EventLoop, Executor, Job, JobError, TaskOptions, ThreadPoolExecutor, ThreadPromise,
    context_var, running_loop, wrap_future,
};

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

fn run<T>(future: impl Future<Output = T>) -> T {
    EventLoop::new().unwrap().run_until_complete(future).unwrap()
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//
#[test]
fn the_function_runs_on_another_thread_and_its_value_comes_back() {
    let here = thread::current().id();
    let there =
        run(async { running_loop().run_in_executor(None, || thread::current().id()).await });
    assert_ne!(there.unwrap(), here);
}

//
#[test]
fn a_panic_is_the_error_of_the_call() {
    let error =
        run(async { running_loop().run_in_executor(None, || -> () { panic!("no") }).await });
    assert_eq!(error.unwrap_err().to_string(), "job panicked: no");
}

//
#[test]
fn the_default_executor_is_made_at_its_first_use_and_its_threads_have_names() {
    let name = run(async {
        let name = || thread::current().name().map(str::to_owned);
        running_loop().run_in_executor(None, name).await
    });
    assert_eq!(name.unwrap().as_deref(), Some("asyncio_0"));
}

//
#[test]
fn a_given_executor_is_used_and_left_alone() {
    let own = ThreadPoolExecutor::builder().thread_name_prefix("own").build();
    let name = || thread::current().name().map(str::to_owned);
    let event_loop = EventLoop::new().unwrap();
    let job = event_loop.run_in_executor(Some(&own), name);
    assert_eq!(event_loop.run_until_complete(job).unwrap().unwrap().as_deref(), Some("own_0"));
    event_loop.close().unwrap();
    assert_eq!(own.submit(|| 1).result(None).unwrap(), 1);
}

#[test]
fn any_executor_will_do() {
    struct Inline;
    impl Executor for Inline {
        fn execute(&self, job: Job) {
            job.run();
        }
    }
    let value = run(async { running_loop().run_in_executor(Some(&Inline), || 5).await });
    assert_eq!(value.unwrap(), 5);
}

//
#[test]
fn run_in_executor_does_not_carry_the_context() {
    context_var! { static USER: u32 = 0; }
    let seen = run(async {
        USER.set(7);
        running_loop().run_in_executor(None, || USER.get()).await
    });
    assert_eq!(seen.unwrap(), 0);
}

//
#[test]
fn cancelling_a_running_job_ends_the_wait_at_once_and_the_job_goes_on() {
    let (job, starts, release) = blocking_job();
    run(async {
        let mut wait = running_loop().run_in_executor(None, job);
        starts.recv().unwrap();
        assert!(wait.cancel());
        assert!(!wait.cancel());
        assert!(wait.await.unwrap_err().is_cancelled());
    });
    // `send` succeeds, so the job still runs.
    release.send(()).unwrap();
}

//
#[test]
fn cancelling_the_wait_cancels_a_job_that_has_not_started() {
    let pool = ThreadPoolExecutor::builder().max_workers(1).build();
    let (job, starts, release) = blocking_job();
    let running = pool.submit(job);
    starts.recv().unwrap();
    let queued = pool.submit(|| 1);
    assert!(wrap_future(queued.clone()).cancel());
    assert!(queued.is_cancelled());

    let dropped = pool.submit(|| 1);
    drop(wrap_future(dropped.clone()));
    assert!(dropped.is_cancelled());
    release.send(()).unwrap();
    running.result(None).unwrap();
}

//
#[test]
fn a_future_that_completed_just_before_keeps_its_value_and_the_wait_is_cancelled() {
    let (promise, future) = ThreadPromise::new();
    let mut wait = wrap_future(future.clone());
    promise.set_result(3);
    assert!(wait.cancel());
    assert!(run(wait).unwrap_err().is_cancelled());
    assert_eq!(future.result(None).unwrap(), 3);
}

#[test]
fn a_detached_job_runs_although_nobody_waits() {
    let pool = ThreadPoolExecutor::builder().max_workers(1).build();
    let (job, starts, release) = blocking_job();
    let running = pool.submit(job);
    starts.recv().unwrap();
    let queued = pool.submit(|| 1);
    wrap_future(queued.clone()).detach();
    assert!(wrap_future(queued.clone()).into_thread_future().is_some());
    release.send(()).unwrap();
    assert_eq!(queued.result(None).unwrap(), 1);
    running.result(None).unwrap();
}

//
#[test]
fn a_result_that_comes_after_the_loop_is_closed_is_dropped() {
    let (job, starts, release) = blocking_job();
    let pool = ThreadPoolExecutor::builder().max_workers(1).build();
    let event_loop = EventLoop::new().unwrap();
    let wait = event_loop.run_in_executor(Some(&pool), job);
    let task = event_loop.spawn(async { wait.await.unwrap() }, TaskOptions::new()).unwrap();
    event_loop.run_until_complete(yield_once()).unwrap();
    starts.recv().unwrap();
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    event_loop.close().unwrap();
    assert!(task.task().is_done());
    release.send(()).unwrap();
    pool.join(None).unwrap();
}

//
#[test]
fn timers_go_on_while_the_default_executor_shuts_down() {
    let (job, starts, release) = blocking_job();
    run(async {
        let event_loop = running_loop();
        let wait = event_loop.run_in_executor(None, job);
        starts.recv().unwrap();
        // The timer releases the job, which would not end otherwise.
        event_loop.call_later(Duration::from_millis(1), move || release.send(()).unwrap());
        event_loop.shutdown_default_executor(None).await.unwrap();
        wait.await.unwrap();
    });
}

//
#[test]
fn after_its_shutdown_the_default_executor_refuses_and_others_do_not() {
    let own = ThreadPoolExecutor::default();
    run(async {
        let event_loop = running_loop();
        event_loop.shutdown_default_executor(None).await.unwrap();
        event_loop.shutdown_default_executor(None).await.unwrap();
        assert!(event_loop.default_executor().is_none());
        let refused = event_loop.run_in_executor(None, || 1).await;
        assert!(matches!(refused, Err(JobError::ExecutorShutdown)));
        assert_eq!(event_loop.run_in_executor(Some(&own), || 1).await.unwrap(), 1);
    });
}

//
#[test]
fn a_shutdown_with_a_limit_names_what_is_stuck() {
    let (job, starts, release) = blocking_job();
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let line = line!() + 2;
    let stuck = event_loop.run_until_complete(async {
        running_loop().run_in_executor(None, job).detach();
        starts.recv().unwrap();
        running_loop().shutdown_default_executor(Some(Duration::from_secs(300))).await
    });
    let stuck = stuck.unwrap().unwrap_err();
    assert_eq!(stuck.jobs()[0].site().line(), line);
    assert!(stuck.to_string().starts_with("executor did not finish joining"), "{stuck}");
    assert!(stuck.to_string().contains("executor.rs"), "{stuck}");
    release.send(()).unwrap();
}

//
#[test]
fn closing_the_loop_does_not_wait_for_the_default_executor() {
    let (job, starts, release) = blocking_job();
    let event_loop = EventLoop::new().unwrap();
    event_loop.run_in_executor(None, job).detach();
    starts.recv().unwrap();
    event_loop.close().unwrap();
    assert!(event_loop.default_executor().is_none());
    // `send` succeeds, so the job still runs.
    release.send(()).unwrap();
}

#[test]
fn set_default_executor_replaces_the_one_before() {
    let name = || thread::current().name().map(str::to_owned);
    let pool = |prefix| ThreadPoolExecutor::builder().thread_name_prefix(prefix).build();
    run(async {
        let event_loop = running_loop();
        event_loop.set_default_executor(pool("first"));
        let first = event_loop.run_in_executor(None, name).await.unwrap();
        event_loop.set_default_executor(Rc::new(pool("second")));
        let second = event_loop.run_in_executor(None, name).await.unwrap();
        assert_eq!((first.as_deref(), second.as_deref()), (Some("first_0"), Some("second_0")));
    });
}

#[test]
fn many_jobs_at_once_all_come_back() {
    let sum = run(async {
        let event_loop = running_loop();
        let jobs: Vec<_> =
            (0..1000_u64).map(|n| event_loop.run_in_executor(None, move || n)).collect();
        let sum = Cell::new(0);
        for job in jobs {
            sum.set(sum.get() + job.await.unwrap());
        }
        sum.get()
    });
    assert_eq!(sum, 499_500);
}

// L-026, X-009
#[test]
fn a_closed_loop_runs_no_job_whatever_the_executor() {
    let event_loop = EventLoop::new().unwrap();
    let this = event_loop.loop_ref();
    drop(event_loop);
    let pool = ThreadPoolExecutor::default();
    for executor in [None, Some(&pool as &dyn Executor)] {
        let refused = this.run_in_executor(executor, || panic!("it runs"));
        let refused: Result<(), _> = refused.into_thread_future().unwrap().result(None);
        assert!(matches!(refused, Err(JobError::LoopClosed)), "{refused:?}");
    }
}

#[test]
fn an_error_of_ones_own_shows_its_text_and_comes_back_as_it_was() {
    let (promise, future) = ThreadPromise::<()>::new();
    promise.set_error(std::io::Error::from(std::io::ErrorKind::NotFound));
    let error = future.result(None).unwrap_err();
    assert_eq!(error.to_string(), "entity not found");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);

    let (promise, future) = ThreadPromise::<()>::new();
    promise.set_error(JobError::ExecutorShutdown);
    assert!(matches!(future.result(None), Err(JobError::ExecutorShutdown)));
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_job_whose_function_panics_when_it_is_dropped_is_cancelled_all_the_same() {
    let bomb = Bomb;
    let (job, future) = Job::new(move || drop(bomb));
    drop(job);
    assert!(future.result(None).unwrap_err().is_cancelled());

    let bomb = Bomb;
    let (_job, future) = Job::new(move || drop(bomb));
    let (sender, receiver) = mpsc::channel();
    future.add_done_callback(move |_| sender.send(()).unwrap());
    assert!(future.cancel());
    receiver.recv().unwrap();
}
