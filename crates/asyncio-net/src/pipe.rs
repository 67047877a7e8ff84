//! Pipes, terminals, and the program's own standard streams.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_loop::{Direction, LoopRef, Source};
use rustix::fs::{FileType, OFlags};

use crate::connect::start;
use crate::connection::Opened;
use crate::network::Network;
use crate::protocol::Protocol;
use crate::source::{ByteSource, ByteStream};
use crate::stream::{DEFAULT_LIMIT, StreamReader, StreamWriter};
use crate::transport::{Lent, Transport};

/// Has the protocol that `factory` makes receive from the reading end of a pipe.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for anything that is not a pipe, a socket or a character device; the
/// system's.
///
/// # Panics
///
/// Where no loop runs.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use asyncio_net::open_read_pipe;
///
/// asyncio_task::run(async {
///     let (reading, mut writing) = std::os::unix::net::UnixStream::pair()?;
///     writing.write_all(b"hello\n")?;
///     assert_eq!(open_read_pipe(reading)?.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn connect_read_pipe<P: Protocol + 'static>(
    pipe: impl Into<OwnedFd>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    let network = Network::running();
    start(open(&network, pipe.into(), End::Reading)?, Box::new(Lent(factory())))
}

/// Has the protocol that `factory` makes write to the writing end of a pipe.
///
/// `close` and `write_eof` are one and the same there. The protocol hears of it when nobody reads any more.
///
/// # Errors
///
/// As [`connect_read_pipe`].
///
/// # Panics
///
/// Where no loop runs.
///
/// # Examples
///
/// ```
/// use std::io::Read;
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
/// let (mut reading, writing) = std::io::pipe()?;
/// asyncio_task::run(async { connect_write_pipe(writing, || Writes).map(drop) })?;
/// let mut text = String::new();
/// reading.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// ```
pub fn connect_write_pipe<P: Protocol + 'static>(
    pipe: impl Into<OwnedFd>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    let network = Network::running();
    start(open(&network, pipe.into(), End::Writing)?, Box::new(Lent(factory())))
}

/// Reads from a pipe as a stream.
///
/// # Errors
///
/// As [`connect_read_pipe`].
///
/// # Panics
///
/// Where no loop runs.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use asyncio_net::open_read_pipe;
///
/// asyncio_task::run(async {
///     let (reading, mut writing) = std::io::pipe()?;
///     writing.write_all(b"one\ntwo\n")?;
///     let mut reader = open_read_pipe(reading)?;
///     assert_eq!(reader.read_line().await?, "one\n");
///     assert_eq!(reader.read_line().await?, "two\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn open_read_pipe(pipe: impl Into<OwnedFd>) -> io::Result<StreamReader> {
    Ok(open(&Network::running(), pipe.into(), End::Reading)?.reader(DEFAULT_LIMIT))
}

/// Writes to a pipe as a stream.
///
/// # Errors
///
/// As [`connect_read_pipe`].
///
/// # Panics
///
/// Where no loop runs.
///
/// # Examples
///
/// ```
/// use asyncio_net::{open_read_pipe, open_write_pipe};
///
/// asyncio_task::run(async {
///     let (reading, writing) = std::io::pipe()?;
///     let mut reader = open_read_pipe(reading)?;
///     let writer = open_write_pipe(writing)?;
///     writer.write(b"hello");
///     writer.close().await?;
///     assert_eq!(reader.read_to_end().await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn open_write_pipe(pipe: impl Into<OwnedFd>) -> io::Result<StreamWriter> {
    let opened = open(&Network::running(), pipe.into(), End::Writing)?;
    Ok(opened.into_streams(DEFAULT_LIMIT).1)
}

/// The program's standard input as a stream.
///
/// No thread waits in it, so it never holds up the program's end.
///
/// # Errors
///
/// When it is closed, or of no known kind.
///
/// # Panics
///
/// Where no loop runs.
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
    let opened = standard(io::stdin().as_fd(), 0, End::Reading)?;
    Ok(opened.reader(DEFAULT_LIMIT))
}

/// The program's standard output as a stream.
///
/// What was written but has not left is lost when the program ends: [`close`](StreamWriter::close) it, or
/// [`drain`](StreamWriter::drain) with a high-water mark of 0. It does not share `std::io::stdout`'s buffer.
///
/// # Errors
///
/// As [`stdin`].
///
/// # Panics
///
/// Where no loop runs.
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
    let opened = standard(io::stdout().as_fd(), 1, End::Writing)?;
    Ok(opened.into_streams(DEFAULT_LIMIT).1)
}

/// The program's standard error as a stream; see [`stdout`].
///
/// # Errors
///
/// As [`stdin`].
///
/// # Panics
///
/// Where no loop runs.
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
    let opened = standard(io::stderr().as_fd(), 2, End::Writing)?;
    Ok(opened.into_streams(DEFAULT_LIMIT).1)
}

fn open(network: &Rc<Network>, pipe: OwnedFd, end: End) -> io::Result<Opened> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&pipe)?.st_mode);
    if !matches!(kind, FileType::Fifo | FileType::Socket | FileType::CharacterDevice) {
        let text = "only pipes, sockets and character devices can be waited for";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    rustix::io::ioctl_fionbio(&pipe, true)?;
    let hears_reader_go = kind == FileType::Fifo;
    let stream = PipeStream::new(network.event_loop(), pipe.into(), end, hears_reader_go);
    Ok(Opened::over(network, stream))
}

/// A standard stream, without making it non-blocking for the shell and others who share it.
fn standard(shared: BorrowedFd<'_>, number: u32, end: End) -> io::Result<Opened> {
    let network = Network::running();
    let own = shared.try_clone_to_owned()?;
    match FileType::from_raw_mode(rustix::fs::fstat(&own)?.st_mode) {
        FileType::RegularFile => Ok(Opened::over(&network, PlainFile::new(own.into(), end))),
        FileType::Socket => open(&network, own, end),
        _ => {
            let path = format!("/proc/self/fd/{number}");
            let mut options = OpenOptions::new();
            options.read(end == End::Reading).write(end == End::Writing);
            options.custom_flags(OFlags::NONBLOCK.bits() as i32);
            let own = options.open(path).map_or(own, OwnedFd::from);
            open(&network, own, end)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Reading,
    Writing,
}

/// One end of a pipe, until it is closed.
struct PipeStream {
    source: RefCell<Option<Source<File>>>,
    end: End,
    /// Whether the poller tells the writing end that nobody reads any more.
    hears_reader_go: bool,
}

impl PipeStream {
    fn new(event_loop: &LoopRef, file: File, end: End, hears_reader_go: bool) -> Self {
        let source = Source::new(event_loop, file);
        if end == End::Writing {
            // Readable means that the reader is gone, which is not to be assumed.
            source.clear_ready(Direction::Read);
        }
        Self { source: RefCell::new(Some(source)), end, hears_reader_go }
    }
}

impl ByteSource for PipeStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Ok(0)) };
        if self.end == End::Reading {
            return source.poll_io(cx, Direction::Read, |mut file| file.read(buffer));
        }
        if self.hears_reader_go {
            ready!(source.poll_ready(cx, Direction::Read))?;
            return Poll::Ready(Ok(0));
        }
        Poll::Pending
    }
}

impl ByteStream for PipeStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Err(io::ErrorKind::NotConnected.into()) };
        source.try_io(Direction::Write, |mut file| file.write_vectored(slices))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let source = self.source.borrow();
        let Some(source) = &*source else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        source.poll_ready(cx, Direction::Write)
    }

    fn can_read(&self) -> bool {
        self.end == End::Reading
    }

    fn can_write(&self) -> bool {
        self.end == End::Writing
    }

    fn can_write_eof(&self) -> bool {
        self.end == End::Writing
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {
        let source = self.source.take();
        if let Some(source) = source {
            source.wake_waiters();
        }
    }

    fn with_fd(&self, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Some(source) = &*self.source.borrow() {
            look(source.get_ref().as_fd());
        }
    }
}

/// A file that standard input or output was redirected to: always ready.
struct PlainFile {
    file: RefCell<Option<File>>,
    end: End,
}

impl PlainFile {
    fn new(file: File, end: End) -> Self {
        Self { file: RefCell::new(Some(file)), end }
    }
}

impl ByteSource for PlainFile {
    fn poll_read(&self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &*self.file.borrow() {
            Some(file) if self.end == End::Reading => Poll::Ready((&mut &*file).read(buffer)),
            _ => Poll::Ready(Ok(0)),
        }
    }
}

impl ByteStream for PlainFile {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &*self.file.borrow() {
            Some(file) => (&mut &*file).write_vectored(slices),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn can_read(&self) -> bool {
        self.end == End::Reading
    }

    fn can_write(&self) -> bool {
        self.end == End::Writing
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {
        drop(self.file.take());
    }
}
