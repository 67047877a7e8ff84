//! `ThreadFuture` and `ThreadPromise`: both sides, every order.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use asyncio_loop::{Job, JobError, ThreadFuture, ThreadPromise};

#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<T: Send + 'static>(
    future: &mut ThreadFuture<T>,
    waker: &Arc<CountingWaker>,
) -> Poll<Result<T, JobError>> {
    let waker = Waker::from(Arc::clone(waker));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

//
#[test]
fn result_blocks_until_the_value_is_there() {
    let (promise, future) = ThreadPromise::new();
    let waiter = thread::spawn(move || future.result(None));
    promise.set_result(7);
    assert_eq!(waiter.join().unwrap().unwrap(), 7);
}

//
#[test]
fn a_limit_gives_a_timeout_and_leaves_the_work_running() {
    let (promise, future) = ThreadPromise::new();
    assert!(promise.start());
    let waited = future.result(Some(Duration::from_millis(1)));
    assert!(matches!(waited, Err(JobError::TimedOut)));
    assert!(future.is_running());
    promise.set_result(7);
    assert_eq!(future.result(Some(Duration::ZERO)).unwrap(), 7);
}

#[test]
fn a_limit_beyond_the_clock_is_none() {
    let (promise, future) = ThreadPromise::new();
    let waiter = thread::spawn(move || future.result(Some(Duration::MAX)));
    promise.set_result(7);
    assert_eq!(waiter.join().unwrap().unwrap(), 7);
}

//
#[test]
fn waiters_of_a_cancelled_future_get_a_cancelled_error() {
    let (promise, future) = ThreadPromise::<u8>::new();
    let future = Arc::new(future);
    let waiter = thread::spawn({
        let future = Arc::clone(&future);
        move || future.result(None)
    });
    assert!(future.cancel());
    assert!(waiter.join().unwrap().unwrap_err().is_cancelled());
    assert!(!promise.start() && promise.is_cancelled());
    promise.set_result(1);
    assert!(future.is_cancelled());
}

//
#[test]
fn cancel_fails_once_the_work_has_started() {
    let (promise, future) = ThreadPromise::new();
    assert!(promise.start());
    assert!(!future.cancel());
    promise.set_result(1);
    assert!(!future.cancel());
    assert_eq!(future.result(None).unwrap(), 1);
}

#[test]
fn cancelling_twice_says_yes_twice() {
    let (_promise, future) = ThreadPromise::<u8>::new();
    assert!(future.cancel() && future.cancel());
    assert!(future.is_done());
}

//
#[test]
fn callbacks_run_in_order_on_the_completing_thread() {
    let (promise, future) = ThreadPromise::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    for number in 0..3 {
        let log = Arc::clone(&log);
        future
            .add_done_callback(move |_| log.lock().unwrap().push((number, thread::current().id())));
    }
    let completer = thread::spawn(move || promise.set_result(()));
    let id = completer.thread().id();
    completer.join().unwrap();
    assert_eq!(*log.lock().unwrap(), [(0, id), (1, id), (2, id)]);
}

//
#[test]
fn a_callback_added_afterwards_runs_at_once_in_the_adding_thread() {
    let (promise, future) = ThreadPromise::new();
    promise.set_result(4);
    let (sender, receiver) = mpsc::channel();
    future.add_done_callback(move |future| {
        sender.send((future.result(None).unwrap(), thread::current().id())).unwrap();
    });
    assert_eq!(receiver.try_recv().unwrap(), (4, thread::current().id()));
}

//
#[test]
fn a_callback_that_panics_does_not_stop_the_others() {
    let (promise, future) = ThreadPromise::new();
    let (sender, receiver) = mpsc::channel();
    future.add_done_callback(|_| panic!("callback"));
    future.add_done_callback(move |_| sender.send(()).unwrap());
    promise.set_result(());
    receiver.try_recv().unwrap();
}

#[test]
fn callbacks_run_when_it_is_cancelled_too() {
    let (_promise, future) = ThreadPromise::<u8>::new();
    let (sender, receiver) = mpsc::channel();
    future.add_done_callback(move |future| sender.send(future.is_cancelled()).unwrap());
    assert!(future.cancel());
    assert!(receiver.try_recv().unwrap());
}

#[test]
fn a_dropped_promise_cancels_its_future() {
    let (promise, future) = ThreadPromise::<u8>::new();
    assert!(promise.start());
    drop(promise);
    assert!(future.result(None).unwrap_err().is_cancelled());
}

#[test]
fn a_dropped_job_cancels_its_future() {
    let (job, future) = Job::new(|| 1);
    drop(job);
    assert!(future.result(None).unwrap_err().is_cancelled());
}

#[test]
fn a_job_that_fails_drops_its_function() {
    let captured = Arc::new(());
    let witness = Arc::downgrade(&captured);
    let (job, future) = Job::new(move || drop(captured));
    job.fail(JobError::Failed("no".into()));
    assert!(witness.upgrade().is_none());
    assert!(matches!(future.result(None), Err(JobError::Failed(_))));
}

#[test]
fn it_can_be_awaited_and_wakes_the_latest_waker() {
    let (promise, mut future) = ThreadPromise::new();
    let (first, second) = (Arc::<CountingWaker>::default(), Arc::<CountingWaker>::default());
    assert!(poll(&mut future, &first).is_pending());
    assert!(poll(&mut future, &first).is_pending());
    assert!(poll(&mut future, &second).is_pending());
    promise.set_result(9);
    assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
    assert!(matches!(poll(&mut future, &second), Poll::Ready(Ok(9))));
}

#[test]
#[should_panic(expected = "taken before")]
fn the_value_is_handed_out_once() {
    let (promise, future) = ThreadPromise::new();
    promise.set_result(1);
    let _ = future.result(None);
    let _ = future.result(None);
}

#[test]
fn the_payload_of_a_panic_can_be_resumed() {
    let (job, future) = Job::new(|| std::panic::panic_any(17_u8));
    job.run();
    let Err(JobError::Panicked(panic)) = future.result(None) else { panic!("no panic") };
    assert_eq!(panic.message(), "a value that is no text");
    assert_eq!(*panic.into_payload().downcast::<u8>().unwrap(), 17);
}

#[test]
fn errors_turn_into_io_errors() {
    let error = std::io::Error::from(JobError::TimedOut);
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    let error = std::io::Error::from(JobError::ExecutorShutdown);
    assert_eq!(error.to_string(), "executor is shut down");
}
