//! Waiting under wakers of other executors, which do what they like when they are cloned.

mod common;

use std::pin::pin;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use asyncio_net::{feed_reader, start_server};
use common::run;

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
fn a_waker_may_feed_the_reader_that_takes_it_when_it_is_cloned() {
    run(async || {
        let (feeder, mut reader) = feed_reader();
        let feed: &dyn Fn() = &|| feeder.feed_data(b"x");
        // SAFETY: `feed` outlives the read.
        let waker = unsafe { cloning(&feed) };
        let mut read = pin!(reader.read(1));
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(read.await?, "x");
        Ok(())
    });
}

#[test]
fn a_waker_may_close_the_server_that_takes_it_when_it_is_cloned() {
    run(async || {
        let server = start_server("127.0.0.1:0", async |_, _| Ok::<_, std::io::Error>(())).await?;
        let close: &dyn Fn() = &|| server.close();
        let mut closed = pin!(server.wait_closed());
        // SAFETY: `close` outlives `closed`.
        let waker = unsafe { cloning(&close) };
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        closed.await;
        Ok(())
    });
}
