//! Futures polled with wakers of other executors, whose clone, wake and drop run arbitrary code.

use std::cell::RefCell;
use std::future::{IntoFuture, Pending, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use asyncio::net::feed_reader;
use asyncio::prelude::TaskRefExt;
use asyncio::process::subprocess_exec;
use asyncio::task::CatchCancel;
use asyncio::{
    Cancelled, Command, Promise, Runner, Semaphore, SubprocessProtocol, TimeoutError, as_completed,
    catch_cancel, create_future, create_task, run, start_server, timeout, wait, yield_now,
};

/// A waker that calls `on_clone` whenever it is cloned.
///
/// # Safety
///
/// `on_clone` outlives the waker and all its copies.
unsafe fn cloning(on_clone: &&dyn Fn()) -> Waker {
    fn clone(data: *const ()) -> RawWaker {
        // SAFETY: the code that created the waker guarantees it.
        let on_clone = unsafe { *data.cast::<&dyn Fn()>() };
        on_clone();
        RawWaker::new(data, &VTABLE)
    }
    fn nothing(_: *const ()) {}
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);

    // SAFETY: the functions fit the data, which outlives the waker.
    unsafe { Waker::new((&raw const *on_clone).cast(), &VTABLE) }
}

/// Polls under a waker that does nothing.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
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
            // SAFETY: a scope whose task has ended wakes no task.
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
            let next = pin!(done.next());
            assert!(next.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        };
        // SAFETY: `take` is dropped after the wakers that call it.
        let waker = unsafe { cloning(&take) };
        let first = pin!(done.next());
        assert!(first.poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(done.next().await.unwrap().unwrap().await.unwrap(), 1);
        assert_eq!(done.next().await.unwrap().unwrap().await.unwrap(), 2);
    });
}

#[test]
fn a_waker_may_cancel_what_it_is_to_wait_for_when_it_is_cloned() {
    run(async {
        let task = create_task(pending::<()>());
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

#[test]
fn a_waker_may_use_the_line_that_takes_it_when_it_is_cloned() {
    let semaphore = Semaphore::new(1);
    let release: &dyn Fn() = &|| semaphore.release();
    // SAFETY: `release` outlives the waiting tasks.
    let waker = unsafe { cloning(&release) };
    for others in [false, true] {
        let permit = poll(pin!(semaphore.acquire()));
        let Poll::Ready(permit) = permit else { panic!("the lock was free") };
        permit.forget();
        let mut first = pin!(semaphore.acquire());
        let mut second = pin!(semaphore.acquire());
        assert!(poll(first.as_mut()).is_pending());
        if others {
            assert!(poll(second.as_mut()).is_pending());
        }
        let polled = first.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "the future has woken itself");
        assert!(poll(first.as_mut()).is_ready());
        assert!(poll(second.as_mut()).is_ready());
        assert_eq!(semaphore.available(), 1);
    }
}

#[test]
fn a_waker_may_feed_the_reader_that_takes_it_when_it_is_cloned() {
    run(async {
        let (feeder, mut reader) = feed_reader();
        let feed: &dyn Fn() = &|| feeder.feed_data(b"x");
        // SAFETY: `feed` outlives the read.
        let waker = unsafe { cloning(&feed) };
        let mut read = pin!(reader.read(1));
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(read.await?, "x");
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_waker_may_close_the_server_that_takes_it_when_it_is_cloned() {
    run(async {
        let server = start_server("127.0.0.1:0", async |_, _| Ok::<_, io::Error>(())).await?;
        let close: &dyn Fn() = &|| server.close();
        let mut closed = pin!(server.wait_closed());
        // SAFETY: `close` outlives `closed`.
        let waker = unsafe { cloning(&close) };
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        closed.await;
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_waker_may_wait_for_the_process_that_takes_it_when_it_is_cloned() {
    run(async {
        let process = Command::new("sleep").arg("1000").await?;
        let wait: &dyn Fn() = &|| {
            assert!(poll(pin!(process.wait())).is_pending());
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
            assert!(poll(pin!(transport.wait_closed())).is_pending());
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
