//! Descriptors of a loop.

use std::io;

use super::LoopRef;
use crate::driver::{Pollable, ReadyList, Source};

impl<S: Pollable> Source<S> {
    /// Watches `io` with the driver of `event_loop`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{Direction, EventLoop, Source};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let source = Source::new(&event_loop, ours);
    /// event_loop.call_soon(move || theirs.write_all(b"hello").unwrap());
    /// let mut buffer = [0; 16];
    /// let read = event_loop.run_until_complete(poll_fn(|cx| {
    ///     source.poll_io(cx, Direction::Read, |mut io| io.read(&mut buffer))
    /// }))??;
    /// assert_eq!(&buffer[..read], b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(event_loop: &LoopRef, io: S) -> Self {
        Self::with_driver(event_loop.driver(), io)
    }

    /// Watches a descriptor that several sources made by `share` may watch at the same time.
    ///
    /// Each direction still has one waiter, the last one.
    ///
    /// # Errors
    ///
    /// If the descriptor belongs to a transport, or is in a source that was made by
    /// [`new`](Self::new).
    pub fn share(event_loop: &LoopRef, io: S) -> io::Result<Self> {
        Self::shared(event_loop.driver(), io)
    }
}

impl ReadyList {
    /// Makes an empty list.
    ///
    /// # Panics
    ///
    /// If there are more than 65,536 on the loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    /// use asyncio_loop::machinery::ReadyList;
    ///
    /// let list = ReadyList::new(&*EventLoop::new()?);
    /// list.push(7);
    /// let cx = &std::task::Context::from_waker(std::task::Waker::noop());
    /// let mut ready = Vec::new();
    /// assert!(list.poll_take(cx, &mut ready).is_ready());
    /// assert_eq!(ready, [7]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn new(event_loop: &LoopRef) -> Self {
        Self::with_driver(event_loop.driver())
    }
}
