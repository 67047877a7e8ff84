//! The bytes under streams and transports.

use std::fs::File;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use socket2::{SockRef, Socket};

use super::extra::Extra;
use crate::address::Address;

/// Where a [`StreamReader`](crate::StreamReader) gets its bytes: a socket, a pipe, a TLS session,
/// memory.
///
/// # Examples
///
/// A source that has only zeros:
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
    /// Puts bytes into the beginning of `buffer`, which is not empty, and returns how many; 0 is
    /// the end. With nothing to give for now, the task of `cx` is woken when there may be.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; the reader hands it to its caller.
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

    /// Waits until [`poll_read`](Self::poll_read) is worth a try; it may still have nothing to
    /// give. A source that knows spares its reader a buffer to wait with.
    ///
    /// # Errors
    ///
    /// When waiting is not possible.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }
}

/// Both directions of a connection, as seen by [`StreamWriter`](crate::StreamWriter) and
/// [`Transport`](crate::Transport).
///
/// # Examples
///
/// A stream that keeps what is written to it, and has nothing to say:
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
    /// Takes bytes from the beginning of `slices`, which are not all empty, and returns how many,
    /// without waiting.
    ///
    /// Bytes that are taken belong to the stream: they will not be offered again. It need not have
    /// sent them; then [`unsent`](Self::unsent) counts them and [`try_flush`](Self::try_flush)
    /// sends them. Bytes that are not taken stay with the caller, and the stream must not remember
    /// them: after [`poll_write_ready`](Self::poll_write_ready) the caller may offer the same bytes
    /// cut differently, other bytes, or none any more.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when it takes none for now; anything else is
    /// final.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// How many bytes the stream holds that it still has to send: bytes it has taken, and bytes of
    /// its own, such as an answer that reading caused. They count as queued: `drain`, `flush` and
    /// the end of the connection wait for them. 0, unless it is overridden; an estimate is good
    /// enough, as long as it is 0 exactly when there is nothing to send.
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
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when something is left; anything else is final.
    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// Has the system send up to `count` bytes of `file` from `offset` on, and returns how many,
    /// without waiting; 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) for now,
    /// [`Unsupported`](io::ErrorKind::Unsupported) (the default) when it has to be read and written
    /// instead; anything else is final.
    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        let _ = (file, offset, count);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until [`try_write`](Self::try_write) or [`try_flush`](Self::try_flush) is worth a try.
    ///
    /// # Errors
    ///
    /// When waiting is not possible.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until the stream has failed, or the other side has gone, and returns the error. It is
    /// called while somebody waits for the end of the connection, who may neither read nor write,
    /// and spares what was received and not read. The default never notices: such a failure is met
    /// by the next read or write.
    ///
    /// An error is returned once; the other methods need not return it afterwards.
    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let _ = cx;
        Poll::Pending
    }

    /// Whether there is anything to be received, now or later; not so for the writing end of a
    /// pipe.
    fn can_read(&self) -> bool {
        true
    }

    /// Whether bytes can be written; not so for the reading end of a pipe.
    fn can_write(&self) -> bool {
        true
    }

    /// Whether the other side can be told that no more comes while it goes on sending.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Tells the other side that no more comes. A second call does nothing.
    ///
    /// # Errors
    ///
    /// The system's.
    fn write_eof(&self) -> io::Result<()>;

    /// Takes note that the other side sends no more, since a layer above has met its end. So the
    /// end of the connection need not look for bytes that nobody has read, which the system would
    /// answer with a reset. By default it does nothing.
    fn note_end(&self) {}

    /// Says what the stream itself still has to say before it ends, such as a closing alert, and
    /// waits for the answer. It is called once everything that was written has been taken, until it
    /// is ready; then comes [`close`](Self::close), or [`abort`](Self::abort) after an error. From
    /// the first call on, nobody reads or writes; what still comes is to be dropped.
    ///
    /// The stream limits the time that this takes. By default there is nothing to say.
    ///
    /// # Errors
    ///
    /// Why the stream did not end as it should; the connection ends with this error.
    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Gives the descriptor up, at once. A read that waits ends with the end of the stream, as do
    /// all later ones.
    fn close(&self);

    /// As [`close`](Self::close), for a connection that was aborted or has failed: what was sent
    /// and has not been read by the other side need not arrive. The same as `close`, unless it is
    /// overridden.
    fn abort(&self) {
        self.close();
    }

    /// Gives the socket away, open, instead of closing it; from then on this is as after
    /// [`close`](Self::close). `None`, the default, where there is none, or it is of no use by
    /// itself.
    fn take_socket(&self) -> Option<Socket> {
        None
    }

    /// Our end's address; known also after [`close`](Self::close), if it was asked for before.
    fn local_address(&self) -> Address {
        Address::Unnamed
    }

    /// The other end's address; known also after [`close`](Self::close), if it was asked for
    /// before.
    fn peer_address(&self) -> Address {
        Address::Unnamed
    }

    /// Offers what is known about the stream beyond its addresses, for
    /// [`StreamWriter::extra`](crate::StreamWriter::extra) and
    /// [`Transport::extra`](crate::Transport::extra). A stream over another one passes the request
    /// on to the one below after its own offers.
    ///
    /// # Examples
    ///
    /// There is one at [`Extra`].
    fn extra(&self, request: &mut Extra<'_>) {
        let _ = request;
    }

    /// Lends the socket, if there is one and it is open. A pipe or a file is lent in the same way:
    /// it has no options of sockets, and calls for them are errors.
    fn with_socket(&self, _look: &mut dyn FnMut(SockRef<'_>)) {}
}
