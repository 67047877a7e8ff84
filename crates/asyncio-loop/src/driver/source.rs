use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::task::{Context, Poll, ready};

use super::registration::Registration;
use super::{Driver, ReadyList};
use crate::at_await::at_await;
use crate::budget::Share;

/// The direction of bytes.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_loop::{Direction, EventLoop, Source};
///
/// let (ours, _theirs) = UnixStream::pair()?;
/// let source = Source::new(&*EventLoop::new()?, ours);
/// source.clear_ready(Direction::Read);
/// assert!(!source.is_ready(Direction::Read) && source.is_ready(Direction::Write));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Input: receiving, accepting, the end of the stream.
    Read,
    /// Output: sending, and the end of connecting.
    Write,
}

/// Types that a loop can watch: on Unix, all types that have a descriptor.
///
/// The descriptor has to be non-blocking for the operations of a [`Source`], and stay the same one
/// for as long as the value lives.
pub trait Pollable: AsFd {}

impl<S: AsFd + ?Sized> Pollable for S {}

/// A descriptor together with its readiness on one loop.
///
/// It is assumed to be ready at first: the first operation is tried without waiting, and only the
/// first wait registers the descriptor with the poller, once, for both directions. Dropping the
/// source ends the registration.
///
/// One task at a time can wait for each [`Direction`]; a second one replaces the first.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use asyncio_loop::{Direction, EventLoop, Source};
///
/// let event_loop = EventLoop::new()?;
/// let (ours, mut theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let source = Source::new(&event_loop, ours);
/// event_loop.call_soon(move || theirs.write_all(b"hello").unwrap());
/// let received = event_loop.run_until_complete(async {
///     loop {
///         match source.try_io(Direction::Read, |mut io| io.read(&mut [0; 16])) {
///             Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
///                 source.ready(Direction::Read).await?;
///             }
///             other => break other,
///         }
///     }
/// })??;
/// assert_eq!(received, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Source<S: Pollable> {
    // Declared before `io`, because it has to be dropped while the descriptor is open.
    registration: Registration,
    io: S,
}

impl<S: Pollable> Source<S> {
    pub(crate) fn with_driver(driver: &Driver, io: S) -> Self {
        let registration = Registration::new(driver, io.as_fd().as_raw_fd());
        Self { registration, io }
    }

    pub(crate) fn shared(driver: &Driver, io: S) -> io::Result<Self> {
        let registration = Registration::shared(driver, io.as_fd().as_raw_fd())?;
        Ok(Self { registration, io })
    }

    #[cfg(test)]
    pub(super) fn is_registered(&self) -> bool {
        self.registration.is_registered()
    }

    /// The descriptor's owner.
    ///
    /// Make operations that may block by [`try_io`](Self::try_io) or [`poll_io`](Self::poll_io),
    /// which keep the readiness right.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{EventLoop, Source};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let source = Source::new(&*EventLoop::new()?, ours);
    /// assert!(source.get_ref().peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Ends the registration and gives the descriptor's owner back.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{EventLoop, Source};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let source = Source::new(&*EventLoop::new()?, ours);
    /// assert_eq!(source.into_inner().write(b"hello")?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> S {
        self.io
    }

    /// Whether an operation would be tried now instead of waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{Direction, EventLoop, Source};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let source = Source::new(&*EventLoop::new()?, ours);
    /// assert!(source.is_ready(Direction::Read), "until the first try says otherwise");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn is_ready(&self, direction: Direction) -> bool {
        self.registration.is_ready(direction)
    }

    /// Clears the readiness: the next wait waits for the poller.
    ///
    /// Meant for operations that `Source` does not see, such as a connect in progress.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{Direction, EventLoop, Source};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let source = Source::new(&*EventLoop::new()?, ours);
    /// source.clear_ready(Direction::Write);
    /// assert!(!source.is_ready(Direction::Write));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn clear_ready(&self, direction: Direction) {
        self.registration.clear(direction);
    }

    /// Waits until an operation may succeed.
    ///
    /// # Errors
    ///
    /// The poller's, when it refuses the descriptor at its first wait: a regular file
    /// ([`PermissionDenied`](io::ErrorKind::PermissionDenied)), a descriptor that is watched by
    /// another source ([`AlreadyExists`](io::ErrorKind::AlreadyExists)), or a limit of the system.
    #[inline]
    #[track_caller]
    pub fn poll_ready(&self, cx: &Context<'_>, direction: Direction) -> Poll<io::Result<()>> {
        self.registration.poll_ready(cx, direction)
    }

    /// Waits until an operation may succeed.
    ///
    /// A task whose source is always ready yields to other tasks every few calls.
    ///
    /// # Errors
    ///
    /// As [`poll_ready`](Self::poll_ready).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect: readiness stays until an operation uses it up.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{Direction, EventLoop, Source};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let source = Source::new(&event_loop, ours);
    /// source.clear_ready(Direction::Read);
    /// event_loop.call_soon(move || theirs.write_all(b"hello").unwrap());
    /// event_loop.run_until_complete(source.ready(Direction::Read))??;
    /// assert_eq!(source.get_ref().read(&mut [0; 16])?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ready(&self, direction: Direction) -> impl Future<Output = io::Result<()>> {
        let share = Share::default();
        at_await(poll_fn(move |cx| share.poll(cx, |cx| self.poll_ready(cx, direction))))
    }

    /// Waits until `failure` finds out that the descriptor has failed or that its other side has
    /// gone. It is called when the poller says that one of the two may be so, and returns `None` if
    /// neither is.
    ///
    /// This uses up no readiness. One task at a time can wait for it, beside the tasks that wait
    /// for the two directions.
    ///
    /// # Errors
    ///
    /// As [`poll_ready`](Self::poll_ready).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{EventLoop, Source};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let source = Source::new(&event_loop, ours);
    /// event_loop.call_soon(move || drop(theirs));
    /// let gone = poll_fn(|cx| source.poll_failure(cx, |_| Some("gone")));
    /// assert_eq!(event_loop.run_until_complete(gone)??, "gone");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_failure<R>(
        &self,
        cx: &Context<'_>,
        mut failure: impl FnMut(&S) -> Option<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.registration.poll_hang_up(cx))?;
            match failure(&self.io) {
                Some(failure) => return Poll::Ready(Ok(failure)),
                None => self.registration.clear_hang_up(),
            }
        }
    }

    /// Tries `operation` if the source is ready, and clears the readiness if it would have blocked.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the source is not ready, without a call;
    /// otherwise the error of `operation`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{Direction, EventLoop, Source};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let source = Source::new(&*EventLoop::new()?, ours);
    /// let nothing = source.try_io(Direction::Read, |mut io| io.read(&mut [0; 16])).unwrap_err();
    /// assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    /// assert!(!source.is_ready(Direction::Read), "it took note");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        if !self.is_ready(direction) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = operation(&self.io);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.clear_ready(direction);
        }
        result
    }

    /// As [`try_io`](Self::try_io), for a send or receive of up to `length` bytes: moving fewer of
    /// them means that nothing is left (or no room), which saves the call that would return
    /// `WouldBlock`.
    ///
    /// The meaning of a short read depends on the descriptor:
    ///
    /// | descriptor | a short read |
    /// |---|---|
    /// | TCP | means that nothing is left; after urgent data the poller says otherwise, and that is taken into account |
    /// | Unix stream socket | may end at a message with ancillary data, or at another sender: use `try_io`, and [`drained`](Self::drained) when the system says that it did not |
    /// | pipe | means that nothing is left, unless the writer has made it one of packets (`O_DIRECT`) |
    /// | terminal, device, datagram socket | says nothing: use `try_io` |
    ///
    /// # Errors
    ///
    /// As [`try_io`](Self::try_io).
    #[inline]
    #[track_caller]
    pub fn try_transfer(
        &self,
        direction: Direction,
        length: usize,
        operation: impl FnOnce(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let moved = self.try_io(direction, operation)?;
        self.moved(direction, moved, length);
        Ok(moved)
    }

    /// Counts bytes that were moved by [`try_io`](Self::try_io) or [`poll_io`](Self::poll_io) for
    /// the statistics of the loop. The two functions for transfers count by themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::UdpSocket;
    /// use asyncio_loop::{Direction, EventLoop, Source};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let source = Source::new(&event_loop, UdpSocket::bind("127.0.0.1:0")?);
    /// source.count(Direction::Read, 42);
    /// assert_eq!(event_loop.statistics().bytes_in, 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn count(&self, direction: Direction, bytes: usize) {
        self.registration.count(direction, bytes);
    }

    /// Notes that an operation moved fewer bytes than it could have, so that nothing is left (or no
    /// room): the next operation waits for the poller.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{Direction, EventLoop, Source};
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// theirs.write_all(b"hello")?;
    /// let source = Source::new(&*EventLoop::new()?, ours);
    /// assert_eq!(source.try_io(Direction::Read, |mut io| io.read(&mut [0; 16]))?, 5);
    /// source.drained(Direction::Read);
    /// assert!(!source.is_ready(Direction::Read));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn drained(&self, direction: Direction) {
        self.registration.drained(direction);
    }

    /// Tries [`try_transfer`](Self::try_transfer) until it does not block, waiting in between.
    ///
    /// # Errors
    ///
    /// The errors of `operation` and of [`poll_ready`](Self::poll_ready).
    #[inline]
    #[track_caller]
    pub fn poll_transfer(
        &self,
        cx: &Context<'_>,
        direction: Direction,
        length: usize,
        mut operation: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if !self.is_ready(direction) {
                ready!(self.poll_ready(cx, direction))?;
            }
            match operation(&self.io) {
                Ok(moved) => {
                    self.moved(direction, moved, length);
                    return Poll::Ready(Ok(moved));
                }
                Err(error) if self.is_retry(direction, &error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Takes note of a transfer that succeeded.
    #[inline]
    fn moved(&self, direction: Direction, moved: usize, length: usize) {
        self.count(direction, moved);
        if 0 < moved && moved < length {
            self.registration.drained(direction);
        }
    }

    /// Whether the next thing to do is to wait and try again; takes note of it.
    fn is_retry(&self, direction: Direction, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.clear_ready(direction);
        }
        matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
    }

    /// Tries `operation` until it does not block, waiting in between.
    ///
    /// # Errors
    ///
    /// The errors of `operation` and of [`poll_ready`](Self::poll_ready).
    #[inline]
    #[track_caller]
    pub fn poll_io<R>(
        &self,
        cx: &Context<'_>,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.poll_ready(cx, direction))?;
            match operation(&self.io) {
                Err(error) if self.is_retry(direction, &error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// From now on puts `number` into `list` whenever the source becomes readable, and wakes no
    /// reader for that. Bytes that are there already are not noticed, so call this after a read
    /// that would have blocked.
    ///
    /// # Errors
    ///
    /// As [`poll_ready`](Self::poll_ready).
    ///
    /// # Panics
    ///
    /// If the list belongs to another loop, and for a source that has joined a list or is
    /// [shared](Self::share).
    ///
    /// # Examples
    ///
    /// See [`ReadyList`].
    pub fn join_list(&self, list: &ReadyList, number: u32) -> io::Result<()> {
        self.registration.join_list(list, number)
    }

    /// Whether the source has joined a list.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::{EventLoop, Source};
    /// use asyncio_loop::machinery::ReadyList;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let source = Source::new(&event_loop, ours);
    /// assert!(!source.is_listed());
    /// source.join_list(&ReadyList::new(&event_loop), 0)?;
    /// assert!(source.is_listed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_listed(&self) -> bool {
        self.registration.is_listed()
    }

    /// Wakes all waiters, as if both directions had become ready. Meant for an owner that drops the
    /// source while other tasks wait for it.
    pub fn wake_waiters(&self) {
        for direction in [Direction::Read, Direction::Write] {
            self.registration.wake_waiter(direction);
        }
        self.registration.wake_watcher();
    }
}

impl<S: Pollable + fmt::Debug> fmt::Debug for Source<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("io", &self.io)
            .field("readable", &self.is_ready(Direction::Read))
            .field("writable", &self.is_ready(Direction::Write))
            .finish()
    }
}
