//! Waiting under wakers of other executors, which do what they like when they are cloned.

mod common;

use std::pin::pin;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use asyncio_sync::Semaphore;
use common::poll;

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
fn a_waker_may_use_the_line_that_takes_it_when_it_is_cloned() {
    let semaphore = Semaphore::new(1);
    let release: &dyn Fn() = &|| semaphore.release();
    // SAFETY: `release` outlives those who wait.
    let waker = unsafe { cloning(&release) };
    for others in [false, true] {
        let permit = poll(pin!(semaphore.acquire()));
        let Poll::Ready(permit) = permit else { panic!("it was free") };
        permit.forget();
        let mut first = pin!(semaphore.acquire());
        let mut second = pin!(semaphore.acquire());
        assert!(poll(first.as_mut()).is_pending());
        if others {
            assert!(poll(second.as_mut()).is_pending());
        }
        let polled = first.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "it wakes itself");
        assert!(poll(first.as_mut()).is_ready());
        assert!(poll(second.as_mut()).is_ready());
        assert_eq!(semaphore.available(), 1);
    }
}
