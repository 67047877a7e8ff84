//! Sends files over sockets, without a copy if the system supports that.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::task::{Context, Poll};

use asyncio_loop::machinery::{Share, at_await};
use asyncio_loop::{Direction, LoopRef, Pollable, running_loop};
use bytes::{Buf, Bytes};

use crate::io::system_sendfile;
use crate::sigpipe;
use crate::sock;
use crate::transport::Transport;

/// The maximum that one system call sends, so that other tasks get their turn.
const AT_ONCE: u64 = 1 << 20;
/// The number of bytes that the fallback reads at a time.
const BLOCK: usize = 256 * 1024;

/// Options of [`sendfile`]: the part of the file, and the method of sending.
///
/// # Examples
///
/// ```
/// let options = asyncio_net::SendfileOptions::new().offset(1000).count(2000);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendfileOptions {
    offset: u64,
    count: Option<u64>,
    fallback: bool,
}

impl SendfileOptions {
    /// The whole file, with the fallback allowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{SendfileOptions, sock_recv, sock_sendfile};
    ///
    /// # let name = format!("asyncio-sendfile-new-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// std::fs::write(&path, "0123456789")?;
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     ours.set_nonblocking(true)?;
    ///     theirs.set_nonblocking(true)?;
    ///     let options = SendfileOptions::new();
    ///     sock_sendfile(&ours, &File::open(&path)?, options).await?;
    ///     assert_eq!(sock_recv(&theirs, 100).await?, "0123456789");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new() -> Self {
        Self { offset: 0, count: None, fallback: true }
    }

    /// The position in the file to begin at, in bytes. Default: 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{SendfileOptions, sock_recv, sock_sendfile};
    ///
    /// # let name = format!("asyncio-sendfile-offset-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// std::fs::write(&path, "0123456789")?;
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     ours.set_nonblocking(true)?;
    ///     theirs.set_nonblocking(true)?;
    ///     let options = SendfileOptions::new().offset(7);
    ///     sock_sendfile(&ours, &File::open(&path)?, options).await?;
    ///     assert_eq!(sock_recv(&theirs, 100).await?, "789");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The number of bytes to send. Default: up to the end of the file.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{SendfileOptions, sock_recv, sock_sendfile};
    ///
    /// # let name = format!("asyncio-sendfile-count-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// std::fs::write(&path, "0123456789")?;
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     ours.set_nonblocking(true)?;
    ///     theirs.set_nonblocking(true)?;
    ///     let options = SendfileOptions::new().count(3);
    ///     sock_sendfile(&ours, &File::open(&path)?, options).await?;
    ///     assert_eq!(sock_recv(&theirs, 100).await?, "012");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// # std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Whether to read and write in blocks if the system's call cannot be used. Default: true.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::{self, IoSlice}, task::{Context, Poll}};
    /// # struct Sink;
    /// # impl asyncio_net::ByteSource for Sink {
    /// #     fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
    /// #         Poll::Ready(Ok(0))
    /// #     }
    /// # }
    /// # impl asyncio_net::ByteStream for Sink {
    /// #     fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    /// #         Ok(parts.iter().map(|part| part.len()).sum())
    /// #     }
    /// #     fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
    /// #         Poll::Ready(Ok(()))
    /// #     }
    /// #     fn write_eof(&self) -> io::Result<()> { Ok(()) }
    /// #     fn close(&self) {}
    /// # }
    /// use std::fs::File;
    /// use asyncio_net::{SendfileOptions, sendfile, stream_over};
    ///
    /// asyncio_task::run(async {
    ///     let (_reader, writer) = stream_over(Sink); // memory, say
    ///     let file = File::open(std::env::current_exe()?)?;
    ///     let options = SendfileOptions::new().fallback(false);
    ///     let error = sendfile(writer.transport(), &file, options).await.unwrap_err();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn fallback(mut self, yes: bool) -> Self {
        self.fallback = yes;
        self
    }
}

impl Default for SendfileOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The error of `sendfile` when the system cannot send this file over this connection itself, and
/// the fallback was not allowed.
///
/// It is inside an [`io::Error`] of kind [`Unsupported`](io::ErrorKind::Unsupported).
///
/// # Examples
///
/// ```
/// # use std::{io::{self, IoSlice}, task::{Context, Poll}};
/// # struct Sink;
/// # impl asyncio_net::ByteSource for Sink {
/// #     fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
/// #         Poll::Ready(Ok(0))
/// #     }
/// # }
/// # impl asyncio_net::ByteStream for Sink {
/// #     fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
/// #         Ok(parts.iter().map(|part| part.len()).sum())
/// #     }
/// #     fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// #     fn write_eof(&self) -> io::Result<()> { Ok(()) }
/// #     fn close(&self) {}
/// # }
/// use std::fs::File;
/// use asyncio_net::{SendfileNotAvailableError, SendfileOptions, sendfile, stream_over};
///
/// asyncio_task::run(async {
///     let (_reader, writer) = stream_over(Sink); // memory, say
///     let file = File::open(std::env::current_exe()?)?;
///     let options = SendfileOptions::new().fallback(false);
///     let error = sendfile(writer.transport(), &file, options).await.unwrap_err();
///     assert!(error.get_ref().unwrap().is::<SendfileNotAvailableError>());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendfileNotAvailableError;

impl fmt::Display for SendfileNotAvailableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sendfile is not available for this file and connection")
    }
}

impl Error for SendfileNotAvailableError {}

/// Sends `file` over `transport`, after bytes that were written before, and returns the number of
/// bytes sent.
///
/// Meanwhile nothing else may be written. Afterwards, even after an error or a drop, the file's
/// position tells how far sending has come. Where the system cannot send the file itself (TLS,
/// streams of your own), the position counts blocks of 256 KiB: after an error those that were sent
/// whole, and after a drop also the one that is under way, since the transport goes on with it.
///
/// # Errors
///
/// The error that ended the connection, or the error of reading the file;
/// [`SendfileNotAvailableError`].
///
/// # Panics
///
/// After `write_eof`, and while another `sendfile` on the transport is running.
///
/// # Cancel safety
///
/// Dropping the future stops sending; the file's position says where. Bytes that the transport has
/// already taken are sent.
///
/// # Examples
///
/// ```
/// use std::fs::File;
/// use asyncio_net::{SendfileOptions, open_connection, sendfile, start_server};
///
/// # let path = std::env::temp_dir().join(format!("asyncio-sendfile-doc-{}", std::process::id()));
/// # let server_path = path.clone();
/// asyncio_task::run(async {
///     std::fs::write(&path, "contents")?;
///     let server = start_server("127.0.0.1:0", async move |_, writer| {
///         let file = File::open(&server_path)?;
///         sendfile(writer.transport(), &file, SendfileOptions::new()).await?;
///         writer.close().await
///     })
///     .await?;
///     let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
///     assert_eq!(reader.read_to_end().await?, "contents");
///     # std::fs::remove_file(&path)?;
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn sendfile(
    transport: &Transport,
    file: &File,
    options: SendfileOptions,
) -> impl Future<Output = io::Result<u64>> {
    at_await(async move {
        let connection = transport.connection();
        let _alone = connection.exclusive()?;
        connection.drained().await?;
        let mut progress = Progress::new(file, options);
        let result = native(&mut progress, |cx, file, offset, count| {
            connection.poll_sendfile(cx, file, offset, count)
        });
        if result.await? {
            return Ok(progress.sent());
        }
        let event_loop = connection.network().event_loop();
        while let Some(block) = progress.next_block(event_loop).await? {
            let length = block.len() as u64;
            connection.write_block(block);
            // The connection sends the block from now on, even if this future is dropped. Only if
            // the connection fails, it does not.
            progress.offset += length;
            let sent = connection.drained().await;
            sent.inspect_err(|_| progress.offset -= length)?;
        }
        Ok(progress.sent())
    })
}

/// Sends `file` over your own socket, and returns the number of bytes sent.
///
/// Afterwards, even after an error or a drop, the file's position tells how far sending has come.
///
/// # Errors
///
/// The system's errors; [`SendfileNotAvailableError`]; an error if a transport uses the socket.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping the future stops sending; the file's position says where.
///
/// # Examples
///
/// ```
/// use std::fs::File;
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{SendfileOptions, sock_recv, sock_sendfile};
///
/// # let name = format!("asyncio-sock-sendfile-doc-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// std::fs::write(&path, "0123456789")?;
/// asyncio_task::run(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     ours.set_nonblocking(true)?;
///     theirs.set_nonblocking(true)?;
///     let options = SendfileOptions::new().offset(2).count(3);
///     assert_eq!(sock_sendfile(&ours, &File::open(&path)?, options).await?, 3);
///     assert_eq!(sock_recv(&theirs, 100).await?, "234");
///     std::io::Result::Ok(())
/// }).unwrap();
/// # std::fs::remove_file(&path)?;
/// # std::io::Result::Ok(())
/// ```
pub fn sock_sendfile(
    socket: &impl Pollable,
    file: &File,
    options: SendfileOptions,
) -> impl Future<Output = io::Result<u64>> {
    at_await(async move {
        let mut operation = sock::Operation::new(socket, Direction::Write)?;
        let mut progress = Progress::new(file, options);
        let result = native(&mut progress, |cx, file, offset, count| {
            operation.poll(cx, |fd| system_sendfile(&fd, file, offset, count))
        });
        if result.await? {
            return Ok(progress.sent());
        }
        drop(operation);
        send_blocks(socket, &mut progress).await?;
        Ok(progress.sent())
    })
}

/// The fallback over a socket: reads blocks and sends them. Each byte counts as soon as the system
/// has taken it.
async fn send_blocks(socket: &impl Pollable, progress: &mut Progress<'_>) -> io::Result<()> {
    sigpipe::never(socket);
    let event_loop = running_loop();
    while let Some(mut block) = progress.next_block(&event_loop).await? {
        while !block.is_empty() {
            let sent = sock::send_some(socket, &block).await?;
            block.advance(sent);
            progress.offset += sent as u64;
        }
    }
    Ok(())
}

/// Lets the system send. `false` if it cannot, so that the fallback is needed.
async fn native(
    progress: &mut Progress<'_>,
    mut send: impl FnMut(&mut Context<'_>, &File, u64, usize) -> Poll<io::Result<usize>>,
) -> io::Result<bool> {
    let share = Share::default();
    while let Some(count) = progress.wanted(AT_ONCE) {
        let (file, offset) = (progress.file, progress.offset);
        match poll_fn(|cx| share.poll(cx, |cx| send(cx, file, offset, count))).await {
            Ok(0) => break,
            Ok(sent) => progress.offset += sent as u64,
            Err(error) if progress.sent() == 0 && is_unavailable(&error) => {
                if progress.options.fallback {
                    return Ok(false);
                }
                progress.untouched = true;
                return Err(not_available());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Whether the error says that the system cannot send this file over this socket: the file is a
/// pipe or a device, or the descriptor is no socket.
fn is_unavailable(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::Unsupported
        || matches!(
            Errno::from_io_error(error),
            Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSOCK | Errno::OPNOTSUPP | Errno::SPIPE)
        )
}

fn not_available() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, SendfileNotAvailableError)
}

/// The progress of sending, which becomes the file's position at the end.
struct Progress<'f> {
    file: &'f File,
    options: SendfileOptions,
    offset: u64,
    /// Nothing was tried: the position stays as it was.
    untouched: bool,
}

impl<'f> Progress<'f> {
    fn new(file: &'f File, options: SendfileOptions) -> Self {
        Self { file, options, offset: options.offset, untouched: false }
    }

    fn sent(&self) -> u64 {
        self.offset - self.options.offset
    }

    /// The number of bytes to send next, up to `most`; `None` when all have been sent.
    fn wanted(&self, most: u64) -> Option<usize> {
        let left = self.options.count.map_or(most, |count| count - self.sent());
        let next = left.min(most);
        usize::try_from(next).ok().filter(|next| *next > 0)
    }

    /// Reads on, on the executor; `None` at the end.
    async fn next_block(&self, event_loop: &LoopRef) -> io::Result<Option<Bytes>> {
        let Some(count) = self.wanted(BLOCK as u64) else { return Ok(None) };
        let (file, offset) = (self.file.try_clone()?, self.offset);
        let read = event_loop.run_in_executor(None, move || {
            let mut block = vec![0; count];
            let read = file.read_at(&mut block, offset)?;
            block.truncate(read);
            io::Result::Ok(block)
        });
        // A file that has no offsets cannot be read in blocks either.
        let block = read.await.map_err(io::Error::other)?.map_err(|error| {
            if is_unavailable(&error) && self.sent() == 0 { not_available() } else { error }
        })?;
        Ok((!block.is_empty()).then(|| block.into()))
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if !self.untouched {
            // The result is ignored: a file that cannot seek has no position.
            let mut file = self.file;
            let _ = file.seek(SeekFrom::Start(self.offset));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A file of 5 MB, which has no name any more.
    fn file() -> File {
        let name = format!("asyncio-send-blocks-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, vec![7; 5_000_000]).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    /// Reads what has come, and returns the number of bytes.
    fn receive(mut socket: &UnixStream) -> u64 {
        let mut bytes = Vec::new();
        let end = socket.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::WouldBlock);
        bytes.len() as u64
    }

    #[test]
    fn the_fallback_over_a_socket_counts_each_byte_that_the_system_took() {
        let mut file = file();
        for is_dropped in [true, false] {
            let received = asyncio_task::run(async {
                let (ours, theirs) = UnixStream::pair()?;
                ours.set_nonblocking(true)?;
                theirs.set_nonblocking(true)?;
                let mut sending = Box::pin(async {
                    let mut progress = Progress::new(&file, SendfileOptions::new().offset(1000));
                    send_blocks(&ours, &mut progress).await
                });
                // The second block is under way: a socket takes less than a block at once.
                let mut received = 0;
                let under_way = poll_fn(|cx| {
                    assert!(sending.as_mut().poll(cx).is_pending());
                    received += receive(&theirs);
                    if received > 300_000 { Poll::Ready(()) } else { Poll::Pending }
                });
                under_way.await;
                drop(theirs);
                if !is_dropped {
                    let error = sending.as_mut().await.unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                }
                io::Result::Ok(received)
            });
            assert_eq!(file.stream_position().unwrap(), 1000 + received.unwrap());
        }
    }
}
