//! Futures that are polled with wakers which call back when they are cloned, as those of a foreign combinator may.

use std::cell::RefCell;
use std::future::{IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use asyncio::{
    Command, Stdio, TaskRefExt, as_completed, create_task, feed_reader, start_server, wait,
};

thread_local! {
    static ON_CLONE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

fn clone(_: *const ()) -> RawWaker {
    let callback = ON_CLONE.take();
    if let Some(mut callback) = callback {
        callback();
    }
    RawWaker::new(std::ptr::null(), &VTABLE)
}

fn nothing(_: *const ()) {}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);

/// Polls once, with a waker whose clone calls `on_clone`.
fn poll_with<F: Future>(future: Pin<&mut F>, on_clone: impl FnMut() + 'static) -> Poll<F::Output> {
    ON_CLONE.set(Some(Box::new(on_clone)));
    // SAFETY: the functions use no data, and only what belongs to their thread.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) };
    let result = future.poll(&mut Context::from_waker(&waker));
    assert!(ON_CLONE.take().is_none(), "the waker was cloned");
    result
}

#[test]
fn a_feeder_may_be_used_while_its_reader_starts_to_wait() {
    let (feeder, mut reader) = feed_reader();
    asyncio::run(async {
        let feeder = Rc::new(feeder);
        let feeds = feeder.clone();
        let mut read = Box::pin(reader.read(3));
        let _ = poll_with(read.as_mut(), move || feeds.feed_data(b"abc"));
        assert_eq!(read.await.unwrap(), "abc", "and what is fed then is not lost");
    });
}

#[test]
fn a_server_may_be_closed_while_somebody_starts_to_wait_for_its_end() {
    asyncio::run(async {
        let server = start_server("127.0.0.1:0", async |_, _| ()).await.unwrap();
        let closes = server.clone();
        let mut closed = pin!(server.wait_closed());
        let _ = poll_with(closed.as_mut(), move || closes.close());
        closed.await;
    });
}

#[test]
fn others_may_stop_to_wait_for_a_process_while_somebody_starts_to() {
    asyncio::run(async {
        let process = Command::new("cat").stdin(Stdio::piped()).spawn().await.unwrap();
        let process = Rc::new(process);
        let mut first = Box::pin({
            let process = process.clone();
            async move { process.wait().await }
        });
        let mut second = Box::pin({
            let process = process.clone();
            async move { process.wait().await }
        });
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut first = Some(first);
        assert!(poll_with(second.as_mut(), move || drop(first.take())).is_pending());
        assert!(poll_with(second.as_mut(), || ()).is_pending());
        process.kill().unwrap();
        assert!(!second.await.success());
    });
}

#[test]
fn tasks_may_be_cancelled_while_somebody_starts_to_wait_for_them() {
    asyncio::run(async {
        let sleeping = || create_task(asyncio::sleep(Duration::from_secs(3600)));
        let (first, second) = (sleeping(), sleeping());
        let (cancels, task) = (first.task_ref().clone(), second.task_ref().clone());
        let mut waiting = pin!(wait([first]).into_future());
        let _ = poll_with(waiting.as_mut(), move || assert!(cancels.cancel()));
        assert_eq!(waiting.await.0.len(), 1);

        let ended = Rc::new(as_completed([second]));
        let mut next = pin!(poll_fn(|cx| ended.poll_next(cx)));
        let again = ended.clone();
        let _ = poll_with(next.as_mut(), move || {
            let cx = &Context::from_waker(Waker::noop());
            assert!(again.poll_next(cx).is_pending());
            assert!(task.cancel());
        });
        assert!(next.await.unwrap().unwrap().await.is_err());
    });
}
