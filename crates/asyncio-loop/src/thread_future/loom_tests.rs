//! Models of a thread future: who completes it, cancels it, waits for it and drops it, in every
//! order.
//!
//! A wake that gets lost shows as a deadlock.

use std::pin::pin;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Wake, Waker};

use loom::model;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::*;
use crate::{Job, JobError};

/// A waker that unparks the waiting thread of the model.
struct Sleep(Notify);

impl Wake for Sleep {
    fn wake(self: StdArc<Self>) {
        self.0.notify();
    }
}

/// Waits as a task does: polls, and parks until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    let sleep = StdArc::new(Sleep(Notify::new()));
    let waker = Waker::from(StdArc::clone(&sleep));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => sleep.0.wait(),
        }
    }
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn counter() -> (Arc<AtomicUsize>, Counted) {
    let count = Arc::new(AtomicUsize::new(0));
    (Arc::clone(&count), Counted(count))
}

#[test]
fn a_result_reaches_a_thread_that_blocks() {
    model(|| {
        let (promise, future) = ThreadPromise::new();
        let thread = thread::spawn(move || promise.set_result(7));
        assert_eq!(future.result(None).unwrap(), 7);
        thread.join().unwrap();
    });
}

#[test]
fn a_result_reaches_a_task_that_sleeps() {
    model(|| {
        let (promise, future) = ThreadPromise::new();
        let thread = thread::spawn(move || promise.set_result(7));
        assert_eq!(block_on(future).unwrap(), 7);
        thread.join().unwrap();
    });
}

/// The waker of the last poll is woken, so a task that takes the future over misses no wake.
#[test]
fn a_wait_can_move_to_another_task() {
    model(|| {
        let (promise, mut future) = ThreadPromise::new();
        let thread = thread::spawn(move || promise.set_result(7));
        let first = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
        match first {
            Poll::Ready(value) => assert_eq!(value.unwrap(), 7),
            Poll::Pending => assert_eq!(block_on(future).unwrap(), 7),
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_promise_that_is_dropped_wakes_with_an_error() {
    model(|| {
        let (promise, future) = ThreadPromise::<u8>::new();
        let thread = thread::spawn(move || drop(promise));
        assert!(matches!(block_on(future), Err(JobError::Cancelled)));
        thread.join().unwrap();
    });
}

#[test]
fn a_job_is_run_or_cancelled_never_both_and_its_captures_are_dropped_once() {
    model(|| {
        let (ran, (drops, counted)) = (Arc::new(AtomicUsize::new(0)), counter());
        let (job, future) = Job::new({
            let ran = Arc::clone(&ran);
            move || {
                ran.fetch_add(1, Relaxed);
                drop(counted);
            }
        });
        let thread = thread::spawn(move || job.run());
        let cancelled = future.cancel();
        if cancelled {
            assert_eq!(drops.load(Relaxed), 1, "dropped before cancel returns");
        }
        assert_eq!(future.result(None).is_ok(), !cancelled);
        thread.join().unwrap();
        assert_eq!(ran.load(Relaxed), usize::from(!cancelled));
        assert_eq!(drops.load(Relaxed), 1);
    });
}

/// When two threads cancel, either both get `true` or neither does.
#[test]
fn a_job_is_cancelled_by_two_while_it_starts() {
    model(|| {
        let (job, future) = Job::new(|| ());
        let other = future.clone();
        let runner = thread::spawn(move || job.run());
        let canceller = thread::spawn(move || other.cancel());
        let here = future.cancel();
        let there = canceller.join().unwrap();
        runner.join().unwrap();
        assert_eq!((here, there), (future.is_cancelled(), future.is_cancelled()));
        assert!(future.is_done());
    });
}

#[test]
fn a_wait_that_is_dropped_leaves_no_value_behind() {
    model(|| {
        let (drops, counted) = counter();
        let (job, future) = Job::new(move || counted);
        let thread = thread::spawn(move || job.run());
        let mut wait = wrap_future(future);
        let _ = Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop()));
        drop(wait);
        thread.join().unwrap();
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn a_callback_is_called_once_whether_it_comes_before_or_after_the_end() {
    model(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let (promise, future) = ThreadPromise::new();
        let thread = thread::spawn(move || promise.set_result(7));
        let called = Arc::clone(&calls);
        future.add_done_callback(move |future| {
            assert!(future.is_done());
            called.fetch_add(1, Relaxed);
        });
        thread.join().unwrap();
        assert_eq!(calls.load(Relaxed), 1);
    });
}
