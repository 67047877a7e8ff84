//! Promises, scopes and tasks under wakers of other executors, which do what they like when they are cloned,
//! woken and dropped.

use std::cell::RefCell;
use std::future::{Future, IntoFuture, Pending, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;

use asyncio_task::{
    Cancelled, CatchCancel, Promise, Runner, TaskRefExt, TimeoutError, as_completed, catch_cancel,
    create_future, create_task, run, timeout, wait, yield_now,
};

thread_local! {
    static PROMISE: RefCell<Option<Promise<u32>>> = const { RefCell::new(None) };
}

/// Looks at the promise that waits with it when it is dropped.
struct Nosy;

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Nosy {
    fn drop(&mut self) {
        PROMISE.with_borrow(|promise| {
            let promise = promise.as_ref().expect("set before the first poll");
            assert!(!promise.is_done());
            assert_eq!(promise.remove_done_callback(&promise.add_done_callback(|_| ())), 1);
        });
    }
}

fn poll_nosily(promise: &mut Promise<u32>) -> bool {
    let waker = Waker::from(Arc::new(Nosy));
    Pin::new(promise).poll(&mut Context::from_waker(&waker)).is_ready()
}

// The first in the line has a place of its own, so two wait.
#[test]
fn a_waker_that_is_replaced_may_use_the_promise_it_waited_for() {
    run(async {
        let mut first = create_future::<u32>();
        let mut second = first.clone();
        PROMISE.set(Some(first.clone()));
        for _ in 0..3 {
            assert!(!poll_nosily(&mut first));
            assert!(!poll_nosily(&mut second));
        }
        drop((first, second));
        yield_now().await;
        let last = PROMISE.take().unwrap();
        last.set_result(7).unwrap();
        assert_eq!(last.await.unwrap(), 7);
    });
}

#[test]
fn a_promise_is_awaited_under_another_executor_and_then_at_home() {
    run(async {
        let mut promise = create_future::<u32>();
        let setter = promise.clone();
        let mut noop = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut promise).poll(&mut noop).map(Result::ok), Poll::Pending);
        asyncio_task::create_task(async move { setter.set_result(1).unwrap() });
        assert_eq!(promise.await.unwrap(), 1);
    });
}

/// A waker that does this whenever it is cloned.
///
/// # Safety
///
/// `on_clone` outlives the waker and all its copies.
unsafe fn cloning(on_clone: &&dyn Fn()) -> Waker {
    fn clone(data: *const ()) -> RawWaker {
        // SAFETY: the promise of whoever made the waker.
        let on_clone = unsafe { *data.cast::<&dyn Fn()>() };
        on_clone();
        RawWaker::new(data, &VTABLE)
    }
    fn nothing(_: *const ()) {}
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);

    // SAFETY: the functions fit the data, which outlives the waker.
    unsafe { Waker::new((&raw const *on_clone).cast(), &VTABLE) }
}

#[test]
fn a_waker_may_settle_the_promise_when_it_is_cloned() {
    let promise = RefCell::new(None::<Promise<u32>>);
    let settle: &dyn Fn() = &|| {
        if let Some(promise) = promise.take() {
            promise.set_result(7).unwrap();
        }
    };
    run(async {
        let mut first = create_future::<u32>();
        let mut second = first.clone();
        // SAFETY: both promises end before `settle` does.
        let waker = unsafe { cloning(&settle) };
        let mut cx = Context::from_waker(&waker);
        for waiting in [&mut first, &mut second] {
            assert!(Pin::new(&mut *waiting).poll(&mut cx).is_pending());
        }
        promise.replace(Some(first.clone()));
        let mut noop = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut second).poll(&mut noop).is_pending());
        assert!(Pin::new(&mut second).poll(&mut cx).is_pending());
        assert_eq!(first.await.unwrap() + second.await.unwrap(), 14);
    });
}

#[test]
fn a_waker_may_ask_the_scope_that_takes_it_when_it_is_cloned() {
    let caught = RefCell::new(None::<Cancelled>);
    let resume: &dyn Fn() = &|| {
        if let Some(cancelled) = caught.take() {
            drop(cancelled.resume::<()>());
        }
    };
    Runner::builder().virtual_time(true).run(async {
        let body = async {
            caught.replace(catch_cancel(pending::<()>()).await.err());
            pending::<()>().await
        };
        let mut limited = pin!(timeout(Duration::from_secs(1), body));
        poll_fn(|cx| {
            assert!(limited.as_mut().poll(cx).is_pending());
            if caught.borrow().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // SAFETY: `resume` outlives the scope.
        let waker = unsafe { cloning(&resume) };
        let ended = limited.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(ended, Poll::Ready(Err(TimeoutError)));
    });
}

type Scope = Pin<Box<CatchCancel<Pending<()>>>>;

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

#[test]
fn a_waker_may_drop_the_scope_that_it_is_to_wake() {
    run(async {
        let task = create_task(async {
            let drop_scope: &dyn Fn() = &|| drop(SCOPE.take());
            let mut scope = Box::pin(catch_cancel(pending::<()>()));
            // SAFETY: a scope whose task has ended wakes nobody.
            let waker = unsafe { cloning(&drop_scope) };
            assert!(scope.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            SCOPE.set(Some(scope));
            pending::<()>().await
        });
        yield_now().await;
        task.cancel();
        yield_now().await;
        drop(SCOPE.take());
        yield_now().await;
        assert!(task.is_done());
    });
}

#[test]
fn a_waker_may_take_what_is_completed_when_it_is_cloned() {
    run(async {
        let done = as_completed([create_task(async { 1 }), create_task(async { 2 })]);
        let take: &dyn Fn() = &|| {
            assert!(done.poll_next(&Context::from_waker(Waker::noop())).is_pending());
        };
        // SAFETY: `take` is dropped after those who wait were woken.
        let waker = unsafe { cloning(&take) };
        assert!(done.poll_next(&Context::from_waker(&waker)).is_pending());
        assert_eq!(done.next().await.unwrap().unwrap().await.unwrap(), 1);
        assert_eq!(done.next().await.unwrap().unwrap().await.unwrap(), 2);
    });
}

#[test]
fn a_waker_may_cancel_what_it_is_to_wait_for_when_it_is_cloned() {
    run(async {
        let task = create_task(std::future::pending::<()>());
        let this = task.task_ref().clone();
        let cancel: &dyn Fn() = &|| assert!(this.cancel());
        // SAFETY: `cancel` outlives the wait.
        let waker = unsafe { cloning(&cancel) };
        let mut waiting = pin!(wait([task]).into_future());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let (done, pending) = waiting.await;
        assert_eq!((done.len(), pending.len()), (1, 0));
    });
}
