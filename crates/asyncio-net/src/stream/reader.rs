use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::JoinedStream;
use super::reading::{Origin, Reading};
use super::scan::Scan;
use super::writer::StreamWriter;
use crate::connection::Connection;
use crate::error::{IncompleteReadError, LimitOverrunError, ReadError};
use crate::io::ByteSource;
use crate::io::buffer_pool;
use asyncio_loop::machinery::at_await;

/// The default limit of a reader, which is the longest line or record that it finds: 64 KiB.
pub const DEFAULT_LIMIT: usize = 64 * 1024;

/// The receiving half of a connection.
///
/// The reader receives only during a read, so a peer that sends faster than you read is slowed down
/// by its full socket. While nothing is buffered, the reader holds no other memory.
///
/// # Cancel safety
///
/// All reads are cancel safe: bytes that came stay buffered, and the next read returns them.
///
/// # From asyncio
///
/// Reads return [`Bytes`], iteration is [`next_line`](Self::next_line). The types enforce one read
/// at a time (`&mut self`), where asyncio raises an error. [`fill_buf`](Self::fill_buf) and
/// [`read_into`](Self::read_into) are new.
///
/// # Examples
///
/// ```
/// let (feeder, mut reader) = asyncio_net::feed_reader();
/// feeder.feed_data(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\nbody");
/// # asyncio_task::run(async {
/// let head = reader.read_until(b"\r\n\r\n").await.unwrap();
/// assert!(head.ends_with(b"localhost\r\n\r\n"));
/// assert_eq!(reader.read(100).await.unwrap(), "body");
/// # });
/// ```
pub struct StreamReader {
    /// The state is boxed, so that futures which hold a reader stay small.
    state: Box<Reading>,
}

impl StreamReader {
    /// Makes a reader with the default limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use std::rc::Rc;
    /// use std::task::{Context, Poll};
    /// use asyncio_net::{ByteSource, StreamReader};
    ///
    /// struct Zeros;
    ///
    /// impl ByteSource for Zeros {
    ///     fn poll_read(&self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    ///         buffer.fill(0);
    ///         Poll::Ready(Ok(buffer.len()))
    ///     }
    /// }
    ///
    /// let mut reader = StreamReader::new(Rc::new(Zeros));
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.read_exactly(2).await.unwrap(), "\0\0");
    /// # });
    /// ```
    pub fn new(source: Rc<dyn ByteSource>) -> Self {
        Self::from_origin(Origin::Other(source), DEFAULT_LIMIT)
    }

    /// Makes a reader of the bytes that `connection` receives.
    pub(crate) fn of(connection: Rc<Connection>, limit: usize) -> Self {
        Self::from_origin(Origin::Connection(connection), limit)
    }

    fn from_origin(origin: Origin, limit: usize) -> Self {
        assert!(limit > 0, "limit cannot be zero");
        Self { state: Box::new(Reading::new(origin, limit)) }
    }

    /// Reads the available bytes, up to `count`, and waits only if there are none. The result is
    /// empty at the end of the stream.
    ///
    /// # Errors
    ///
    /// The error that ended the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abcdef");
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.read(4).await.unwrap(), "abcd");
    /// assert_eq!(reader.read(4).await.unwrap(), "ef", "it does not wait for more");
    /// # });
    /// ```
    pub fn read(&mut self, count: usize) -> impl Future<Output = io::Result<Bytes>> {
        at_await(poll_fn(move |cx| {
            self.state.check()?;
            if count > 0 && self.state.buffer.is_empty() {
                ready!(self.state.poll_fill(cx, count.min(buffer_pool::LENGTH)))?;
            }
            Poll::Ready(Ok(self.take(count.min(self.state.buffer.len()))))
        }))
    }

    /// Reads all bytes up to the end of the stream, without a limit on their number.
    ///
    /// # Errors
    ///
    /// The error that ended the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abc");
    /// # asyncio_task::run(async {
    /// feeder.feed_eof();
    /// assert_eq!(reader.read_to_end().await.unwrap(), "abc");
    /// # });
    /// ```
    #[doc(alias = "read(-1)")]
    pub fn read_to_end(&mut self) -> impl Future<Output = io::Result<Bytes>> {
        at_await(async move {
            self.state.check()?;
            while self.state.fill(self.state.buffer.growing()).await? {}
            Ok(self.take(self.state.buffer.len()))
        })
    }

    /// Reads exactly `count` bytes, which may be more than the limit.
    ///
    /// # Errors
    ///
    /// [`ReadError::Incomplete`] with the bytes that came if the stream ends before;
    /// [`ReadError::Io`] if the connection fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"\0\x03abcrest");
    /// # asyncio_task::run(async {
    /// let length = reader.read_exactly(2).await.unwrap();
    /// let length = u16::from_be_bytes([length[0], length[1]]);
    /// assert_eq!(reader.read_exactly(length.into()).await.unwrap(), "abc");
    /// # });
    /// ```
    #[doc(alias = "readexactly")]
    pub fn read_exactly(&mut self, count: usize) -> impl Future<Output = Result<Bytes, ReadError>> {
        at_await(poll_fn(move |cx| {
            self.state.check()?;
            while self.state.buffer.len() < count {
                // The peer may have announced a false length, so memory is allocated as bytes come.
                let want = count.min(self.state.buffer.growing());
                if !ready!(self.state.poll_fill(cx, want))? {
                    let partial = self.take(self.state.buffer.len());
                    let expected = Some(count);
                    let end = IncompleteReadError { partial, expected };
                    return Poll::Ready(Err(ReadError::Incomplete(end)));
                }
            }
            Poll::Ready(Ok(self.take(count)))
        }))
    }

    /// Reads one line, with its `\n`. The last line may lack the `\n`; at the end of the stream the
    /// result is empty.
    ///
    /// # Errors
    ///
    /// The error that ended the connection. [`InvalidData`](io::ErrorKind::InvalidData), with a
    /// [`LimitOverrunError`] inside, for a line that is longer than the limit (without its
    /// newline). That line is dropped: the next read begins after it.
    ///
    /// # From asyncio
    ///
    /// If a part of a line that is too long has not come yet when asyncio raises the error, asyncio
    /// returns that part as a line of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"one\ntwo");
    /// # asyncio_task::run(async {
    /// feeder.feed_eof();
    /// assert_eq!(reader.read_line().await.unwrap(), "one\n");
    /// assert_eq!(reader.read_line().await.unwrap(), "two");
    /// assert_eq!(reader.read_line().await.unwrap(), "");
    /// # });
    /// ```
    #[doc(alias = "readline")]
    #[inline]
    pub fn read_line(&mut self) -> impl Future<Output = io::Result<Bytes>> {
        let mut scanned = 0;
        at_await(poll_fn(move |cx| {
            let length = ready!(self.poll_line(cx, &mut scanned))?;
            Poll::Ready(Ok(self.take(length)))
        }))
    }

    /// Waits for a line to be buffered and returns its length. The search for its end skips the
    /// first `scanned` bytes, which do not contain it.
    #[inline]
    pub(super) fn poll_line(
        &mut self,
        cx: &mut Context<'_>,
        scanned: &mut usize,
    ) -> Poll<io::Result<usize>> {
        match self.state.find_line(*scanned) {
            Some(length) => Poll::Ready(Ok(length)),
            None => self.poll_rest_of_line(cx, scanned),
        }
    }

    /// The slow path of `poll_line`, for a line that is not complete or too long.
    fn poll_rest_of_line(
        &mut self,
        cx: &mut Context<'_>,
        scanned: &mut usize,
    ) -> Poll<io::Result<usize>> {
        self.state.check()?;
        loop {
            *scanned = self.state.buffer.len();
            if *scanned > self.state.limit {
                return Poll::Ready(Err(self.state.refuse_long_line().into()));
            }
            if !ready!(self.state.poll_fill(cx, 0))? {
                return Poll::Ready(Ok(self.state.buffer.len()));
            }
            if let Some(length) = self.state.find_line(*scanned) {
                return Poll::Ready(Ok(length));
            }
        }
    }

    /// Reads one line, or returns `None` at the end of the stream: `async for line in reader`.
    ///
    /// # Errors
    ///
    /// As [`read_line`](Self::read_line).
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"one\ntwo\nthr");
    /// feeder.feed_eof();
    /// # asyncio_task::run(async {
    /// let mut lines = Vec::new();
    /// while let Some(line) = reader.next_line().await.unwrap() {
    ///     lines.push(line);
    /// }
    /// assert_eq!(lines, ["one\n", "two\n", "thr"]);
    /// # });
    /// ```
    #[inline]
    pub fn next_line(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> {
        let mut scanned = 0;
        at_await(poll_fn(move |cx| {
            let length = ready!(self.poll_line(cx, &mut scanned))?;
            Poll::Ready(Ok((length > 0).then(|| self.take(length))))
        }))
    }

    /// Reads one line, with its `\n`, and appends it to `line`; returns its length, 0 at the end of
    /// the stream.
    ///
    /// A loop that clears and reuses the same `line` allocates nothing.
    ///
    /// # Errors
    ///
    /// As [`read_line`](Self::read_line); `line` is unchanged then.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"1\n20\n300");
    /// feeder.feed_eof();
    /// # asyncio_task::run(async {
    /// let (mut sum, mut line) = (0, Vec::new());
    /// while reader.read_line_into(&mut line).await.unwrap() > 0 {
    ///     sum += std::str::from_utf8(&line).unwrap().trim_end().parse::<u32>().unwrap();
    ///     line.clear();
    /// }
    /// assert_eq!(sum, 321);
    /// # });
    /// ```
    #[inline]
    pub fn read_line_into(
        &mut self,
        line: &mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> {
        let mut scanned = 0;
        at_await(poll_fn(move |cx| {
            let length = ready!(self.poll_line(cx, &mut scanned))?;
            line.extend_from_slice(&self.buffered()[..length]);
            self.consume(length);
            Poll::Ready(Ok(length))
        }))
    }

    /// Reads up to and including the first `separator`.
    ///
    /// # Errors
    ///
    /// [`ReadError::Incomplete`] with the bytes that came if the stream ends before;
    /// [`ReadError::LimitOverrun`] if more bytes than the limit come before the separator (they
    /// stay in the reader, to be read in another way); [`ReadError::Io`] if the connection fails.
    ///
    /// # Panics
    ///
    /// If `separator` is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"key=value;");
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.read_until(b"=").await.unwrap(), "key=");
    /// assert_eq!(reader.read_until(b";").await.unwrap(), "value;");
    /// # });
    /// ```
    #[doc(alias = "readuntil")]
    pub fn read_until(
        &mut self,
        separator: &[u8],
    ) -> impl Future<Output = Result<Bytes, ReadError>> {
        at_await(async move { self.read_until_any(&[separator]).await })
    }

    /// Reads up to and including the separator that ends first.
    ///
    /// # Errors
    ///
    /// As [`read_until`](Self::read_until).
    ///
    /// # Panics
    ///
    /// If there is no separator or an empty one.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"one\r\ntwo\nthree");
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.read_until_any(&[b"\r\n", b"\n"]).await.unwrap(), "one\r\n");
    /// assert_eq!(reader.read_until_any(&[b"\r\n", b"\n"]).await.unwrap(), "two\n");
    /// # });
    /// ```
    pub fn read_until_any(
        &mut self,
        separators: &[&[u8]],
    ) -> impl Future<Output = Result<Bytes, ReadError>> {
        at_await(async move {
            let mut scan = Scan::new(separators);
            self.state.check()?;
            loop {
                if let Some(found) = scan.find(self.state.buffer.bytes()) {
                    self.check_limit(found.start)?;
                    return Ok(self.take(found.end));
                }
                self.check_limit(scan.consumed())?;
                if !self.state.fill(0).await? {
                    let partial = self.take(self.state.buffer.len());
                    return Err(ReadError::Incomplete(IncompleteReadError {
                        partial,
                        expected: None,
                    }));
                }
            }
        })
    }

    /// Returns the buffered bytes, and waits if there are none. The result is empty at the end of
    /// the stream.
    ///
    /// Together with [`consume`](Self::consume), this parses without a copy.
    ///
    /// # Errors
    ///
    /// The error that ended the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abcdef");
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.fill_buf().await.unwrap(), b"abcdef");
    /// reader.consume(4);
    /// assert_eq!(reader.buffered(), b"ef");
    /// # });
    /// ```
    #[inline]
    pub fn fill_buf(&mut self) -> impl Future<Output = io::Result<&[u8]>> {
        at_await(async move {
            poll_fn(|cx| self.poll_fill_buf(cx)).await?;
            Ok(self.state.buffer.bytes())
        })
    }

    /// The bytes that are buffered now.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"one\ntwo");
    /// # asyncio_task::run(async {
    /// assert_eq!(reader.read_line().await.unwrap(), "one\n");
    /// assert_eq!(reader.buffered(), b"two");
    /// # });
    /// ```
    #[inline]
    pub fn buffered(&self) -> &[u8] {
        self.state.buffer.bytes()
    }

    /// Drops the first `count` buffered bytes.
    ///
    /// # Panics
    ///
    /// If fewer than `count` bytes are buffered.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abcdef");
    /// # asyncio_task::run(async {
    /// reader.fill_buf().await.unwrap();
    /// reader.consume(4);
    /// assert_eq!(reader.buffered(), b"ef");
    /// # });
    /// ```
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.state.consume(count);
    }

    /// Reads into your own memory and returns the number of bytes; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// The error that ended the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abc");
    /// # asyncio_task::run(async {
    /// let mut array = [0; 8];
    /// assert_eq!(reader.read_into(&mut array).await.unwrap(), 3);
    /// assert_eq!(&array[..3], b"abc");
    /// # });
    /// ```
    pub fn read_into(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        at_await(poll_fn(|cx| self.poll_read_into(cx, buffer)))
    }

    /// [`read_into`](Self::read_into) for futures that are written by hand.
    ///
    /// # Errors
    ///
    /// The error that ended the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    ///
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abc");
    /// # asyncio_task::run(async {
    /// let mut array = [0; 8];
    /// assert_eq!(poll_fn(|cx| reader.poll_read_into(cx, &mut array)).await.unwrap(), 3);
    /// # });
    /// ```
    #[doc(hidden)]
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.state.check()?;
        self.state.poll_read_into(cx, buffer)
    }

    /// Waits until [`poll_read_into`](Self::poll_read_into) may succeed.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.poll_read_ready(cx)
    }

    /// Waits until bytes are buffered; `false` at the end of the stream.
    ///
    /// # Errors
    ///
    /// The error that ended the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    ///
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abc");
    /// # asyncio_task::run(async {
    /// assert!(poll_fn(|cx| reader.poll_fill_buf(cx)).await.unwrap());
    /// assert_eq!(reader.buffered(), b"abc");
    /// # });
    /// ```
    #[doc(hidden)]
    #[inline]
    pub fn poll_fill_buf(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.state.check()?;
        if self.state.buffer.is_empty() {
            self.state.poll_fill(cx, 0)
        } else {
            Poll::Ready(Ok(true))
        }
    }

    /// Whether the stream has ended and all bytes were read.
    ///
    /// # From asyncio
    ///
    /// The reader knows the end only when a read has got there: it does not read ahead.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"a");
    /// # asyncio_task::run(async {
    /// feeder.feed_eof();
    /// assert_eq!(reader.read(10).await.unwrap(), "a");
    /// assert!(!reader.at_eof(), "nobody has looked");
    /// assert_eq!(reader.read(10).await.unwrap(), "");
    /// assert!(reader.at_eof());
    /// # });
    /// ```
    pub fn at_eof(&self) -> bool {
        self.state.at_end && self.state.buffer.is_empty()
    }

    pub(crate) fn limit(&self) -> usize {
        self.state.limit
    }

    /// Sets the limit of [`read_line`](Self::read_line) and [`read_until`](Self::read_until), in
    /// bytes. The first limit is 64 KiB, or the one that the reader's maker was given.
    ///
    /// # Panics
    ///
    /// If `limit` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"a line that is too long\nshort\n");
    /// # asyncio_task::run(async {
    /// reader.set_limit(10);
    /// assert!(reader.read_line().await.is_err());
    /// assert_eq!(reader.read_line().await.unwrap(), "short\n");
    /// # });
    /// ```
    pub fn set_limit(&mut self, limit: usize) {
        assert!(limit > 0, "limit cannot be zero");
        self.state.limit = limit;
    }

    /// Makes every read fail with this error from now on, even if bytes are buffered.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    ///
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"abc");
    /// # asyncio_task::run(async {
    /// reader.set_error(ErrorKind::TimedOut.into());
    /// assert_eq!(reader.read(1).await.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # });
    /// ```
    #[doc(alias = "set_exception")]
    pub fn set_error(&mut self, error: io::Error) {
        self.state.set_error(error);
    }

    /// Joins this reader and a writer, usually of the same connection, for crates that require one
    /// stream to read and write.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write(b"hello");
    ///     let server = start_server("127.0.0.1:0", hello).await?;
    ///     let (reader, writer) = open_connection(server.local_addr()?).await?;
    ///     let mut stream = reader.join(writer);
    ///     assert_eq!(stream.reader().read_to_end().await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn join(self, writer: StreamWriter) -> JoinedStream {
        JoinedStream::new(self, writer)
    }

    /// Whether this reader and `writer` belong to the same connection.
    pub(super) fn is_of(&self, writer: &StreamWriter) -> bool {
        self.state.is_of(writer.connection())
    }

    /// The error that a read would return now.
    pub(super) fn check(&self) -> io::Result<()> {
        self.state.check()
    }

    /// Takes all buffered bytes.
    pub(super) fn take_buffered(&mut self) -> Bytes {
        self.take(self.state.buffer.len())
    }

    fn check_limit(&self, consumed: usize) -> Result<(), ReadError> {
        if consumed <= self.state.limit {
            return Ok(());
        }
        let limit = self.state.limit;
        Err(ReadError::LimitOverrun(LimitOverrunError { consumed, limit }))
    }

    pub(super) fn take(&mut self, count: usize) -> Bytes {
        self.state.take(count)
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("buffered", &self.state.buffer.len())
            .field("limit", &self.state.limit)
            .field("at_end", &self.state.at_end)
            .field("error", &self.state.error())
            .finish_non_exhaustive()
    }
}
