//! `JoinedStream`: both halves of a connection in one value.

use std::io;
use std::panic::Location;

use bytes::Bytes;
use socket2::Socket;

use super::{DEFAULT_LIMIT, StreamReader, StreamWriter, streams};
use crate::connect::ConnectedSocket;
use crate::connection::Connection;
use crate::network::Network;
use asyncio_loop::machinery::at_await;

/// A reader and a writer in one value, as crates for TLS, HTTP or web sockets require it.
///
/// It has the traits of `futures-io`, `hyper::rt` and `tokio::io`, with the features `futures-io`,
/// `hyper` and `tokio`, both to read and to write. Writing keeps to the high-water mark; flushing
/// waits until everything has been sent; shutting down, or closing, is
/// [`write_eof`](StreamWriter::write_eof). Dropping it closes the connection, after written bytes
/// have been sent.
///
/// It is not `Send`, so it cannot be passed to a crate that spawns tasks on other threads.
/// `ThreadsafeStream` (feature `send`) can.
///
/// It is made by [`StreamReader::join`], or from a socket of the standard library, and can be taken
/// apart again.
///
/// # From asyncio
///
/// asyncio passes a pair of reader and writer.
///
/// # Examples
///
/// ```
/// use asyncio_net::{JoinedStream, open_connection, start_server};
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |mut reader, writer| {
///         writer.write(&reader.read_line().await?);
///         writer.drain().await
///     })
///     .await?;
///     let (reader, writer) = open_connection(server.local_addr()?).await?;
///     let stream = reader.join(writer); // here a crate that talks by the traits would get it
///     let (mut reader, writer) = stream.split();
///     writer.write(b"hello\n");
///     assert_eq!(reader.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct JoinedStream {
    pub(super) reader: StreamReader,
    pub(super) writer: StreamWriter,
}

impl JoinedStream {
    pub(super) fn new(reader: StreamReader, writer: StreamWriter) -> Self {
        Self { reader, writer }
    }

    /// Makes a stream of a connected TCP or Unix socket of the standard library, or of a socket
    /// that was accepted elsewhere. The socket is made non-blocking.
    ///
    /// # Errors
    ///
    /// The system's error if the socket cannot be used.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, mut theirs) = UnixStream::pair()?;
    ///     let mut stream = JoinedStream::from_std(ours)?;
    ///     theirs.write_all(b"hello\n")?;
    ///     assert_eq!(stream.reader().read_line().await?, "hello\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[track_caller]
    pub fn from_std(socket: impl Into<ConnectedSocket>) -> io::Result<Self> {
        let network = Network::running();
        let socket = socket.into().open(network.event_loop())?;
        let connection = Connection::new(&network, socket.into());
        connection.made_at(Location::caller());
        let (reader, writer) = streams(connection, DEFAULT_LIMIT);
        Ok(Self::new(reader, writer))
    }

    /// Returns the socket, blocking, as the standard library expects it, and the bytes that were
    /// received and not yet read. Waits until everything that was written has been sent.
    ///
    /// # Errors
    ///
    /// The error of the connection; [`Unsupported`](io::ErrorKind::Unsupported) if the connection
    /// has no socket of its own; [`InvalidInput`](io::ErrorKind::InvalidInput) if reader and writer
    /// belong to different connections; [`NotConnected`](io::ErrorKind::NotConnected) once the
    /// connection is closed. After an error the connection is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{ConnectedSocket, JoinedStream};
    ///
    /// asyncio_task::run(async {
    ///     let (ours, mut theirs) = UnixStream::pair()?;
    ///     theirs.write_all(b"STARTTLS\r\nmore")?;
    ///     let (mut reader, writer) = JoinedStream::from_std(ours)?.split();
    ///     assert_eq!(reader.read_line().await?, "STARTTLS\r\n");
    ///     let (socket, more) = reader.join(writer).into_std().await?;
    ///     assert_eq!(more, "more");
    ///     assert!(matches!(socket, ConnectedSocket::Unix(_)));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn into_std(self) -> impl Future<Output = io::Result<(ConnectedSocket, Bytes)>> {
        at_await(async move {
            let (socket, buffered) = self.into_socket().await?;
            let socket = ConnectedSocket::try_from(socket)?;
            socket.set_nonblocking(false)?;
            Ok((socket, buffered))
        })
    }

    /// Returns the socket, non-blocking, and the bytes that were received and not yet read. Waits
    /// until everything that was written has been sent.
    ///
    /// # Errors
    ///
    /// As [`into_std`](Self::into_std).
    ///
    /// # Cancel safety
    ///
    /// As [`into_std`](Self::into_std).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let (socket, buffered) = JoinedStream::from_std(ours)?.into_socket().await?;
    ///     assert!(buffered.is_empty());
    ///     drop(socket);
    ///     let mut peer = JoinedStream::from_std(theirs)?;
    ///     assert_eq!(peer.reader().read(1).await?, "", "it was the only one");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn into_socket(self) -> impl Future<Output = io::Result<(Socket, Bytes)>> {
        at_await(async move {
            let Self { mut reader, writer } = self;
            if !reader.is_of(&writer) {
                let text = "reader and writer are of different connections";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            writer.flush().await?;
            reader.check()?;
            if writer.is_closing() {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let socket = writer.connection().take_socket().ok_or(io::ErrorKind::Unsupported)?;
            Ok((socket, reader.take_buffered()))
        })
    }

    /// The half that reads.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let ours = JoinedStream::from_std(ours)?;
    ///     let mut theirs = JoinedStream::from_std(theirs)?;
    ///     ours.writer().write(b"hello");
    ///     assert_eq!(theirs.reader().read(100).await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn reader(&mut self) -> &mut StreamReader {
        &mut self.reader
    }

    /// The half that writes.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let ours = JoinedStream::from_std(ours)?;
    ///     let mut theirs = JoinedStream::from_std(theirs)?;
    ///     writeln!(ours.writer(), "{}", 6 * 7);
    ///     assert_eq!(theirs.reader().read_line().await?, "42\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn writer(&self) -> &StreamWriter {
        &self.writer
    }

    /// Takes the stream apart into its halves, for example for two tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::JoinedStream;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let ours = JoinedStream::from_std(ours)?;
    ///     let mut theirs = JoinedStream::from_std(theirs)?;
    ///     let (_reader, writer) = ours.split();
    ///     writer.write(b"hello");
    ///     assert_eq!(theirs.reader().read(100).await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn split(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }
}
