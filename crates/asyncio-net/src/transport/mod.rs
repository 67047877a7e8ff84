//! The loop's side of a connection, for protocols.

mod deliver;
mod over;
mod protocols_task;
mod receiver;
mod unclosed;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use socket2::SockRef;

pub(crate) use self::over::start;
pub use self::over::transport_over;
pub(crate) use self::protocols_task::ProtocolsTask;
pub(crate) use self::receiver::{Lent, Own, Receiver, Stopped};
use crate::address::Address;
use crate::connection::{Connection, KEPT, Limits, READ_EOF, READING_PAUSED};
use crate::io::extra;
use crate::protocol::{BufferedProtocol, Protocol};

/// The handle of a protocol's connection, by which it writes, pauses and closes.
///
/// Clones are handles to the same connection. A transport can be kept and used at any time, even
/// after the connection has ended.
///
/// Small writes of one turn are sent together at its end; large ones are sent at once.
///
/// # Examples
///
/// ```
/// use asyncio_net::{Protocol, Transport, create_server, open_connection};
///
/// /// Answers each line, and hangs up after "bye".
/// struct Polite;
///
/// impl Protocol for Polite {
///     fn connection_made(&mut self, transport: &Transport) {
///         transport.set_write_buffer_limits(Some(1024), None);
///         assert_eq!(transport.write_buffer_limits(), (256, 1024));
///         assert!(transport.is_reading() && transport.can_write_eof());
///     }
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         transport.write("you said: ");
///         transport.write(data);
///         if data.starts_with(b"bye") {
///             transport.close();
///             assert!(transport.is_closing() && !transport.is_reading());
///         }
///     }
/// }
///
/// asyncio_task::run(async {
///     let server = create_server("127.0.0.1:0", || Polite).await?;
///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
///     writer.write("hello\n");
///     assert_eq!(reader.read_line().await?, "you said: hello\n");
///     writer.write("bye\n");
///     assert_eq!(reader.read_to_end().await?, "you said: bye\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub struct Transport(pub(crate) Rc<Connection>);

impl Transport {
    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.0
    }

    /// Sends bytes or text; never waits. Bytes that the socket does not take are copied, and sent
    /// as soon as it takes them.
    ///
    /// On a connection that is closing or lost the call does nothing.
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof).
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    #[inline]
    pub fn write(&self, data: impl AsRef<[u8]>) {
        self.0.write(data.as_ref());
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
    /// use asyncio_net::{Protocol, Transport, create_server, open_connection};
    ///
    /// struct Count(usize);
    ///
    /// impl Protocol for Count {
    ///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
    ///         self.0 += data.len();
    ///         writeln!(transport, "{} so far", self.0);
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = create_server("127.0.0.1:0", || Count(0)).await?;
    ///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    ///     write!(writer, "{}", 12345);
    ///     assert_eq!(reader.read_line().await?, "5 so far\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn write_fmt(&self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text);
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
    /// use asyncio_net::open_connection;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = open_connection(ours).await?;
    ///     let (mut peer, _writer) = open_connection(theirs).await?;
    ///     writer.transport().write_bytes(vec![7; 10_000]);
    ///     assert_eq!(peer.read_exactly(10_000).await?, [7; 10_000][..]);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn write_bytes(&self, bytes: impl Into<Bytes>) {
        self.0.write_bytes(bytes.into());
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
    /// use asyncio_net::open_connection;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = open_connection(ours).await?;
    ///     let (mut peer, _writer) = open_connection(theirs).await?;
    ///     writer.transport().write_lines(&[b"one\n", b"two\n"]);
    ///     assert_eq!(peer.read(100).await?, "one\ntwo\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "writelines")]
    pub fn write_lines(&self, lines: &[&[u8]]) {
        self.0.write_vectored(lines);
    }

    /// Ends the output after everything written so far, so that the peer reads the end of the
    /// stream; receiving goes on.
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
    /// use asyncio_net::open_connection;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (mut reader, writer) = open_connection(ours).await?;
    ///     let (mut peer, answer) = open_connection(theirs).await?;
    ///     writer.transport().write("question");
    ///     writer.transport().write_eof();
    ///     assert_eq!(peer.read_to_end().await?, "question");
    ///     answer.write("answer");
    ///     assert_eq!(reader.read(100).await?, "answer");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn write_eof(&self) {
        self.0.write_eof();
    }

    /// Whether [`write_eof`](Self::write_eof) is possible. False for TLS, for example.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn can_write_eof(&self) -> bool {
        self.0.io().can_write_eof()
    }

    /// Receives no more, sends written bytes, and then ends the connection.
    ///
    /// The peer receives the written bytes even if it has sent bytes that were not read, or sends
    /// more later; see [`StreamWriter::close`](crate::StreamWriter::close).
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn close(&self) {
        self.0.close();
    }

    /// Ends the connection without sending bytes that are still queued.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::open_connection;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = open_connection(ours).await?;
    ///     let (mut peer, _writer) = open_connection(theirs).await?;
    ///     writer.transport().write("never sent");
    ///     writer.transport().abort();
    ///     assert_eq!(peer.read_to_end().await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the connection is closed or closing.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn is_closing(&self) -> bool {
        !self.0.is_open()
    }

    /// Stops receiving until [`resume_reading`](Self::resume_reading): neither data nor the end of
    /// the stream is delivered.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{Protocol, Transport, create_connection, open_connection};
    ///
    /// struct Echo;
    ///
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
    ///         transport.write(data);
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let transport = create_connection(ours, || Echo).await?;
    ///     let (mut reader, writer) = open_connection(theirs).await?;
    ///     transport.pause_reading();
    ///     writer.write("hello");
    ///     writer.flush().await?;
    ///     transport.resume_reading();
    ///     assert_eq!(reader.read(100).await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn pause_reading(&self) {
        self.0.set(READING_PAUSED);
    }

    /// Receives again, beginning with the bytes that have come meanwhile.
    ///
    /// # Examples
    ///
    /// See [`pause_reading`](Self::pause_reading).
    pub fn resume_reading(&self) {
        self.0.resume_reading();
    }

    /// Whether data is being received.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn is_reading(&self) -> bool {
        !self.0.has(READING_PAUSED | READ_EOF) && self.0.is_open()
    }

    /// Sets the marks: [`pause_writing`](Protocol::pause_writing) is called when more than `high`
    /// bytes are queued, and [`resume_writing`](Protocol::resume_writing) when `low` or fewer are
    /// left.
    ///
    /// If `high` is `None`, it is 64 KiB, or four times `low` if that is given. If `low` is `None`,
    /// it is a quarter of `high`.
    ///
    /// # Panics
    ///
    /// If `low` is greater than `high`.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn set_write_buffer_limits(&self, high: Option<usize>, low: Option<usize>) {
        self.0.set_limits(Limits::new(high, low));
    }

    /// The marks, low and high.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    #[doc(alias = "get_write_buffer_limits")]
    pub fn write_buffer_limits(&self) -> (usize, usize) {
        let limits = self.0.limits();
        (limits.low, limits.high)
    }

    /// The number of queued bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::open_connection;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = UnixStream::pair()?;
    ///     let (_reader, writer) = open_connection(ours).await?;
    ///     let transport = writer.transport();
    ///     transport.write("it leaves at the end of the turn");
    ///     assert_eq!(transport.write_buffer_size(), 32);
    ///     asyncio_task::yield_now().await;
    ///     assert_eq!(transport.write_buffer_size(), 0);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "get_write_buffer_size")]
    pub fn write_buffer_size(&self) -> usize {
        self.0.queued()
    }

    /// The host and port of the other end.
    ///
    /// After the end, the address is known if it was read before, or if a [clone](Self::clone) of
    /// the transport was made. An accepted connection always knows it.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) for a connection that has no host and port;
    /// see [`peer_address`](Self::peer_address).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use asyncio_net::{Protocol, Transport, create_connection, create_server};
    ///
    /// struct Names;
    ///
    /// impl Protocol for Names {
    ///     fn connection_made(&mut self, transport: &Transport) {
    ///         println!("{} connects to {}", transport.peer_address(), transport.local_address());
    ///     }
    ///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = create_server("127.0.0.1:0", || Names).await?;
    ///     let transport = create_connection(server.local_addr()?, || Names).await?;
    ///     assert_eq!(transport.peer_addr()?, server.local_addr()?);
    ///     assert!(transport.local_addr()?.ip().is_loopback());
    ///     io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "get_extra_info")]
    #[doc(alias = "peername")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer_address().to_inet()
    }

    /// The host and port of the local end; see [`peer_addr`](Self::peer_addr).
    ///
    /// # Errors
    ///
    /// As [`peer_addr`](Self::peer_addr).
    ///
    /// # Examples
    ///
    /// See [`peer_addr`](Self::peer_addr).
    #[doc(alias = "sockname")]
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_address().to_inet()
    }

    /// The address of the other end, of any kind.
    ///
    /// # Examples
    ///
    /// See [`peer_addr`](Self::peer_addr).
    pub fn peer_address(&self) -> Address {
        self.0.io().peer_address()
    }

    /// The address of the local end, of any kind.
    ///
    /// # Examples
    ///
    /// See [`peer_addr`](Self::peer_addr).
    pub fn local_address(&self) -> Address {
        self.0.io().local_address()
    }

    /// Information about the connection beyond its addresses, requested by type: with asyncio-tls,
    /// `transport.extra::<TlsInfo>()` is the result of the handshake. `None` if no stream of the
    /// connection knows a `T`. If several layers know one, the uppermost answers.
    ///
    /// # Examples
    ///
    /// See [`Extra`](crate::Extra).
    #[doc(alias = "get_extra_info")]
    pub fn extra<T: 'static>(&self) -> Option<T> {
        extra(|request| self.0.io().extra(request))
    }

    /// Calls `look` with the socket, for example to set options. `None` once the socket is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let (_reader, writer) = open_connection(server.local_addr()?).await?;
    ///     let no_delay = writer.transport().with_socket(|socket| socket.tcp_nodelay());
    ///     assert!(no_delay.unwrap()?);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn with_socket<R>(&self, look: impl FnOnce(SockRef<'_>) -> R) -> Option<R> {
        let mut look = Some(look);
        let mut result = None;
        self.0.io().with_socket(&mut |socket| result = look.take().map(|look| look(socket)));
        result
    }

    /// Replaces the protocol from now on.
    ///
    /// # From asyncio
    ///
    /// The previous protocol is dropped. If it calls this itself, it is dropped when its method has
    /// returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{Protocol, Transport, create_server, open_connection};
    ///
    /// /// Waits for a greeting, and leaves the rest to another protocol.
    /// struct Greeting;
    ///
    /// impl Protocol for Greeting {
    ///     fn data_received(&mut self, transport: &Transport, _: &[u8]) {
    ///         transport.write("welcome\n");
    ///         transport.set_protocol(Echo);
    ///     }
    /// }
    ///
    /// struct Echo;
    ///
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
    ///         transport.write(data);
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = create_server("127.0.0.1:0", || Greeting).await?;
    ///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    ///     writer.write("hello\n");
    ///     assert_eq!(reader.read_line().await?, "welcome\n");
    ///     writer.write("echo\n");
    ///     assert_eq!(reader.read_line().await?, "echo\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn set_protocol(&self, protocol: impl Protocol + 'static) {
        self.0.set_receiver(Box::new(Lent(protocol)));
        self.0.wake_protocols_task();
    }

    /// Does the same as [`set_protocol`](Self::set_protocol), for a protocol with its own buffer.
    ///
    /// # Examples
    ///
    /// See [`BufferedProtocol`].
    pub fn set_buffered_protocol(&self, protocol: impl BufferedProtocol + 'static) {
        self.0.set_receiver(Box::new(Own(protocol)));
        self.0.wake_protocols_task();
    }
}

impl Clone for Transport {
    fn clone(&self) -> Self {
        self.0.set(KEPT);
        Self(self.0.clone())
    }
}

impl PartialEq for Transport {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Transport {}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("local", &format_args!("{}", self.local_address()))
            .field("peer", &format_args!("{}", self.peer_address()))
            .field("connection", &self.0)
            .finish()
    }
}
