//! Models of everything that crosses threads, run by loom in every order of events.
//!
//! `ci/check.sh loom` runs them. The owner of a model does what the loop does, and sleeps in
//! earnest: a wake that gets lost shows as a deadlock. Tasks that are never freed, or freed twice,
//! show in the count of live ones; schedulers, in loom's own count of `Arc`s.

use std::cell::Cell;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::sync::{Arc, Notify};
use loom::thread::{self, JoinHandle};

use super::header::live_count;
use super::*;
use crate::context::ContextSlot;

static HOST: Host = Host {
    report: |_| (),
    notice_panic: |_, _| (),
    check_await: |_, _| (),
    polled: || None,
    traced: |_, _| (),
};

/// A scheduler that parks as the loop does.
struct Owner {
    scheduler: LocalScheduler,
    sleep: Arc<Notify>,
}

impl Owner {
    fn new() -> Self {
        let sleep = Arc::new(Notify::new());
        let unpark = Arc::clone(&sleep);
        Self { scheduler: LocalScheduler::new(&HOST, move || unpark.notify()), sleep }
    }

    fn spawn<F: Future + 'static>(&self, future: F) -> RawTask<F::Output> {
        let how = Spawn {
            name: None,
            context: ContextSlot::default(),
            site: Location::caller(),
            hidden: true,
            eager: false,
        };
        self.scheduler.spawn(future, how)
    }

    /// One step; false if nothing was ready.
    fn step(&self) -> bool {
        let ready = self.scheduler.ready() > 0;
        self.scheduler.run(1);
        ready
    }

    /// One step, or a sleep if there is nothing to do.
    fn turn(&self) {
        self.scheduler.take_remote();
        if !self.step() && self.scheduler.prepare_park() {
            self.sleep.wait();
            self.scheduler.unparked();
        }
    }

    fn run<T>(&self, task: &mut RawTask<T>) -> T {
        loop {
            match task.take() {
                Some(Outcome::Value(value)) => return value,
                Some(_) => panic!("neither cancelled nor panicked"),
                None => self.turn(),
            }
        }
    }
}

/// Runs a model and checks that it leaves no callback or task behind.
fn model(model: impl Fn() + Sync + Send + 'static) {
    loom::model(move || {
        assert_eq!(live_count(), 0);
        model();
        assert_eq!(live_count(), 0, "a task was not freed");
    });
}

/// Counts its drops, which happen on the thread that made it.
struct OnOwner {
    thread: thread::ThreadId,
    drops: Rc<Cell<u32>>,
}

impl OnOwner {
    fn new() -> (Self, Rc<Cell<u32>>) {
        let drops = Rc::new(Cell::new(0));
        (Self { thread: thread::current().id(), drops: Rc::clone(&drops) }, drops)
    }
}

impl Drop for OnOwner {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.thread);
        self.drops.set(self.drops.get() + 1);
    }
}

/// A future whose first poll hands its waker to a thread that runs `wake`. It is ready once `done`
/// returns true.
struct Woken<W> {
    wake: Option<W>,
    thread: Rc<Cell<Option<JoinHandle<()>>>>,
    done: Box<dyn Fn() -> bool>,
    _on_owner: OnOwner,
}

impl<W: FnOnce(Waker) + Unpin + 'static> Future for Woken<W> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wake) = self.wake.take() {
            let waker = cx.waker().clone();
            self.thread.set(Some(thread::spawn(move || wake(waker))));
        }
        if (self.done)() { Poll::Ready(()) } else { Poll::Pending }
    }
}

type Thread = Rc<Cell<Option<JoinHandle<()>>>>;

fn woken<W: FnOnce(Waker) + Unpin + 'static>(
    done: impl Fn() -> bool + 'static,
    wake: W,
) -> (Woken<W>, Thread, Rc<Cell<u32>>) {
    let thread = Thread::default();
    let (on_owner, drops) = OnOwner::new();
    let future = Woken {
        wake: Some(wake),
        thread: Rc::clone(&thread),
        done: Box::new(done),
        _on_owner: on_owner,
    };
    (future, thread, drops)
}

fn join(thread: &Thread) {
    thread.take().expect("it was started").join().unwrap();
}

/// The poll after a wake sees what was written before the wake, without further ordering. An owner
/// that is about to park, or is parked, does not miss the wake.
#[test]
fn a_wake_reaches_a_sleeping_owner() {
    model(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let owner = Owner::new();
        let (future, thread, drops) = woken(
            {
                let flag = Arc::clone(&flag);
                move || flag.load(Relaxed)
            },
            move |waker| {
                flag.store(true, Relaxed);
                waker.wake();
            },
        );
        let mut task = owner.spawn(future);
        owner.run(&mut task);
        assert_eq!(drops.get(), 1);
        join(&thread);
    });
}

/// Two threads wake; the task may end at the first wake, before the second one comes.
#[test]
fn a_wake_races_with_completion() {
    model(|| {
        let wakes = Arc::new(AtomicUsize::new(0));
        let owner = Owner::new();
        let (future, thread, drops) = woken(
            {
                let wakes = Arc::clone(&wakes);
                move || wakes.load(Relaxed) > 0
            },
            move |waker| {
                wakes.fetch_add(1, Relaxed);
                waker.wake_by_ref();
                waker.wake();
            },
        );
        let mut task = owner.spawn(future);
        owner.run(&mut task);
        drop(task);
        assert_eq!(drops.get(), 1);
        drop(owner);
        join(&thread);
    });
}

/// A task waits for two threads, and neither wake is lost.
#[test]
fn wakes_of_two_threads_are_both_seen() {
    model(|| {
        let wakes = Arc::new(AtomicUsize::new(0));
        let owner = Owner::new();
        let seen = Arc::clone(&wakes);
        let (future, thread, _drops) = woken(
            move || seen.load(Relaxed) == 2,
            move |waker| {
                let (other, also) = (waker.clone(), Arc::clone(&wakes));
                let second = thread::spawn(move || {
                    also.fetch_add(1, Relaxed);
                    other.wake();
                });
                wakes.fetch_add(1, Relaxed);
                waker.wake();
                second.join().unwrap();
            },
        );
        let mut task = owner.spawn(future);
        owner.run(&mut task);
        join(&thread);
    });
}

/// The loop closes and its scheduler is dropped while another thread wakes the task.
#[test]
fn a_wake_races_with_close() {
    model(|| {
        let owner = Owner::new();
        let (future, thread, drops) = woken(|| false, |waker| waker.wake());
        let task = owner.spawn(future);
        assert!(owner.step());
        owner.scheduler.close();
        assert_eq!(drops.get(), 1, "closing drops the future at once");
        drop(task);
        drop(owner);
        join(&thread);
    });
}

/// The same, while the owner drains its remote queue.
#[test]
fn a_wake_races_with_mail_and_close() {
    model(|| {
        let owner = Owner::new();
        let (future, thread, drops) = woken(
            || false,
            |waker| {
                waker.wake_by_ref();
                waker.wake();
            },
        );
        drop(owner.spawn(future));
        assert!(owner.step());
        owner.scheduler.take_remote();
        owner.step();
        drop(owner);
        assert_eq!(drops.get(), 1);
        join(&thread);
    });
}

/// The last reference to a task is dropped on either thread, or on both at once.
#[test]
fn the_last_drop_may_be_on_another_thread() {
    model(|| {
        let owner = Owner::new();
        let (future, thread, drops) = woken(|| true, drop);
        let mut task = owner.spawn(future);
        owner.run(&mut task);
        assert_eq!(drops.get(), 1);
        drop(task);
        drop(owner);
        join(&thread);
    });
}

/// Another thread clones and drops wakers while the task and the loop end.
#[test]
fn wakers_are_cloned_while_the_task_ends() {
    model(|| {
        let owner = Owner::new();
        let clone_and_drop = |waker: Waker| {
            let clone = waker.clone();
            drop(waker);
            drop(clone);
        };
        let (future, thread, drops) = woken(|| false, clone_and_drop);
        drop(owner.spawn(future));
        assert!(owner.step());
        drop(owner);
        assert_eq!(drops.get(), 1);
        join(&thread);
    });
}

/// A `LoopWaker` made on another thread from this loop's waker does not count as local.
#[test]
fn a_local_waker_of_another_thread_wakes_through_the_remote_queue() {
    model(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let owner = Owner::new();
        let seen = Arc::clone(&flag);
        let (future, thread, _drops) = woken(
            move || seen.load(Relaxed),
            move |waker| {
                let local = LoopWaker::from_waker(&waker);
                drop(waker);
                flag.store(true, Relaxed);
                local.clone().wake();
            },
        );
        let mut task = owner.spawn(future);
        owner.run(&mut task);
        join(&thread);
    });
}

/// Counts its drops, on any thread.
struct Dropped(std::sync::Arc<std::sync::atomic::AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A callback from another thread is run, refused, or dropped with the loop; in each case its
/// captures are dropped once.
#[test]
fn a_call_races_with_close() {
    model(|| {
        let owner = Owner::new();
        let shared = owner.scheduler.remote();
        let (ran, dropped) = (Arc::new(AtomicUsize::new(0)), Dropped(Default::default()));
        let drops = std::sync::Arc::clone(&dropped.0);
        let caller = {
            let (ran, here) = (Arc::clone(&ran), thread::current().id());
            thread::spawn(move || {
                let callback = move || {
                    assert_eq!(thread::current().id(), here);
                    ran.fetch_add(1, Relaxed);
                    drop(dropped);
                };
                shared.call_soon(callback).is_ok()
            })
        };
        owner.scheduler.take_remote();
        let stepped = owner.step();
        owner.scheduler.close();
        let accepted = caller.join().unwrap();
        assert_eq!(ran.load(Relaxed), usize::from(stepped));
        assert!(accepted || !stepped);
        drop(owner);
        assert_eq!(drops.load(std::sync::atomic::Ordering::Relaxed), 1);
    });
}

/// Calls from one thread run in their order, whatever another thread does in between.
#[test]
fn calls_wake_the_owner_and_keep_their_order() {
    model(|| {
        let owner = Owner::new();
        let log = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let call = |entry: &'static str| {
            let log = std::sync::Arc::clone(&log);
            move || log.lock().unwrap().push(entry)
        };
        let (first, second, shared) = (call("first"), call("second"), owner.scheduler.remote());
        let caller = thread::spawn(move || {
            assert!(shared.call_soon(first).is_ok());
            assert!(shared.call_soon(second).is_ok());
        });
        assert!(owner.scheduler.remote().call_soon(call("own")).is_ok());
        while log.lock().unwrap().len() < 3 {
            owner.turn();
        }
        caller.join().unwrap();
        let position = |entry| log.lock().unwrap().iter().position(|e| *e == entry).unwrap();
        assert!(position("first") < position("second"));
    });
}
