//! The program's standard streams.
//!
//! The open file behind a standard stream is shared with the shell, with other programs of a
//! pipeline, and with `println!`. So nothing of it is changed, in particular not its blocking mode.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use super::End;
use super::access::Access;
use crate::connection::Connection;
use crate::network::Network;
use crate::stream::{DEFAULT_LIMIT, StreamReader, StreamWriter, streams};

/// Returns the program's standard input as a stream.
///
/// Standard input may be a pipe, a socket, either side of a terminal, a device or a file. Its open
/// file is shared with other programs and is not changed. If a pipe or a terminal cannot be opened
/// anew, a thread makes the calls. A waiting read does not delay the program's end, and takes no
/// bytes when it is dropped.
///
/// # Errors
///
/// If the stream is closed, is not open for that direction, or is of an unknown kind.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let mut input = asyncio_net::stdin()?;
/// while let Some(line) = input.next_line().await? {
///     assert!(!line.is_empty());
/// }
/// # Ok(())
/// # }
/// ```
pub fn stdin() -> io::Result<StreamReader> {
    let connection = standard(io::stdin().as_fd(), End::Reading)?;
    Ok(StreamReader::of(connection, DEFAULT_LIMIT))
}

/// Returns the program's standard output as a stream.
///
/// Bytes that have not been sent are lost when the program ends: [`close`](StreamWriter::close) or
/// [`flush`](StreamWriter::flush) the writer. It does not share `std::io::stdout`'s buffer.
/// Standard output may be of any kind that [`stdin`] accepts.
///
/// # Errors
///
/// As [`stdin`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let output = asyncio_net::stdout()?;
/// writeln!(output, "hello");
/// output.close().await
/// # }
/// ```
pub fn stdout() -> io::Result<StreamWriter> {
    let connection = standard(io::stdout().as_fd(), End::Writing)?;
    Ok(streams(connection, DEFAULT_LIMIT).1)
}

/// Returns the program's standard error as a stream; see [`stdout`].
///
/// # Errors
///
/// As [`stdin`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let output = asyncio_net::stderr()?;
/// writeln!(output, "something is wrong");
/// output.flush().await
/// # }
/// ```
pub fn stderr() -> io::Result<StreamWriter> {
    let connection = standard(io::stderr().as_fd(), End::Writing)?;
    Ok(streams(connection, DEFAULT_LIMIT).1)
}

fn standard(shared: BorrowedFd<'_>, end: End) -> io::Result<Rc<Connection>> {
    let own = shared.try_clone_to_owned()?;
    Access::to_shared(own, end)?.open(&Network::running(), end)
}
