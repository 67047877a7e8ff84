//! Wakers on other threads, of other executors, and of other loops.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use asyncio_loop::{Direction, LoopWaker, Outcome, Source, TaskOptions};

use crate::support::{OnDrop, Tally, event_loop, pending_with, reporting_loop, run_turns};

/// Polls a task once and returns its waker. The task then stays pending, or ends if `ends`.
fn waker_of(event_loop: &asyncio_loop::EventLoop, tally: &Tally, ends: bool) -> Waker {
    let slot = Rc::new(RefCell::new(None));
    let (kept, counted) = (Rc::clone(&slot), tally.counted());
    let future = poll_fn(move |cx| {
        counted.check();
        *kept.borrow_mut() = Some(cx.waker().clone());
        if ends { Poll::Ready(()) } else { Poll::Pending }
    });
    event_loop.spawn(future, TaskOptions::new()).unwrap();
    run_turns(event_loop, 1);
    slot.take().unwrap()
}

// Promises 2 and 4: the last waker goes on a thread that outlives the loop and the loop's thread.
#[test]
fn wakers_outlive_their_loop_and_its_thread() {
    let (send, receive) = mpsc::channel();
    let owner = std::thread::spawn(move || {
        let (event_loop, _reports) = reporting_loop();
        let tally = Tally::new();
        for ends in [false, true, false, true] {
            send.send(waker_of(&event_loop, &tally, ends)).unwrap();
        }
        drop(event_loop);
        tally.expect_all_dropped();
    });
    owner.join().unwrap();
    let wakers: Vec<Waker> = receive.iter().collect();
    for waker in wakers {
        waker.wake_by_ref();
        let other = waker.clone();
        std::thread::spawn(move || {
            other.wake_by_ref();
            // On another thread, a `LoopWaker` holds a plain `Waker`.
            let local = LoopWaker::from_waker(&other);
            assert!(local.task().is_none());
            local.clone().wake();
            drop((local, other));
        })
        .join()
        .unwrap();
        waker.wake();
    }
}

// Promise 4: wakes and drops race with the close.
#[test]
fn wakers_are_used_while_their_loop_closes() {
    let rounds = if cfg!(miri) { 5 } else { 200 };
    for round in 0..rounds {
        let (event_loop, _reports) = reporting_loop();
        let tally = Tally::new();
        let waker = waker_of(&event_loop, &tally, round % 2 == 0);
        let door = event_loop.handle();
        let start = Arc::new(std::sync::Barrier::new(2));
        let begin = Arc::clone(&start);
        let thread = std::thread::spawn(move || {
            begin.wait();
            for _ in 0..10 {
                waker.wake_by_ref();
                let clone = waker.clone();
                clone.wake();
                drop(waker.clone());
                let _ = door.call_soon_threadsafe(|| ());
            }
            drop(waker);
        });
        start.wait();
        if round % 3 == 0 {
            run_turns(&event_loop, 2);
        }
        drop(event_loop);
        thread.join().unwrap();
        tally.expect_all_dropped();
    }
}

// Promise 4: the waker that a poll borrows is lent to a scoped thread, which clones and wakes it.
#[test]
fn a_borrowed_waker_may_be_lent_to_scoped_threads() {
    let event_loop = event_loop();
    let polls = Cell::new(0);
    let kept = Mutex::new(Vec::new());
    event_loop
        .run_until_complete(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            if polls.get() > 3 {
                return Poll::Ready(());
            }
            let waker = cx.waker();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        waker.wake_by_ref();
                        let clone = waker.clone();
                        clone.wake_by_ref();
                        kept.lock().unwrap().push(clone);
                        assert!(LoopWaker::from_waker(waker).task().is_none());
                    });
                }
            });
            Poll::Pending
        }))
        .unwrap();
    assert_eq!(polls.get(), 4);
    drop(event_loop);
    for waker in kept.into_inner().unwrap() {
        waker.wake();
    }
}

// L-032: what other threads left for a loop that closes is dropped on the loop's thread.
#[test]
fn mail_for_a_loop_that_closes_is_dropped_on_its_thread() {
    let event_loop = event_loop();
    let this = std::thread::current().id();
    let dropped = Arc::new(AtomicU32::new(0));
    let door = event_loop.handle();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                let (dropped, again) = (Arc::clone(&dropped), door.clone());
                let guard = OnDrop(move || {
                    assert_eq!(std::thread::current().id(), this);
                    assert!(again.call_soon_threadsafe(|| unreachable!()).is_err());
                    dropped.fetch_add(1, Ordering::Relaxed);
                });
                door.call_soon_threadsafe(move || drop(guard)).unwrap();
            }
        });
    });
    event_loop.close().unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 10);
    assert!(door.call_soon_threadsafe(|| ()).is_err());
}

// The closure that a closed loop refuses comes back whole.
#[test]
fn a_refused_call_comes_back() {
    let door = event_loop().handle();
    let text = "still there".to_owned();
    let asyncio_loop::LoopClosed(refused) =
        door.call_soon_threadsafe(move || assert_eq!(text, "still there")).unwrap_err();
    refused();
}

/// A waker of another executor, whose destructor runs arbitrary code.
struct Other {
    wakes: AtomicU32,
    on_drop: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Wake for Other {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        if let Some(on_drop) = &self.on_drop {
            on_drop();
        }
    }
}

// A task's handle is polled by another executor and then inside the loop; then the other executor's
// waker is dropped.
#[test]
fn a_handle_may_be_polled_under_any_executor() {
    let event_loop = event_loop();
    let other = Arc::new(Other { wakes: AtomicU32::new(0), on_drop: None });
    let waker = Waker::from(Arc::clone(&other));
    let mut task =
        event_loop.spawn(async { crate::support::turn().await }, TaskOptions::new()).unwrap();
    assert!(task.poll_join(&Context::from_waker(&waker)).is_pending());
    let outcome = event_loop.run_until_complete(poll_fn(|cx| task.poll_join(cx))).unwrap();
    assert!(matches!(outcome, Outcome::Value(())));
    assert_eq!(other.wakes.load(Ordering::Relaxed), 0, "the waker of the last poll is woken");
    drop(waker);
    assert_eq!(Arc::strong_count(&other), 1, "the task has dropped the waker");
}

// Promise 5: a foreign waker that is being replaced uses its loop in its destructor.
#[test]
fn destructors_of_foreign_wakers_may_use_the_loop() {
    let event_loop = event_loop();
    let second = std::time::Duration::from_secs(1);
    let door = event_loop.handle();
    let waker = || {
        let door = door.clone();
        let on_drop = move || {
            assert!(door.is_loop_thread());
            asyncio_loop::machinery::with_running(|event_loop| {
                event_loop.call_later(second, || ()).cancel();
                let _ = event_loop.timer_count();
            })
            .unwrap();
        };
        Waker::from(Arc::new(Other { wakes: AtomicU32::new(0), on_drop: Some(Box::new(on_drop)) }))
    };
    event_loop
        .run_until_complete(async {
            let this = asyncio_loop::running_loop();
            let deadline = this.wake_at(this.time() + second, LoopWaker::from_waker(&waker()));
            for _ in 0..3 {
                assert!(deadline.set_waker(&Context::from_waker(&waker())));
            }
            drop(deadline);
            let mut task = this.spawn(pending_with(()), TaskOptions::new()).unwrap();
            for _ in 0..3 {
                assert!(task.poll_join(&Context::from_waker(&waker())).is_pending());
            }
            drop(task);
        })
        .unwrap();
}

// A local waker of one loop is woken inside another loop of the same thread.
#[test]
fn loops_of_one_thread_wake_each_others_tasks() {
    let (first, second) = (event_loop(), event_loop());
    let tally = Tally::new();
    let slot = Rc::new(RefCell::new(None));
    let (kept, counted) = (Rc::clone(&slot), tally.counted());
    let mut polls = 0;
    let task = first
        .spawn(
            poll_fn(move |cx| {
                counted.check();
                polls += 1;
                *kept.borrow_mut() = Some(LoopWaker::from_context(cx));
                if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
            }),
            TaskOptions::new(),
        )
        .unwrap();
    run_turns(&first, 1);
    for _ in 0..2 {
        assert!(!task.task().is_done());
        second.run_until_complete(async { slot.take().unwrap().wake() }).unwrap();
        run_turns(&first, 1);
    }
    assert!(task.task().is_done());
    drop(first);
    second.run_until_complete(async { slot.take().unwrap().wake() }).unwrap();
    tally.expect_all_dropped();
}

// A future is polled inside a task with the task's own waker, which another future keeps.
#[test]
fn wakers_of_one_poll_serve_another_future() {
    let event_loop = event_loop();
    let tally = Tally::new();
    event_loop
        .run_until_complete(poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut inner = pin!(pending_with(tally.counted()));
            assert!(inner.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert!(LoopWaker::from_waker(&waker).will_wake(cx));
            assert!(LoopWaker::from_waker(Waker::noop()).task().is_none());
            Poll::Ready(())
        }))
        .unwrap();
    tally.expect_all_dropped();
}

/// A waker that, while it is cloned, replaces the waker of the set that stores it.
mod replacing {
    use super::*;
    use asyncio_loop::machinery::Children;
    use std::task::{RawWaker, RawWakerVTable};

    thread_local! {
        pub(super) static SET: RefCell<Option<Children<'static>>> = const { RefCell::new(None) };
        static IN_CLONE: Cell<bool> = const { Cell::new(false) };
    }

    fn clone(_: *const ()) -> RawWaker {
        IN_CLONE.set(true);
        SET.with_borrow(|set| set.as_ref().unwrap().set_waker(&Context::from_waker(Waker::noop())));
        IN_CLONE.set(false);
        RawWaker::new(std::ptr::null(), &VTABLE)
    }

    fn nothing(_: *const ()) {}

    fn drop(_: *const ()) {
        assert!(!IN_CLONE.get(), "dropped while it is cloned");
    }

    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, drop);

    pub(super) fn waker() -> Waker {
        // SAFETY: the functions use no data, and only what belongs to their thread.
        unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) }
    }
}

// Promise 5: the set does not hold its waker borrowed while the waker's own code runs.
#[test]
fn a_waker_may_be_replaced_while_it_is_cloned() {
    use asyncio_loop::machinery::Children;
    use replacing::SET;

    let event_loop = event_loop();
    SET.set(Some(Children::new(&event_loop.loop_ref())));
    let waker = replacing::waker();
    SET.with_borrow(|set| {
        let set = set.as_ref().unwrap();
        set.set_waker(&Context::from_waker(&waker));
        set.wake();
        set.wake();
    });
    drop(SET.take());
}

/// A waker that calls back when it is cloned.
mod calling {
    use super::*;
    use std::task::{RawWaker, RawWakerVTable};

    thread_local! {
        pub(super) static ON_CLONE: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
    }

    fn clone(_: *const ()) -> RawWaker {
        ON_CLONE.with_borrow(|call| call.as_ref().unwrap()());
        RawWaker::new(std::ptr::null(), &VTABLE)
    }

    fn nothing(_: *const ()) {}

    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);

    pub(super) fn waker(on_clone: impl Fn() + 'static) -> Waker {
        ON_CLONE.set(Some(Box::new(on_clone)));
        // SAFETY: the functions use no data, and only what belongs to their thread.
        unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) }
    }
}

#[test]
fn a_waker_may_set_timers_while_it_is_cloned_for_one() {
    let event_loop = event_loop();
    let this = event_loop.loop_ref();
    let waker = calling::waker(move || this.call_later(Duration::from_secs(1), || ()).cancel());
    let noop = LoopWaker::from_waker(Waker::noop());
    let deadline = event_loop.wake_at(event_loop.time(), noop);
    assert!(deadline.set_waker(&Context::from_waker(&waker)));
    assert_eq!(event_loop.timer_count(), 1);
    drop(calling::ON_CLONE.take());
}

#[test]
fn a_waker_may_wait_for_a_descriptor_while_it_is_cloned_for_one() {
    let event_loop = event_loop();
    let (one, other) = UnixStream::pair().unwrap();
    let [one, other] = [one, other].map(|io| {
        let source = Source::new(&event_loop, io);
        source.clear_ready(Direction::Read);
        source
    });
    let waker = calling::waker(move || {
        let cx = Context::from_waker(Waker::noop());
        assert!(other.poll_ready(&cx, Direction::Read).is_pending());
    });
    assert!(one.poll_ready(&Context::from_waker(&waker), Direction::Read).is_pending());
    drop(calling::ON_CLONE.take());
}
