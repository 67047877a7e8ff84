//! The traits of `futures-io`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use futures_io::{AsyncRead, AsyncWrite};

use super::{Side, ThreadsafeStream};

impl AsyncRead for ThreadsafeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.side()? {
            Side::Home(home) => Pin::new(&mut *home.stream()).poll_read(cx, buffer),
            Side::Away(lanes) => {
                let mut count = 0;
                let taken = lanes.incoming.poll_take(cx, |bytes| {
                    count = bytes.len().min(buffer.len());
                    bytes.copy_to_slice(&mut buffer[..count]);
                });
                ready!(taken)?;
                Poll::Ready(Ok(count))
            }
        }
    }
}

impl AsyncWrite for ThreadsafeStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(&mut self, cx)
    }
}
