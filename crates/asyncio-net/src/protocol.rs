//! Protocols: the callbacks of a connection.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crate::transport::Transport;

/// The callbacks of a connection: made, data, end of the stream, lost.
///
/// The loop calls these methods; they must not block. Per connection the order is
/// `connection_made`, any number of `data_received`, at most one `eof_received`, and
/// `connection_lost` as the last.
///
/// If a method panics, its connection ends with an error, and the panic is reported; the loop goes
/// on.
///
/// # From asyncio
///
/// Every method gets the transport, so a protocol need not keep it. The data is lent from the
/// loop's read buffer, which all connections share: copy it to keep it. Writing inside a method
/// never calls another method: `pause_writing` follows when the method has returned. To share a
/// protocol's state with the rest of the program, make a connection with an `Rc<RefCell<impl
/// Protocol>>`.
///
/// # Examples
///
/// ```
/// struct Echo;
///
/// impl asyncio_net::Protocol for Echo {
///     fn data_received(&mut self, transport: &asyncio_net::Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
/// ```
pub trait Protocol {
    /// The connection has been made.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{Protocol, Transport, create_server, open_connection};
    ///
    /// struct Welcome;
    ///
    /// impl Protocol for Welcome {
    ///     fn connection_made(&mut self, transport: &Transport) {
    ///         transport.write(b"welcome\n");
    ///     }
    ///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = create_server("127.0.0.1:0", || Welcome).await?;
    ///     let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
    ///     assert_eq!(reader.read_line().await?, "welcome\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// One or more bytes have come.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{Protocol, Transport, create_server, open_connection};
    ///
    /// struct Shout;
    ///
    /// impl Protocol for Shout {
    ///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
    ///         transport.write(&data.to_ascii_uppercase());
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = create_server("127.0.0.1:0", || Shout).await?;
    ///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    ///     writer.write(b"hello\n");
    ///     assert_eq!(reader.read_line().await?, "HELLO\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn data_received(&mut self, transport: &Transport, data: &[u8]);

    /// The other side sends no more. With `true` the connection stays open for writing; with
    /// `false`, the default, it is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{Protocol, Transport, create_server, open_connection};
    ///
    /// struct Answer;
    ///
    /// impl Protocol for Answer {
    ///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    ///     fn eof_received(&mut self, transport: &Transport) -> bool {
    ///         transport.write(b"that was all");
    ///         true
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = create_server("127.0.0.1:0", || Answer).await?;
    ///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    ///     writer.write_eof();
    ///     assert_eq!(reader.read(100).await?, "that was all");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }

    /// The connection has ended: with an error, or without one when it was closed or aborted.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::io;
    /// use std::rc::Rc;
    /// use asyncio_net::{Protocol, Transport, create_connection, start_server};
    ///
    /// struct Until(Rc<Cell<bool>>);
    ///
    /// impl Protocol for Until {
    ///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    ///     fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
    ///         assert!(error.is_none(), "the other side closed it");
    ///         self.0.set(true);
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let lost = Rc::new(Cell::new(false));
    ///     let transport = create_connection(server.local_addr()?, || Until(lost.clone())).await?;
    ///     while !lost.get() {
    ///         asyncio_task::yield_now().await;
    ///     }
    ///     assert!(transport.is_closing());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>) {
        let _ = (transport, error);
    }

    /// More bytes are queued than the high-water mark allows: stop writing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::os::unix::net::UnixStream;
    /// use std::rc::Rc;
    /// use asyncio_net::{Protocol, Transport, connect_accepted_socket};
    ///
    /// #[derive(Default)]
    /// struct Source {
    ///     is_paused: bool,
    /// }
    ///
    /// impl Protocol for Source {
    ///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    ///     fn pause_writing(&mut self, _: &Transport) {
    ///         self.is_paused = true;
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let (ours, _theirs) = UnixStream::pair()?;
    ///     let source = Rc::new(RefCell::new(Source::default()));
    ///     let transport = connect_accepted_socket(ours, || source.clone()).await?;
    ///     transport.write(&[0; 10_000_000]); // nobody reads
    ///     assert!(source.borrow().is_paused);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The queue has fallen to the low-water mark: go on writing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::os::unix::net::UnixStream;
    /// use std::rc::Rc;
    /// use asyncio_net::{JoinedStream, Protocol, Transport, connect_accepted_socket};
    ///
    /// #[derive(Default)]
    /// struct Source {
    ///     is_paused: bool,
    /// }
    ///
    /// impl Protocol for Source {
    ///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    ///     fn pause_writing(&mut self, _: &Transport) {
    ///         self.is_paused = true;
    ///     }
    ///     fn resume_writing(&mut self, _: &Transport) {
    ///         self.is_paused = false;
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let source = Rc::new(RefCell::new(Source::default()));
    ///     let transport = connect_accepted_socket(ours, || source.clone()).await?;
    ///     transport.write(&[0; 10_000_000]);
    ///     assert!(source.borrow().is_paused);
    ///     let (mut peer, _writer) = JoinedStream::from_std(theirs)?.split();
    ///     peer.read_exactly(10_000_000).await?;
    ///     assert!(!source.borrow().is_paused);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }
}

/// A protocol that receives into its own memory.
///
/// Instead of [`data_received`](Protocol::data_received), the loop calls
/// [`get_buffer`](Self::get_buffer) for room and [`buffer_updated`](Self::buffer_updated) with the
/// number of bytes received. The other methods are those of [`Protocol`].
///
/// # From asyncio
///
/// `get_buffer` may be called again without `buffer_updated` in between, if no bytes came.
///
/// # Examples
///
/// ```
/// use asyncio_net::{BufferedProtocol, Transport, create_buffered_server, open_connection};
///
/// /// Collects records of four bytes.
/// struct Records {
///     buffer: [u8; 4],
///     filled: usize,
/// }
///
/// impl BufferedProtocol for Records {
///     fn get_buffer(&mut self, _size_hint: usize) -> &mut [u8] {
///         &mut self.buffer[self.filled..]
///     }
///     fn buffer_updated(&mut self, transport: &Transport, count: usize) {
///         self.filled += count;
///         if self.filled == self.buffer.len() {
///             self.filled = 0;
///             write!(transport, "{}", u32::from_be_bytes(self.buffer));
///         }
///     }
/// }
///
/// asyncio_task::run(async {
///     let factory = || Records { buffer: [0; 4], filled: 0 };
///     let server = create_buffered_server("127.0.0.1:0", factory).await?;
///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
///     writer.write(&1234_u32.to_be_bytes());
///     assert_eq!(reader.read_exactly(4).await?, "1234");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub trait BufferedProtocol {
    /// The connection has been made.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Returns room to receive into; `size_hint` is a useful size. An empty buffer is an error that
    /// ends the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{BufferedProtocol, Transport, create_buffered_server, open_connection};
    ///
    /// struct Echo([u8; 16]);
    ///
    /// impl BufferedProtocol for Echo {
    ///     fn get_buffer(&mut self, _size_hint: usize) -> &mut [u8] {
    ///         &mut self.0
    ///     }
    ///     fn buffer_updated(&mut self, transport: &Transport, count: usize) {
    ///         transport.write(&self.0[..count]);
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = create_buffered_server("127.0.0.1:0", || Echo([0; 16])).await?;
    ///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    ///     writer.write(b"hello\n");
    ///     assert_eq!(reader.read_line().await?, "hello\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn get_buffer(&mut self, size_hint: usize) -> &mut [u8];

    /// `count` bytes are in the buffer that was returned last.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{BufferedProtocol, Transport, create_buffered_server, open_connection};
    ///
    /// struct Count([u8; 4]);
    ///
    /// impl BufferedProtocol for Count {
    ///     fn get_buffer(&mut self, _size_hint: usize) -> &mut [u8] {
    ///         &mut self.0
    ///     }
    ///     fn buffer_updated(&mut self, transport: &Transport, count: usize) {
    ///         writeln!(transport, "{count}");
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let server = create_buffered_server("127.0.0.1:0", || Count([0; 4])).await?;
    ///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    ///     writer.write(b"four and three..");
    ///     assert_eq!(reader.read_line().await?, "4\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn buffer_updated(&mut self, transport: &Transport, count: usize);

    /// As [`Protocol::eof_received`].
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }

    /// As [`Protocol::connection_lost`].
    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>) {
        let _ = (transport, error);
    }

    /// As [`Protocol::pause_writing`].
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// As [`Protocol::resume_writing`].
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }
}

/// A protocol that other code shares. It must not stay borrowed while the loop runs, or the
/// connection ends with an error.
impl<P: Protocol> Protocol for Rc<RefCell<P>> {
    fn connection_made(&mut self, transport: &Transport) {
        self.borrow_mut().connection_made(transport);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.borrow_mut().data_received(transport, data);
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        self.borrow_mut().eof_received(transport)
    }

    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>) {
        self.borrow_mut().connection_lost(transport, error);
    }

    fn pause_writing(&mut self, transport: &Transport) {
        self.borrow_mut().pause_writing(transport);
    }

    fn resume_writing(&mut self, transport: &Transport) {
        self.borrow_mut().resume_writing(transport);
    }
}
