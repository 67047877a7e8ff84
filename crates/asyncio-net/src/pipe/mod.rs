//! Pipes, terminals, and the program's own standard streams.
//!
//! `access` chooses how a descriptor is used: by the poller (`stream`), as a file that is always
//! ready (`file`), or by a thread (`threaded`).

mod access;
mod file;
mod input;
mod left;
mod standard;
mod stream;
mod threaded;

use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::rc::Rc;

use self::access::Access;
pub use self::input::input;
pub use self::standard::{stderr, stdin, stdout};
use crate::connection::Connection;
use crate::network::Network;
use crate::protocol::Protocol;
use crate::stream::{DEFAULT_LIMIT, StreamReader, StreamWriter, streams};
use crate::transport::{Lent, Transport, start};

/// Connects the protocol that `factory` makes to the reading end of a pipe.
///
/// The descriptor may be blocking, and other processes may share its open file, which is changed
/// only if there is no other way. A socket is used by calls with a flag not to wait. A pipe or a
/// terminal is opened anew. Where neither is possible (the controlling side of a terminal, other
/// devices, systems without `/proc`), the open file is made non-blocking.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for anything that is not a pipe, a socket or a
/// character device, and for a descriptor that is not open for that direction. Otherwise the
/// system's errors.
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
/// use asyncio_net::open_read_pipe;
///
/// asyncio_task::run(async {
///     let (reading, mut writing) = std::os::unix::net::UnixStream::pair()?;
///     writing.write_all(b"hello\n")?;
///     assert_eq!(open_read_pipe(reading)?.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn connect_read_pipe<P: Protocol + 'static>(
    pipe: impl Into<OwnedFd>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    start(open(pipe.into(), End::Reading)?, Box::new(Lent(factory())))
}

/// Connects the protocol that `factory` makes to the writing end of a pipe. Its open file is
/// treated as [`connect_read_pipe`] says.
///
/// For a pipe, `close` and `write_eof` are the same. When the reading end is closed, the connection
/// is lost, and `connection_lost` is called.
///
/// # Errors
///
/// As [`connect_read_pipe`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use std::io::Read;
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{Protocol, Transport, connect_write_pipe};
///
/// struct Writes;
///
/// impl Protocol for Writes {
///     fn connection_made(&mut self, transport: &Transport) {
///         transport.write(b"hello");
///         transport.close();
///     }
///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
/// }
///
/// let (mut reading, writing) = UnixStream::pair()?;
/// asyncio_task::run(async { connect_write_pipe(writing, || Writes).map(drop) })?;
/// let mut text = String::new();
/// reading.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn connect_write_pipe<P: Protocol + 'static>(
    pipe: impl Into<OwnedFd>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    start(open(pipe.into(), End::Writing)?, Box::new(Lent(factory())))
}

/// Reads from a pipe as a stream. Its open file is treated as [`connect_read_pipe`] says.
///
/// # Errors
///
/// As [`connect_read_pipe`].
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
/// use asyncio_net::open_read_pipe;
///
/// asyncio_task::run(async {
///     let (reading, mut writing) = UnixStream::pair()?;
///     writing.write_all(b"one\ntwo\n")?;
///     let mut reader = open_read_pipe(reading)?;
///     assert_eq!(reader.read_line().await?, "one\n");
///     assert_eq!(reader.read_line().await?, "two\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn open_read_pipe(pipe: impl Into<OwnedFd>) -> io::Result<StreamReader> {
    Ok(StreamReader::of(open(pipe.into(), End::Reading)?, DEFAULT_LIMIT))
}

/// Writes to a pipe as a stream. Its open file is treated as [`connect_read_pipe`] says.
///
/// # Errors
///
/// As [`connect_read_pipe`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{open_read_pipe, open_write_pipe};
///
/// asyncio_task::run(async {
///     let (reading, writing) = UnixStream::pair()?;
///     let mut reader = open_read_pipe(reading)?;
///     let writer = open_write_pipe(writing)?;
///     writer.write(b"hello");
///     writer.close().await?;
///     assert_eq!(reader.read_to_end().await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn open_write_pipe(pipe: impl Into<OwnedFd>) -> io::Result<StreamWriter> {
    let connection = open(pipe.into(), End::Writing)?;
    Ok(streams(connection, DEFAULT_LIMIT).1)
}

/// The direction in which a pipe is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Reading,
    Writing,
}

#[track_caller]
fn open(pipe: OwnedFd, end: End) -> io::Result<Rc<Connection>> {
    let connection = Access::to_owned(pipe, end)?.open(&Network::running(), end)?;
    connection.made_at(Location::caller());
    Ok(connection)
}
