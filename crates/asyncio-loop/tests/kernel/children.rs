//! Sets of children, whose owner, handles and wakers each go their own way.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use asyncio_loop::machinery::{Children, Join, Supervisor, TaskControl, Verdict};
use asyncio_loop::{Outcome, RawTask, TaskOptions, context_var};

use crate::support::{Counted, Tally, event_loop, pending_with, run_turns};

// A borrowed output keeps its place while it is borrowed.
#[test]
fn an_output_that_is_looked_at_outlives_its_set() {
    let event_loop = event_loop();
    let tally = Tally::new();
    let children = Children::new(&event_loop.loop_ref());
    let output = tally.counted();
    let child = children.spawn(async move { output }, TaskOptions::new());
    assert!(children.step());
    let Some(Outcome::Value(output)) = child.peek() else { panic!("the child has ended") };
    drop(children);
    output.check();
    assert_eq!(tally.dropped(), 0);
    drop(child);
    tally.expect_all_dropped();
}

/// A supervisor that takes the output as soon as its task has ended.
struct TakesTheOutput(RefCell<Option<RawTask<Counted>>>);

impl Supervisor for TakesTheOutput {
    fn before_poll(self: Rc<Self>) -> Verdict {
        Verdict::Continue
    }

    fn after_poll(self: Rc<Self>, _ready: bool) -> Verdict {
        Verdict::Continue
    }

    fn ended(self: Rc<Self>) {
        drop(self.0.take());
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn std::any::Any> {
        self
    }
}

// Otherwise a task that awaits the last child would wait forever.
#[test]
fn a_child_whose_output_is_taken_while_it_ends_is_counted_out() {
    let event_loop = event_loop();
    let tally = Tally::new();
    let children = Children::new(&event_loop.loop_ref());
    let output = tally.counted();
    let child = children.spawn(async move { output }, TaskOptions::new());
    let task = child.task().clone();
    let supervisor = Rc::new(TakesTheOutput(RefCell::new(Some(child))));
    task.set_supervisor(Some(supervisor));
    assert!(children.step());
    tally.expect_all_dropped();
    assert_eq!(children.live(), 0);
}

thread_local! {
    static SET: RefCell<Option<Children<'static>>> = const { RefCell::new(None) };
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// A waker that drops its own set of children when it is cloned or woken.
static VTABLE: RawWakerVTable = {
    fn drop_set() {
        if ARMED.take() {
            drop(SET.take());
        }
    }
    fn clone(_: *const ()) -> RawWaker {
        drop_set();
        RawWaker::new(std::ptr::null(), &VTABLE)
    }
    fn wake(_: *const ()) {
        drop_set();
    }
    fn nothing(_: *const ()) {}
    RawWakerVTable::new(clone, wake, wake, nothing)
};

// Promise 5: nothing of a set is touched after a user's code has run on its waker.
#[test]
fn a_waker_may_drop_the_set_that_keeps_it() {
    let event_loop = event_loop();
    // SAFETY: the functions touch no data.
    let waker = ManuallyDrop::new(unsafe { Waker::new(std::ptr::null(), &VTABLE) });
    let tally = Tally::new();
    let children = Children::new(&event_loop.loop_ref());
    let child = children.spawn(pending_with(tally.counted()), TaskOptions::new());
    assert!(children.step());
    children.set_waker(&Context::from_waker(&waker));
    SET.set(Some(children));
    ARMED.set(true);
    child.task().wake();
    tally.expect_all_dropped();
    assert!(child.task().is_cancelled());
}

/// A context value that calls a closure when its context is dropped.
struct Call(Rc<dyn Fn()>);

impl Drop for Call {
    fn drop(&mut self) {
        (self.0)();
    }
}

context_var! { local static CALL: Rc<Call>; }

// Only the child's own cell keeps the previous awaiter's context alive.
#[test]
fn a_child_that_ends_as_its_awaiter_is_replaced_wakes_the_new_one() {
    let event_loop = event_loop();
    let children = Rc::new(Children::new(&event_loop.loop_ref()));
    let ready = Rc::new(Cell::new(false));
    let see = Rc::clone(&ready);
    let future = poll_fn(move |_| if see.get() { Poll::Ready(7) } else { Poll::Pending });
    let child = Rc::new(RefCell::new(children.spawn(future, TaskOptions::new())));
    assert!(children.step());

    let task = child.borrow().task().clone();
    let (end, set) = (Rc::clone(&ready), Rc::clone(&children));
    let end_the_child = Call(Rc::new(move || {
        end.set(true);
        task.wake();
        assert!(set.step());
    }));
    let (first, second) = (Rc::clone(&child), child);
    let first = poll_fn(move |cx| {
        assert!(matches!(first.borrow_mut().poll_linked(cx), Join::Linked));
        Poll::Ready(())
    });
    let first = async {
        drop(CALL.set(Rc::new(end_the_child)));
        first.await;
    };
    drop(event_loop.spawn(first, TaskOptions::new()).unwrap());
    run_turns(&event_loop, 2);
    assert!(!ready.get(), "the first awaiter's context is still alive");

    let second = poll_fn(move |cx| match second.borrow_mut().poll_linked(cx) {
        Join::Ready { outcome: Outcome::Value(value), .. } => Poll::Ready(value),
        Join::Ready { .. } => unreachable!("it neither panics nor is cancelled"),
        Join::Linked | Join::Noted => Poll::Pending,
    });
    let mut second = event_loop.spawn(second, TaskOptions::new()).unwrap();
    run_turns(&event_loop, 3);
    assert!(ready.get());
    assert!(matches!(second.take(), Some(Outcome::Value(7))));
}
