use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{LoopWaker, WaitsFor};

use super::StreamReader;
use crate::error::SharedError;
use crate::io::ByteSource;

/// Makes a [`StreamReader`] with a [`StreamFeeder`] that supplies its bytes: for tests, and for
/// protocols that offer a part of their input as a stream.
///
/// # Examples
///
/// ```
/// let (feeder, mut reader) = asyncio_net::feed_reader();
/// feeder.feed_data(b"one\n");
/// # asyncio_task::run(async {
/// assert_eq!(reader.read_line().await.unwrap(), "one\n");
/// # });
/// ```
pub fn feed_reader() -> (StreamFeeder, StreamReader) {
    let feed = Rc::new(Feed::default());
    (StreamFeeder(feed.clone()), StreamReader::new(feed))
}

/// Supplies the bytes of a [`StreamReader`]; see [`feed_reader`].
///
/// Dropping it ends the stream, as [`feed_eof`](Self::feed_eof) does.
///
/// # Examples
///
/// ```
/// let (feeder, mut reader) = asyncio_net::feed_reader();
/// feeder.feed_data(b"abc");
/// feeder.feed_eof();
/// # asyncio_task::run(async {
/// assert_eq!(reader.read_to_end().await.unwrap(), "abc");
/// assert!(reader.at_eof());
/// # });
/// ```
pub struct StreamFeeder(Rc<Feed>);

impl StreamFeeder {
    /// Adds bytes. The number of bytes that wait for a slow reader is not limited.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"one");
    /// feeder.feed_data(b"two");
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.read(100).await.unwrap(), "onetwo");
    /// # });
    /// ```
    pub fn feed_data(&self, bytes: &[u8]) {
        self.0.bytes.borrow_mut().extend(bytes);
        self.0.wake();
    }

    /// Ends the stream after the bytes fed so far.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abc");
    /// feeder.feed_eof();
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.read_to_end().await.unwrap(), "abc");
    /// # });
    /// ```
    pub fn feed_eof(&self) {
        self.0.at_end.set(true);
        self.0.wake();
    }

    /// Makes the waiting read, and all later reads that need more bytes, fail with this error.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    ///
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.set_error(ErrorKind::TimedOut.into());
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.read(1).await.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # });
    /// ```
    pub fn set_error(&self, error: io::Error) {
        self.0.error.replace(Some(SharedError::new(error)));
        self.0.wake();
    }
}

impl Drop for StreamFeeder {
    fn drop(&mut self) {
        self.feed_eof();
    }
}

impl fmt::Debug for StreamFeeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamFeeder").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Feed {
    bytes: RefCell<VecDeque<u8>>,
    error: RefCell<Option<SharedError>>,
    at_end: Cell<bool>,
    reader: Cell<Option<LoopWaker>>,
}

impl Feed {
    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl ByteSource for Feed {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = &*self.error.borrow() {
            return Poll::Ready(Err(error.to_io()));
        }
        if self.bytes.borrow().is_empty() && !self.at_end.get() {
            self.reader.set(Some(LoopWaker::for_wait(cx, WaitsFor::Connection)));
            return Poll::Pending;
        }
        Poll::Ready(self.bytes.borrow_mut().read(buffer))
    }
}
