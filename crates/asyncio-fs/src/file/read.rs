//! Reading.

use std::future::poll_fn;
use std::io;

use super::File;
use asyncio_loop::machinery::at_await;

impl File {
    /// Reads available bytes into `buffer`. Returns their number; 0 means that the file has ended,
    /// or that `buffer` is empty.
    ///
    /// # Errors
    ///
    /// As [`std::io::Read::read`], and errors of earlier writes.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has read nothing.
    pub fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        at_await(async move {
            if buffer.is_empty() {
                return Ok(0);
            }
            let input = self.fill_buf().await?;
            let count = input.len().min(buffer.len());
            buffer[..count].copy_from_slice(&input[..count]);
            self.consume(count);
            Ok(count)
        })
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before that, otherwise as for [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have read some bytes into `buffer`.
    #[doc(alias = "readexactly")]
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            let mut filled = 0;
            while filled < buffer.len() {
                match self.read(&mut buffer[filled..]).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => filled += count,
                }
            }
            Ok(())
        })
    }

    /// Reads up to the end of the file, in one job. Returns how many bytes were added to `buffer`.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read). Bytes that were read before the error are kept for the next
    /// read.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has read nothing.
    pub fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> impl Future<Output = io::Result<usize>> {
        at_await(async move {
            self.fill_whole().await?;
            let mut bytes = self.core.take_input();
            let count = bytes.len();
            if buffer.is_empty() {
                std::mem::swap(buffer, &mut bytes);
            } else {
                buffer.append(&mut bytes);
            }
            Ok(count)
        })
    }

    /// Reads text up to the end of the file, in one job. Returns how many bytes were added to
    /// `text`.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the text is not UTF-8, otherwise as for [`read`](Self::read). The bytes are
    /// kept for the next read.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has read nothing.
    pub fn read_to_string(&mut self, text: &mut String) -> impl Future<Output = io::Result<usize>> {
        at_await(async move {
            self.fill_whole().await?;
            let read = std::str::from_utf8(self.core.buffered()).map_err(not_utf8)?;
            text.push_str(read);
            let count = read.len();
            self.consume(count);
            Ok(count)
        })
    }

    async fn fill_whole(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.core.poll_fill_whole(cx)).await
    }

    /// Waits until some bytes are buffered, and returns them; none if the file has ended.
    /// [`consume`](Self::consume) marks them as read.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// A dropped future has consumed nothing.
    pub fn fill_buf(&mut self) -> impl Future<Output = io::Result<&[u8]>> {
        at_await(async move {
            if self.core.buffered().is_empty() {
                poll_fn(|cx| self.core.poll_fill(cx)).await?;
            }
            Ok(self.core.buffered())
        })
    }

    /// Marks `count` of the bytes that [`fill_buf`](Self::fill_buf) returned as read.
    pub fn consume(&mut self, count: usize) {
        self.core.consume(count);
    }

    /// Reads up to and including `byte`, or up to the end of the file. Returns how many bytes were
    /// added to `buffer`; 0 at the end.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the bytes that it has read in `buffer`. Another call continues.
    pub fn read_until(
        &mut self,
        byte: u8,
        buffer: &mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> {
        at_await(async move {
            let start = buffer.len();
            loop {
                let input = self.fill_buf().await?;
                let found = memchr::memchr(byte, input);
                let count = found.map_or(input.len(), |at| at + 1);
                buffer.extend_from_slice(&input[..count]);
                self.consume(count);
                if found.is_some() || count == 0 {
                    return Ok(buffer.len() - start);
                }
            }
        })
    }

    /// Reads a line with its end, or the rest of the file. Returns how many bytes were added to
    /// `line`; 0 at the end.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the line is not UTF-8: the line is consumed, and `line` is unchanged.
    /// Otherwise as for [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have read a part of the line, which is lost.
    /// [`Lines::next_line`](super::Lines::next_line) loses nothing.
    pub fn read_line(&mut self, line: &mut String) -> impl Future<Output = io::Result<usize>> {
        at_await(async move {
            let mut bytes = Vec::new();
            self.read_until(b'\n', &mut bytes).await?;
            line.push_str(std::str::from_utf8(&bytes).map_err(not_utf8)?);
            Ok(bytes.len())
        })
    }
}

pub(super) fn not_utf8(error: std::str::Utf8Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
