//! Streams with the traits of the crate `futures-io`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{Adapter, PollIo};
use crate::io::ByteStream;

/// Makes a [`ByteStream`] of any value that has `AsyncRead` and `AsyncWrite` of the crate
/// `futures-io`. To get streams or a protocol over it, use [`stream_over`](crate::stream_over),
/// [`transport_over`](crate::transport_over) and
/// [`ClientAddress::over`](crate::ClientAddress::over).
///
/// Written bytes are copied once. At the end of the connection `poll_close` is called, which may
/// take up to 30 seconds.
///
/// # Examples
///
/// ```
/// use asyncio_net::{from_futures_io, stream_over};
///
/// asyncio_task::run(async {
///     let io = futures::io::Cursor::new(b"hello\n".to_vec());
///     let (mut reader, _writer) = stream_over(from_futures_io(io));
///     assert_eq!(reader.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn from_futures_io<T: AsyncRead + AsyncWrite + 'static>(io: T) -> impl ByteStream + use<T> {
    Adapter::new(OfFutures(Box::pin(io)))
}

struct OfFutures<T>(Pin<Box<T>>);

impl<T: AsyncRead + AsyncWrite> PollIo for OfFutures<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_close(cx)
    }
}
