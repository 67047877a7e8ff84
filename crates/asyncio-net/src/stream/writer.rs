use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::machinery::{at_await, move_wait};
use bytes::Bytes;

use crate::connection::{Connection, EOF_ASKED};
use crate::outgoing::SLICES;
use crate::transport::Transport;
use crate::waiters::Waiting;

/// The sending half of a connection.
///
/// [`write`](Self::write) never waits. Small writes are collected, and sent when the connection's
/// reader waits for an answer, or else at the end of the turn; large ones are sent at once.
/// [`drain`](Self::drain) waits for a peer that does not keep up.
///
/// Dropping the writer closes the connection, after written bytes have been sent. Other code writes
/// to the same connection by a clone of its [`transport`](Self::transport). Formatted text is
/// written with `write!(writer, "…")`, which returns no result.
///
/// # From asyncio
///
/// [`close`](Self::close) can be awaited, which includes `wait_closed`. Limits and addresses are
/// methods of the [`transport`](Self::transport).
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let (mut reader, writer) = asyncio_net::open_connection("localhost:8888").await?;
/// writer.write(b"hello\n");
/// writer.drain().await?;
/// assert_eq!(reader.read_line().await?, "hello\n");
/// writer.close().await
/// # }
/// ```
pub struct StreamWriter {
    transport: Transport,
}

impl StreamWriter {
    pub(crate) fn new(connection: Rc<Connection>) -> Self {
        Self { transport: Transport(connection) }
    }

    #[inline]
    pub(crate) fn connection(&self) -> &Rc<Connection> {
        self.transport.connection()
    }

    /// Makes the writer write to this connection from now on.
    pub(crate) fn set_connection(&mut self, connection: Rc<Connection>) {
        self.transport = Transport(connection);
    }

    /// Sends bytes or text; never waits. Bytes that the socket does not take are copied and sent as
    /// soon as they can be.
    ///
    /// On a connection that is closing or lost the call does nothing; [`drain`](Self::drain)
    /// returns the error.
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let (mut peer, _answer) = JoinedStream::from_std(theirs)?.split();
    ///     writer.write(b"hello ");
    ///     writer.write("world");
    ///     assert_eq!(peer.read(100).await?, "hello world");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[inline]
    pub fn write(&self, data: impl AsRef<[u8]>) {
        self.connection().write(data.as_ref());
    }

    /// Sends formatted text: `write!` and `writeln!` call this. Returns no result, as
    /// [`write`](Self::write).
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof), and if formatting fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, writer| {
    ///         writeln!(writer, "hello {:?}", writer.peer_addr());
    ///     })
    ///     .await?;
    ///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    ///     assert_eq!(reader.read_line().await?, format!("hello {:?}\n", writer.local_addr()));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn write_fmt(&self, text: fmt::Arguments<'_>) {
        self.connection().write_fmt(text);
    }

    /// Sends bytes as [`write`](Self::write) does, but keeps them without a copy.
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let (mut peer, _answer) = JoinedStream::from_std(theirs)?.split();
    ///     writer.write_bytes(vec![7; 10]);
    ///     writer.write_bytes(&b"static"[..]);
    ///     assert_eq!(peer.read_exactly(16).await?[10..], *b"static");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn write_bytes(&self, bytes: impl Into<Bytes>) {
        self.connection().write_bytes(bytes.into());
    }

    /// Sends all of `lines` one after the other, in one system call if the socket takes them.
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let (mut peer, _answer) = JoinedStream::from_std(theirs)?.split();
    ///     writer.write_lines(&[b"one\n", b"two\n"]);
    ///     assert_eq!(peer.read(100).await?, "one\ntwo\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "writelines")]
    pub fn write_lines(&self, lines: &[&[u8]]) {
        self.connection().write_vectored(lines);
    }

    /// Waits if more is queued than the high-water mark allows, until the queue has fallen to the
    /// low-water mark.
    ///
    /// # Errors
    ///
    /// The error that ended the connection; [`ConnectionReset`](io::ErrorKind::ConnectionReset)
    /// once the connection was closed. If the connection is closed while this waits, the result is
    /// `Ok`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect: written bytes are still sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let (mut peer, _answer) = JoinedStream::from_std(theirs)?.split();
    ///     let produce = async move {
    ///         for _ in 0..100 {
    ///             writer.write(&[0; 50_000]);
    ///             writer.drain().await?; // waits for the peer, rather than keep it all in memory
    ///         }
    ///         writer.close().await
    ///     };
    ///     let (produced, consumed) = asyncio_task::gather((produce, peer.read_to_end())).await;
    ///     produced?;
    ///     assert_eq!(consumed?.len(), 5_000_000);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[inline]
    pub fn drain(&self) -> impl Future<Output = io::Result<()>> {
        let connection = self.connection();
        let waiting = Waiting::new(&**connection);
        let mut waited = false;
        at_await(poll_fn(move |cx| {
            if connection.is_drained() {
                return Poll::Ready(Ok(()));
            }
            if !waited && connection.must_give_way() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let drained = connection.poll_drain(cx, waiting.place(), waited);
            waited = true;
            drained
        }))
    }

    /// Sends written bytes now, instead of at the end of the turn, and waits until the system has
    /// taken all of them.
    ///
    /// This is rarely needed, because written bytes are sent anyway. To keep memory within bounds,
    /// use [`drain`](Self::drain).
    ///
    /// # Errors
    ///
    /// The error that ended the connection; [`ConnectionAborted`](io::ErrorKind::ConnectionAborted)
    /// if the connection was aborted before all bytes were sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect: written bytes are still sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     writer.write(b"hello");
    ///     writer.flush().await?;
    ///     let mut got = [0; 5];
    ///     theirs.read_exact(&mut got)?; // it blocks, so it had better be there
    ///     assert_eq!(&got, b"hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn flush(&self) -> impl Future<Output = io::Result<()>> {
        self.connection().flushed_now()
    }

    /// Takes bytes from the beginning of `bytes` and returns their number; waits while more is
    /// queued than the high-water mark allows. Meant for futures that are written by hand; other
    /// code uses [`write`](Self::write) and [`drain`](Self::drain).
    ///
    /// One call queues at most 64 KiB more than the high-water mark.
    ///
    /// # Errors
    ///
    /// The error that ended the connection, each time; [`BrokenPipe`](io::ErrorKind::BrokenPipe)
    /// after [`write_eof`](Self::write_eof) or [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     assert_eq!(poll_fn(|cx| writer.poll_write(cx, b"hello")).await?, 5);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(hidden)]
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.connection().poll_write(cx, &[bytes])
    }

    /// [`poll_write`](Self::poll_write) of several slices, in their order. One call takes bytes of
    /// at most the first sixteen.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::io::IoSlice;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let parts = [IoSlice::new(b"hello "), IoSlice::new(b"world")];
    ///     assert_eq!(poll_fn(|cx| writer.poll_write_vectored(cx, &parts)).await?, 11);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(hidden)]
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut parts = [&[][..]; SLICES];
        let mut count = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()).take(SLICES) {
            parts[count] = slice;
            count += 1;
        }
        self.connection().poll_write(cx, &parts[..count])
    }

    /// [`flush`](Self::flush) for futures that are written by hand.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     writer.write(b"hello");
    ///     assert_eq!(writer.transport().write_buffer_size(), 5);
    ///     poll_fn(|cx| writer.poll_flush(cx)).await?;
    ///     assert_eq!(writer.transport().write_buffer_size(), 0);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(hidden)]
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection().poll_flush_alone(cx)
    }

    /// [`write_eof`](Self::write_eof), then [`poll_flush`](Self::poll_flush). Where one direction
    /// cannot be ended without the other, both are.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let (mut peer, _answer) = JoinedStream::from_std(theirs)?.split();
    ///     poll_fn(|cx| writer.poll_write_eof(cx)).await?;
    ///     assert_eq!(peer.read(1).await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(hidden)]
    pub fn poll_write_eof(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection().poll_write_eof(cx)
    }

    /// Ends the output after everything written so far, so that the peer reads the end of the
    /// stream; reading goes on.
    ///
    /// # Panics
    ///
    /// If one direction cannot be ended without the other, as with TLS: then
    /// [`can_write_eof`](Self::can_write_eof) is false.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (mut reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let (mut peer, answer) = JoinedStream::from_std(theirs)?.split();
    ///     writer.write(b"question");
    ///     writer.write_eof();
    ///     assert_eq!(peer.read_to_end().await?, "question");
    ///     answer.write(b"answer");
    ///     assert_eq!(reader.read(100).await?, "answer");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    ///
    /// The call cannot fail. [`drain`](Self::drain), [`flush`](Self::flush) and
    /// [`close`](Self::close) say whether the bytes before it were sent:
    ///
    /// ```compile_fail,E0277
    /// # fn f(writer: asyncio_net::StreamWriter) -> std::io::Result<()> {
    /// writer.write_eof()?;
    /// # Ok(()) }
    /// ```
    pub fn write_eof(&self) {
        self.connection().write_eof();
    }

    /// Whether [`write_eof`](Self::write_eof) is possible. False for TLS, for example.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     assert!(writer.can_write_eof());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn can_write_eof(&self) -> bool {
        self.transport.can_write_eof()
    }

    /// Closes the connection, after written bytes have been sent. Awaiting the result waits for
    /// that.
    ///
    /// The reader of the connection gets the end of the stream. A peer that does not read keeps the
    /// connection open, and the awaiting task waits: put a timeout around the wait, and
    /// [abort](Transport::abort) when it expires.
    ///
    /// The peer receives the written bytes even if it has sent bytes that were not read, or sends
    /// more later. For this, unless the peer has ended its stream too, the loop keeps the socket,
    /// and reads and drops further input: for up to 30 seconds, 5 seconds without input, or 64 MiB.
    /// The result does not wait for that; [`Server::shutdown`](crate::Server::shutdown) waits,
    /// within its grace period, for peers that send. A loop keeps at most 256 sockets whose peers
    /// have sent nothing since.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (mut reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let (mut peer, _answer) = JoinedStream::from_std(theirs)?.split();
    ///     writer.write(b"good bye");
    ///     writer.close().await?;
    ///     assert_eq!(peer.read_to_end().await?, "good bye");
    ///     assert_eq!(reader.read(1).await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn close(&self) -> Closed<'_> {
        self.connection().close();
        Closed::new(self.connection())
    }

    /// Waits until the connection is closed, by any task, or lost. The wait notices that the peer
    /// has reset the connection, or that the peer of a Unix socket is gone. The end of the peer's
    /// stream alone does not end the connection.
    ///
    /// # Errors
    ///
    /// The error that ended the connection. Bytes that the peer sent before can still be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     let (mut peer, _answer) = JoinedStream::from_std(theirs)?.split();
    ///     let close = async { writer.close() };
    ///     let (_, closed) = asyncio_task::gather((close, writer.wait_closed())).await;
    ///     closed?;
    ///     assert_eq!(peer.read(1).await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn wait_closed(&self) -> impl Future<Output = io::Result<()>> {
        Closed::new(self.connection())
    }

    /// Whether the connection is closed or closing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     assert!(!writer.is_closing());
    ///     writer.close().await?;
    ///     assert!(writer.is_closing());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn is_closing(&self) -> bool {
        self.transport.is_closing()
    }

    /// The transport, which has limits, addresses and abort.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     writer.transport().set_write_buffer_limits(Some(1000), Some(0));
    ///     assert_eq!(writer.transport().write_buffer_limits(), (0, 1000));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The host and port of the other end; see [`Transport::peer_addr`].
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) for a connection that has no host and port;
    /// see [`Transport::peer_address`].
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let (_reader, writer) = open_connection(server.local_addr()?).await?;
    ///     assert_eq!(writer.peer_addr()?, server.local_addr()?);
    ///     assert!(writer.local_addr()?.ip().is_loopback());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "get_extra_info")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.transport.peer_addr()
    }

    /// The host and port of the local end; see [`Transport::local_addr`].
    ///
    /// # Errors
    ///
    /// As [`peer_addr`](Self::peer_addr).
    ///
    /// # Examples
    ///
    /// See [`peer_addr`](Self::peer_addr).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.transport.local_addr()
    }

    /// Information about the connection beyond its addresses; see [`Transport::extra`].
    ///
    /// # Examples
    ///
    /// See [`Extra`](crate::Extra).
    #[doc(alias = "get_extra_info")]
    pub fn extra<T: 'static>(&self) -> Option<T> {
        self.transport.extra()
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        let connection = self.connection();
        if connection.is_shut() {
            return;
        }
        // A pipe's reader gets the end of the stream only when the writing end is closed.
        let ended = connection.has(EOF_ASKED) || !connection.io().can_read();
        if !ended && !connection.network().event_loop().is_closed() {
            self.transport.report_unclosed("a stream writer was dropped without being closed");
        }
        connection.close();
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter").field("transport", &self.transport).finish()
    }
}

/// The future of [`StreamWriter::close`]: ready when the connection is closed, with the error that
/// ended it if one did. Closing goes on if it is not awaited.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::JoinedStream;
///
/// asyncio_task::run(async {
///     let (ours, _theirs) = UnixStream::pair()?;
///     let (_reader, writer) = JoinedStream::from_std(ours)?.split();
///     let closed = writer.close();
///     closed.await?;
///     assert!(writer.is_closing());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct Closed<'a> {
    connection: &'a Rc<Connection>,
    waiting: Waiting<'a, Connection>,
}

impl<'a> Closed<'a> {
    fn new(connection: &'a Rc<Connection>) -> Self {
        Self { connection, waiting: Waiting::new(connection) }
    }
}

impl Future for Closed<'_> {
    type Output = io::Result<()>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.connection.poll_closed(cx, self.waiting.place());
        if polled.is_pending() {
            move_wait(cx, Location::caller());
        }
        polled
    }
}
