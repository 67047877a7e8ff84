//! Waiting under wakers of other executors, which do what they like when they are cloned and dropped.

use std::io;
use std::pin::pin;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use asyncio_process::{Command, SubprocessProtocol, subprocess_exec};
use asyncio_task::run;

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
fn a_waker_may_wait_for_the_process_that_takes_it_when_it_is_cloned() {
    run(async {
        let process = Command::new("sleep").arg("1000").await?;
        let wait: &dyn Fn() = &|| {
            let mut wait = pin!(process.wait());
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        };
        let mut waiting = pin!(process.wait());
        // SAFETY: `wait` outlives `waiting`.
        let waker = unsafe { cloning(&wait) };
        for _ in 0..2 {
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        process.kill()?;
        assert_eq!(waiting.await, process.wait().await);
        io::Result::Ok(())
    })
    .unwrap();
}

struct Nothing;

impl SubprocessProtocol for Nothing {}

#[test]
fn a_waker_may_wait_for_the_transport_that_takes_it_when_it_is_cloned() {
    run(async {
        let transport = subprocess_exec(Command::new("cat"), || Nothing).await?;
        let wait: &dyn Fn() = &|| {
            let mut wait = pin!(transport.wait_closed());
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        };
        let mut waiting = pin!(transport.wait_closed());
        // SAFETY: `wait` outlives `waiting`.
        let waker = unsafe { cloning(&wait) };
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        transport.kill()?;
        waiting.await;
        io::Result::Ok(())
    })
    .unwrap();
}
