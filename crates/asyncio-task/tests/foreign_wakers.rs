//! Promises and tasks polled with wakers of other executors, whose destructors run arbitrary code.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use asyncio_task::{Promise, create_future, run, yield_now};

thread_local! {
    static PROMISE: RefCell<Option<Promise<u32>>> = const { RefCell::new(None) };
}

/// A waker whose destructor reads the promise that it waits for.
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

// A promise stores its first waiter apart from the others, so the test uses two.
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
