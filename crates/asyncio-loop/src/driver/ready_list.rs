use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Driver, Shared};
use crate::{LoopWaker, WaitsFor};

/// A list of the sources that have become readable, for one task that reads from many.
///
/// A source that has [joined](super::Source::join_list) puts its number into the list whenever it
/// becomes readable. So a task that serves a thousand connections learns which of them to serve,
/// and a connection needs neither a waker nor a step of its own.
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use asyncio_loop::{Direction, EventLoop, Source};
/// use asyncio_loop::machinery::ReadyList;
///
/// let event_loop = EventLoop::new()?;
/// let list = ReadyList::new(&event_loop);
/// let (mut sources, mut peers) = (Vec::new(), Vec::new());
/// for number in 0..3 {
///     let (ours, theirs) = UnixStream::pair()?;
///     ours.set_nonblocking(true)?;
///     let source = Source::new(&event_loop, ours);
///     source.clear_ready(Direction::Read);
///     source.join_list(&list, number)?;
///     sources.push(source);
///     peers.push(theirs);
/// }
/// peers[2].write_all(b"hello")?;
/// let mut ready = Vec::new();
/// event_loop.run_until_complete(poll_fn(|cx| list.poll_take(cx, &mut ready)))?;
/// assert_eq!(ready, [2]);
/// assert_eq!(sources[2].try_io(Direction::Read, |mut io| io.read(&mut [0; 8]))?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ReadyList {
    driver: Driver,
    pub(super) id: u16,
}

impl ReadyList {
    pub(crate) fn with_driver(driver: &Driver) -> Self {
        let driver = driver.clone();
        let id = driver.shared.slots.borrow_mut().lists.open().expect("too many lists of sources");
        Self { driver, id }
    }

    pub(super) fn driver(&self) -> &Rc<Shared> {
        &self.driver.shared
    }

    /// Puts a number into the list, for a source that has to be served for another reason.
    ///
    /// # Examples
    ///
    /// See [`new`](Self::new).
    pub fn push(&self, number: u32) {
        let waiter = self.driver.shared.slots.borrow_mut().lists.add(self.id, number);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Waits until the list has numbers, and moves them into `ready`, which is empty. A number may
    /// be there twice.
    ///
    /// One task at a time can wait; a second one replaces the first.
    ///
    /// # Examples
    ///
    /// See the [list](Self).
    pub fn poll_take(&self, cx: &Context<'_>, ready: &mut Vec<u32>) -> Poll<()> {
        debug_assert!(ready.is_empty(), "what was taken before is done");
        let waits = {
            let lists = &mut self.driver.shared.slots.borrow_mut().lists;
            if lists.take(self.id, ready) {
                return Poll::Ready(());
            }
            lists.waits_again(self.id, cx)
        };
        if waits {
            WaitsFor::Descriptor.note(cx);
        } else {
            let waiter = LoopWaker::for_wait(cx, WaitsFor::Descriptor);
            // The waker is dropped with nothing borrowed, because a foreign waker may run any code.
            let _before = self.driver.shared.slots.borrow_mut().lists.set_waiter(self.id, waiter);
        }
        Poll::Pending
    }
}

impl Drop for ReadyList {
    fn drop(&mut self) {
        let waiter = self.driver.shared.slots.borrow_mut().lists.close(self.id);
        drop(waiter);
    }
}

impl fmt::Debug for ReadyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyList").finish_non_exhaustive()
    }
}
