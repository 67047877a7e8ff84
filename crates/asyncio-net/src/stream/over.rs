//! Streams over any [`ByteStream`].

use std::panic::Location;
use std::rc::Rc;

use super::{DEFAULT_LIMIT, StreamReader, StreamWriter};
use crate::connection::{Connection, STREAMS};
use crate::io::ByteStream;
use crate::network::Network;

/// Makes a reader and a writer over a byte stream of any kind: a pipe, memory, a TLS session.
///
/// As always, dropping the writer closes the stream for both: keep the writer for as long as you
/// read.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// A stream that reads as zeros and takes all bytes:
///
/// ```
/// use std::io::{self, IoSlice};
/// use std::task::{Context, Poll};
/// use asyncio_net::{ByteSource, ByteStream, stream_over};
///
/// struct Sink;
///
/// impl ByteSource for Sink {
///     fn poll_read(&self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
///         buffer.fill(0);
///         Poll::Ready(Ok(buffer.len()))
///     }
/// }
///
/// impl ByteStream for Sink {
///     fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
///         Ok(slices.iter().map(|slice| slice.len()).sum())
///     }
///     fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
///         Poll::Ready(Ok(()))
///     }
///     fn write_eof(&self) -> io::Result<()> {
///         Ok(())
///     }
///     fn close(&self) {}
/// }
///
/// asyncio_task::run(async {
///     let (mut reader, writer) = stream_over(Sink);
///     writer.write(b"anything");
///     assert_eq!(reader.read_exactly(2).await.unwrap(), [0; 2][..]);
///     writer.close().await.unwrap();
/// });
/// ```
#[must_use]
#[track_caller]
pub fn stream_over(stream: impl ByteStream + 'static) -> (StreamReader, StreamWriter) {
    let connection = Connection::over(&Network::running(), stream);
    connection.made_at(Location::caller());
    streams(connection, DEFAULT_LIMIT)
}

/// The two halves of a connection.
pub(crate) fn streams(connection: Rc<Connection>, limit: usize) -> (StreamReader, StreamWriter) {
    connection.set(STREAMS);
    (StreamReader::of(connection.clone(), limit), StreamWriter::new(connection))
}
