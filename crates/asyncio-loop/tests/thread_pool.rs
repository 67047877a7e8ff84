//! `ThreadPoolExecutor`: which thread runs a job, when threads start and end, and the shutdown.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use asyncio_loop::{JobError, ThreadFuture, ThreadPoolExecutor};

/// Submits a job that blocks until it is released, and returns once the job has started.
fn block(pool: &ThreadPoolExecutor) -> (Sender<()>, ThreadFuture<()>) {
    let (release, held) = mpsc::channel();
    let (started, starts) = mpsc::channel();
    let future = pool.submit(move || {
        started.send(()).unwrap();
        let _ = held.recv();
    });
    starts.recv().unwrap();
    (release, future)
}

/// A value that sends a message when the current thread ends.
fn tell_end(sender: Sender<()>) {
    struct End(Sender<()>);
    impl Drop for End {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    thread_local! {
        static END: std::cell::RefCell<Option<End>> = const { std::cell::RefCell::new(None) };
    }
    END.with(|end| *end.borrow_mut() = Some(End(sender)));
}

fn one_worker() -> ThreadPoolExecutor {
    ThreadPoolExecutor::builder().max_workers(1).build()
}

//
#[test]
fn a_job_runs_on_a_named_thread_of_the_pool() {
    let pool = ThreadPoolExecutor::default();
    let name = pool.submit(|| thread::current().name().map(str::to_owned)).result(None).unwrap();
    assert_eq!(name.as_deref(), Some("asyncio_0"));
}

//
#[test]
fn a_panic_is_the_jobs_error_and_the_pool_goes_on() {
    let pool = one_worker();
    let error = pool.submit(|| -> u8 { panic!("no {}", "luck") }).result(None).unwrap_err();
    assert!(error.is_panicked());
    assert_eq!(error.to_string(), "job panicked: no luck");
    assert_eq!(pool.submit(|| 3).result(None).unwrap(), 3);
}

#[test]
fn a_panic_in_a_values_destructor_leaves_the_worker_alive() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let pool = one_worker();
    let (release, held) = mpsc::channel::<()>();
    drop(pool.submit(move || {
        let _ = held.recv();
        Grenade
    }));
    drop(release);
    assert_eq!(pool.submit(|| 3).result(None).unwrap(), 3);
}

#[test]
fn threads_are_started_up_to_the_limit_and_jobs_beyond_it_wait() {
    let pool = ThreadPoolExecutor::builder().max_workers(2).build();
    assert_eq!(pool.workers(), 0);
    let (first, _a) = block(&pool);
    assert_eq!(pool.workers(), 1);
    let (second, _b) = block(&pool);
    let third = pool.submit(|| 3);
    assert_eq!((pool.workers(), pool.queued()), (2, 1));
    assert!(!third.is_running());

    first.send(()).unwrap();
    assert_eq!(third.result(None).unwrap(), 3);
    second.send(()).unwrap();
}

#[test]
fn jobs_that_wait_for_each_other_run_at_the_same_time() {
    let pool = ThreadPoolExecutor::builder().max_workers(8).build();
    let barrier = Arc::new(Barrier::new(8));
    let jobs: Vec<_> = (0..8)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            pool.submit(move || barrier.wait().is_leader())
        })
        .collect();
    let leaders = jobs.iter().filter(|job| job.result(None).unwrap()).count();
    assert_eq!(leaders, 1);
}

#[test]
fn one_worker_runs_jobs_in_the_order_of_submission() {
    let pool = one_worker();
    let (log, logged) = mpsc::channel();
    for number in 0..100 {
        let log = log.clone();
        drop(pool.submit(move || log.send(number).unwrap()));
    }
    drop(log);
    assert_eq!(logged.iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}

#[test]
fn many_threads_hand_in_many_jobs() {
    let pool = ThreadPoolExecutor::builder().max_workers(4).build();
    let done = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let done = Arc::clone(&done);
                    drop(pool.submit(move || done.fetch_add(1, Ordering::Relaxed)));
                }
            });
        }
    });
    pool.join(None).unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 20_000);
}

#[test]
fn a_thread_without_work_ends_and_another_is_started_when_needed() {
    let pool = ThreadPoolExecutor::builder().idle_timeout(Duration::ZERO).build();
    let (sender, receiver) = mpsc::channel();
    pool.submit(move || tell_end(sender)).result(None).unwrap();
    receiver.recv().unwrap();
    assert_eq!(pool.submit(|| 4).result(None).unwrap(), 4);
}

#[test]
fn an_idle_time_beyond_the_clock_is_for_ever() {
    let pool = ThreadPoolExecutor::builder().idle_timeout(Duration::MAX).build();
    for number in 0..10 {
        assert_eq!(pool.submit(move || number).result(None).unwrap(), number);
    }
    pool.join(None).unwrap();
}

//
#[test]
fn a_queued_job_is_cancelled_and_its_function_dropped_at_once() {
    let pool = one_worker();
    let (release, running) = block(&pool);
    let captured = Arc::new(());
    let witness = Arc::downgrade(&captured);
    let queued = pool.submit(move || drop(captured));

    assert!(queued.cancel());
    assert!(witness.upgrade().is_none());
    assert!(queued.result(None).unwrap_err().is_cancelled());
    assert!(queued.is_cancelled());
    release.send(()).unwrap();
    running.result(None).unwrap();
    assert_eq!(pool.submit(|| 1).result(None).unwrap(), 1);
}

//
#[test]
fn a_running_job_cannot_be_cancelled() {
    let pool = one_worker();
    let (release, running) = block(&pool);
    assert!(running.is_running());
    assert!(!running.cancel());
    release.send(()).unwrap();
    running.result(None).unwrap();
    assert!(!running.cancel() && running.is_done() && !running.is_cancelled());
}

#[test]
fn cancel_queued_spares_what_runs() {
    let pool = one_worker();
    let (release, running) = block(&pool);
    let queued: Vec<_> = (0..3).map(|number| pool.submit(move || number)).collect();
    assert_eq!(pool.cancel_queued(), 3);
    assert!(queued.iter().all(ThreadFuture::is_cancelled));
    release.send(()).unwrap();
    running.result(None).unwrap();
}

//
#[test]
fn after_shutdown_what_was_submitted_runs_and_new_jobs_are_refused() {
    let pool = one_worker();
    let (release, running) = block(&pool);
    let queued = pool.submit(|| 2);
    let ended = pool.shutdown();
    let refused = pool.submit(|| 3);

    assert!(matches!(refused.result(None), Err(JobError::ExecutorShutdown)));
    assert!(!ended.is_done());
    release.send(()).unwrap();
    ended.result(None).unwrap();
    assert_eq!(queued.result(None).unwrap(), 2);
    assert!(running.is_done());
    assert_eq!(pool.workers(), 0);
}

#[test]
fn shutdown_of_a_pool_without_threads_ends_at_once_and_twice_is_harmless() {
    let pool = ThreadPoolExecutor::default();
    assert!(pool.shutdown().is_done());
    assert!(pool.shutdown().is_done());
    assert!(pool.join(Some(Duration::ZERO)).is_ok());
}

#[test]
fn sleeping_threads_end_at_shutdown() {
    let pool = ThreadPoolExecutor::builder().idle_timeout(Duration::MAX).build();
    let (sender, receiver) = mpsc::channel();
    pool.submit(move || tell_end(sender)).result(None).unwrap();
    pool.join(None).unwrap();
    receiver.recv().unwrap();
}

//
#[test]
fn a_job_that_joins_its_own_pool_is_told_so() {
    let pool = Arc::new(ThreadPoolExecutor::default());
    let job = pool.submit({
        let pool = Arc::clone(&pool);
        move || pool.join(None)
    });
    let stuck = job.result(None).unwrap().unwrap_err();
    assert_eq!(stuck.jobs().len(), 1);
    pool.join(None).unwrap();
}

#[test]
fn join_with_a_limit_names_the_stuck_jobs() {
    let pool = ThreadPoolExecutor::builder().max_workers(1).thread_name_prefix("db").build();
    let (started, starts) = mpsc::channel();
    let (release, held): (Sender<()>, Receiver<()>) = mpsc::channel();
    let line = line!() + 1;
    drop(pool.submit(move || (started.send(()), held.recv())));
    starts.recv().unwrap();
    drop(pool.submit(|| ()));

    let stuck = pool.join(Some(Duration::from_millis(1))).unwrap_err();
    assert_eq!(stuck.jobs().len(), 1);
    assert_eq!(stuck.queued(), 1);
    assert_eq!(stuck.jobs()[0].site().line(), line);
    assert_eq!(stuck.jobs()[0].thread(), "db_0");
    let text = stuck.to_string();
    assert!(text.contains(&format!("thread_pool.rs:{line}:")), "{text}");
    assert!(text.ends_with("on thread db_0 and 1 queued"), "{text}");

    drop(release);
    pool.join(None).unwrap();
    assert!(pool.running_jobs().is_empty());
}

#[test]
fn dropping_the_pool_lets_queued_jobs_run() {
    let pool = one_worker();
    let (release, _running) = block(&pool);
    let queued = pool.submit(|| 5);
    drop(pool);
    release.send(()).unwrap();
    assert_eq!(queued.result(None).unwrap(), 5);
}

#[test]
fn a_system_without_threads_is_an_error_of_the_job() {
    // No machine has this much address space for a stack, so no thread can be started.
    let pool = ThreadPoolExecutor::builder().stack_size(1 << 60).build();
    let refused = pool.submit(|| 1);
    assert!(matches!(refused.result(None), Err(JobError::NoThread(_))));
    assert_eq!((pool.workers(), pool.queued()), (0, 0));
    assert!(pool.shutdown().is_done());
}
