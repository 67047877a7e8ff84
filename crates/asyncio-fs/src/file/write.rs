//! Writing.

use std::future::poll_fn;
use std::io;

use super::File;
use asyncio_loop::machinery::at_await;

impl File {
    /// Takes bytes to be written, at least one. Returns how many.
    ///
    /// They are written when 256 KiB are buffered, or by [`flush`](Self::flush),
    /// [`close`](Self::close) or [`seek`](Self::seek).
    ///
    /// # Errors
    ///
    /// Errors of earlier writes.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken nothing.
    pub fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        at_await(async move {
            if bytes.is_empty() {
                return Ok(0);
            }
            poll_fn(|cx| self.core.poll_write(cx, bytes)).await
        })
    }

    /// Takes all bytes to be written.
    ///
    /// # Errors
    ///
    /// Errors of earlier writes.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have taken some of the bytes.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            while !bytes.is_empty() {
                let count = self.write(bytes).await?;
                bytes = &bytes[count..];
            }
            Ok(())
        })
    }

    /// Hands everything that was written to the operating system.
    ///
    /// # Errors
    ///
    /// As [`std::io::Write::write_all`]. Some of the bytes may have been written before the error;
    /// the others are lost.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the write under way; the next operation waits for it.
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        at_await(async move { poll_fn(|cx| self.core.poll_flush(cx)).await })
    }
}
