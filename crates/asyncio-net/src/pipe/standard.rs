//! The program's standard streams.
//!
//! The open file behind one of them is shared: with the shell, with other programs of a pipeline,
//! with `println!`. Nothing of it is changed, its mode least of all.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use super::End;
use super::access::Access;
use crate::connection::Connection;
use crate::network::Network;
use crate::stream::{DEFAULT_LIMIT, StreamReader, StreamWriter, streams};

/// The program's standard input as a stream.
///
/// It may be a pipe, a socket, either side of a terminal, a device or a file. Its open file is
/// shared with other programs and is not changed. Where a pipe or a terminal cannot be opened anew,
/// a thread makes the calls. A read that waits does not hold up the program's end, and takes
/// nothing when it is given up.
///
/// # Errors
///
/// When it is closed, not open for that direction, or of no known kind.
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

/// The program's standard output as a stream.
///
/// Bytes that have not left are lost when the program ends: [`close`](StreamWriter::close) it, or
/// [`flush`](StreamWriter::flush). It does not share `std::io::stdout`'s buffer, and may be
/// whatever [`stdin`] may be.
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

/// The program's standard error as a stream; see [`stdout`].
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
