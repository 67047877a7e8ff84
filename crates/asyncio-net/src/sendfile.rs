//! Files to sockets, without a copy where the system can.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::task::{Context, Poll};

use asyncio_loop::machinery::{Share, at_await};
use asyncio_loop::{Direction, LoopRef, Pollable, running_loop};
use bytes::Bytes;

use crate::io::system_sendfile;
use crate::sock;
use crate::transport::Transport;

/// At most this much is sent by one system call, so that others get their turn.
const AT_ONCE: u64 = 1 << 20;
/// The fallback reads so many bytes at a time.
const BLOCK: usize = 256 * 1024;

/// Which part of a file is sent, and how.
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
    /// All of the file, by whatever means.
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

    /// Where in the file to begin, in bytes. 0, unless told.
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

    /// How many bytes to send. Up to the end of the file, unless told.
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

    /// Whether to read and write in blocks where the system's call is of no use. True, unless told.
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

/// The system cannot send this file over this connection by itself, and reading it was not allowed.
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

/// Sends `file` over `transport`, after what was written before, and returns how many bytes that
/// was.
///
/// While it is at work, nothing else may be written. Afterwards, also after an error or when it was
/// dropped, the file's position tells how far it came.
///
/// # Errors
///
/// The error that ended the connection, or of reading the file; [`SendfileNotAvailableError`].
///
/// # Panics
///
/// After `write_eof`, and while another one is at work.
///
/// # Cancel safety
///
/// Dropping it stops sending; the file's position says where.
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
            let length = block.len();
            connection.write_block(block);
            // Its own failure is an error here, so count only what has really left.
            connection.drained().await?;
            progress.offset += length as u64;
        }
        Ok(progress.sent())
    })
}

/// Sends `file` over a socket of yours, and returns how many bytes that was.
///
/// Afterwards, also after an error or when it was dropped, the file's position tells how far it
/// came.
///
/// # Errors
///
/// The system's; [`SendfileNotAvailableError`]; if a transport uses the socket.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping it stops sending; the file's position says where.
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
        let event_loop = running_loop();
        while let Some(block) = progress.next_block(&event_loop).await? {
            sock::sock_sendall(socket, &block).await?;
            progress.offset += block.len() as u64;
        }
        Ok(progress.sent())
    })
}

/// Lets the system send. `false` if it cannot and the fallback has to.
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

/// Whether the system cannot send this file over this socket: the file is a pipe or a device, or
/// the socket is none.
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

/// How far it has come; leaves that as the file's position in the end.
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

    /// How many bytes to send next, up to `most`; `None` when all have been sent.
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
            // A file that cannot seek has no position to be wrong.
            let mut file = self.file;
            let _ = file.seek(SeekFrom::Start(self.offset));
        }
    }
}
