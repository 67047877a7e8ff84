//! Streams with the traits of `tokio::io`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Adapter, PollIo};
use crate::io::ByteStream;

/// Makes a [`ByteStream`] of any value that has `AsyncRead` and `AsyncWrite` of `tokio::io`, such
/// as a channel of SSH or a session of another TLS crate. To get streams or a protocol over it, use
/// [`stream_over`](crate::stream_over), [`transport_over`](crate::transport_over) and
/// [`ClientAddress::over`](crate::ClientAddress::over).
///
/// Written bytes are copied once. At the end of the connection `poll_shutdown` is called, which may
/// take up to 30 seconds.
///
/// # Examples
///
/// ```
/// use asyncio_net::{from_tokio, stream_over};
/// use tokio::io::AsyncWriteExt;
///
/// asyncio_task::run(async {
///     let (ours, mut theirs) = tokio::io::duplex(1024);
///     let (mut reader, _writer) = stream_over(from_tokio(ours));
///     theirs.write_all(b"hello\n").await?;
///     assert_eq!(reader.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn from_tokio<T: AsyncRead + AsyncWrite + 'static>(io: T) -> impl ByteStream + use<T> {
    Adapter::new(OfTokio(Box::pin(io)))
}

struct OfTokio<T>(Pin<Box<T>>);

impl<T: AsyncRead + AsyncWrite> PollIo for OfTokio<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = self.0.as_mut().poll_read(cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}
