//! The bytes under streams and transports.

use std::fs::File;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use socket2::{SockRef, Socket};

use super::extra::Extra;
use crate::address::Address;

/// The source of the bytes of a [`StreamReader`](crate::StreamReader): a socket, a pipe, a TLS
/// session, memory.
///
/// # Examples
///
/// A source of zeros:
///
/// ```
/// use std::{io, task::{Context, Poll}};
/// use asyncio_net::{ByteSource, StreamReader};
///
/// struct Zeros;
///
/// impl ByteSource for Zeros {
///     fn poll_read(&self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
///         buffer.fill(0);
///         Poll::Ready(Ok(buffer.len()))
///     }
/// }
///
/// let mut reader = StreamReader::new(std::rc::Rc::new(Zeros));
/// # asyncio_task::run(async {
/// assert_eq!(reader.read_exactly(3).await.unwrap(), [0; 3][..]);
/// # });
/// ```
pub trait ByteSource {
    /// Puts bytes into the beginning of `buffer`, which is not empty, and returns their number; 0
    /// is the end. If there are no bytes for now, returns `Pending`, and wakes the task of `cx`
    /// when there may be some.
    ///
    /// # Errors
    ///
    /// Any error of the source; the reader returns it to its caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::io;
    /// use std::task::{Context, Poll};
    /// use asyncio_net::ByteSource;
    ///
    /// struct Three;
    ///
    /// impl ByteSource for Three {
    ///     fn poll_read(&self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    ///         let count = buffer.len().min(3);
    ///         buffer[..count].fill(b'x');
    ///         Poll::Ready(Ok(count))
    ///     }
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let mut buffer = [0; 10];
    ///     let count = poll_fn(|cx| Three.poll_read(cx, &mut buffer)).await.unwrap();
    ///     assert_eq!(&buffer[..count], b"xxx");
    /// });
    /// ```
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Waits until [`poll_read`](Self::poll_read) may have bytes; it may still have none. A source
    /// that implements this spares its reader a buffer to wait with.
    ///
    /// # Errors
    ///
    /// If waiting is not possible.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }
}

/// Both directions of a connection, as [`StreamWriter`](crate::StreamWriter) and
/// [`Transport`](crate::Transport) use them.
///
/// # Examples
///
/// A stream that keeps the bytes written to it, and sends none:
///
/// ```
/// use std::cell::RefCell;
/// use std::io::{self, IoSlice};
/// use std::rc::Rc;
/// use std::task::{Context, Poll};
/// use asyncio_net::{ByteSource, ByteStream, stream_over};
///
/// #[derive(Clone, Default)]
/// struct Memory(Rc<RefCell<Vec<u8>>>);
///
/// impl ByteSource for Memory {
///     fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
///         Poll::Ready(Ok(0))
///     }
/// }
///
/// impl ByteStream for Memory {
///     fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
///         let mut bytes = self.0.borrow_mut();
///         slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
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
///     let memory = Memory::default();
///     let (_reader, writer) = stream_over(memory.clone());
///     writer.write(b"hello ");
///     writer.write(b"world");
///     writer.close().await?;
///     assert_eq!(*memory.0.borrow(), b"hello world");
///     io::Result::Ok(())
/// }).unwrap();
/// ```
pub trait ByteStream: ByteSource {
    /// Takes bytes from the beginning of `slices`, which are not all empty, and returns their
    /// number, without waiting.
    ///
    /// Bytes that are taken belong to the stream: they will not be offered again. The stream may
    /// send them later; until then [`unsent`](Self::unsent) counts them, and
    /// [`try_flush`](Self::try_flush) sends them. Bytes that are not taken stay with the caller,
    /// and the stream must not remember them: after [`poll_write_ready`](Self::poll_write_ready)
    /// the caller may offer the same bytes cut differently, other bytes, or none any more.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the stream takes no bytes for now. Any other
    /// error is final.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The number of bytes that the stream still has to send: bytes that it has taken, and bytes of
    /// its own, such as an answer that reading caused. They count as queued: `drain`, `flush` and
    /// the end of the connection wait for them. An estimate is good enough, as long as it is 0
    /// exactly when there is nothing to send. Default: 0.
    fn unsent(&self) -> usize {
        0
    }

    /// Sends what [`unsent`](Self::unsent) counts, without waiting. The connection calls it after
    /// it has written, and after a read that left something unsent; after
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) again when
    /// [`poll_write_ready`](Self::poll_write_ready) is ready. So a stream needs no task of its own
    /// for output that reading causes.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if bytes are left. Any other error is final.
    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// Lets the system send up to `count` bytes of `file` from `offset` on, and returns their
    /// number, without waiting; 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the stream takes no bytes for now, and
    /// [`Unsupported`](io::ErrorKind::Unsupported) (the default) if the file has to be read and
    /// written instead. Any other error is final.
    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        let _ = (file, offset, count);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until [`try_write`](Self::try_write) or [`try_flush`](Self::try_flush) may succeed.
    ///
    /// # Errors
    ///
    /// If waiting is not possible.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until the stream has failed or the peer is gone, and returns the error. The connection
    /// calls this while a task waits for its end and may neither read nor write. Received bytes
    /// that were not read must be kept. The default never notices a failure: the next read or write
    /// returns it.
    ///
    /// The error is returned once; the other methods need not return it afterwards.
    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let _ = cx;
        Poll::Pending
    }

    /// Whether bytes can be received, now or later. False for the writing end of a pipe.
    fn can_read(&self) -> bool {
        true
    }

    /// Whether bytes can be written. False for the reading end of a pipe.
    fn can_write(&self) -> bool {
        true
    }

    /// Whether the output can be ended while the input goes on.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Ends the output, so that the peer reads the end of the stream. A second call does nothing.
    ///
    /// # Errors
    ///
    /// The system's.
    fn write_eof(&self) -> io::Result<()>;

    /// Notes that the peer sends no more, because a layer above has read its end. So the end of the
    /// connection need not look for unread bytes, which the system would answer with a reset. The
    /// default does nothing.
    fn note_end(&self) {}

    /// Sends the stream's own closing message, such as an alert of TLS, and waits for the answer.
    /// The connection polls this when all written bytes have been taken, until it is ready; then it
    /// calls [`close`](Self::close), or [`abort`](Self::abort) after an error. From the first call
    /// on, nothing is read or written; the stream drops bytes that still come.
    ///
    /// The stream itself limits the time that this takes. By default there is no closing message.
    ///
    /// # Errors
    ///
    /// The reason why the stream did not end properly; the connection ends with this error.
    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Closes the descriptor, at once. A waiting read, and all later ones, return the end of the
    /// stream.
    fn close(&self);

    /// As [`close`](Self::close), for a connection that was aborted or has failed: sent bytes that
    /// the peer has not read need not arrive. By default the same as `close`.
    fn abort(&self) {
        self.close();
    }

    /// Gives the socket away, open, instead of closing it; afterwards the stream is as after
    /// [`close`](Self::close). `None`, the default, if there is no socket, or if it cannot be used
    /// by itself.
    fn take_socket(&self) -> Option<Socket> {
        None
    }

    /// The address of the local end. It is known after [`close`](Self::close) too, if it was read
    /// before.
    fn local_address(&self) -> Address {
        Address::Unnamed
    }

    /// The address of the other end. It is known after [`close`](Self::close) too, if it was read
    /// before.
    fn peer_address(&self) -> Address {
        Address::Unnamed
    }

    /// Offers information about the stream beyond its addresses, for
    /// [`StreamWriter::extra`](crate::StreamWriter::extra) and
    /// [`Transport::extra`](crate::Transport::extra). A stream over another one passes the request
    /// on to the one below after its own offers.
    ///
    /// # Examples
    ///
    /// See [`Extra`].
    fn extra(&self, request: &mut Extra<'_>) {
        let _ = request;
    }

    /// Lends the socket, if there is one and it is open. A pipe or a file is lent in the same way;
    /// calls for socket options fail on it.
    fn with_socket(&self, _look: &mut dyn FnMut(SockRef<'_>)) {}
}
