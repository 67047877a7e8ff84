//! The lines of a file.

use std::io;

use super::File;
use super::read::not_utf8;
use asyncio_loop::machinery::at_await;

/// The lines of a file, from [`File::lines`].
#[derive(Debug)]
pub struct Lines {
    file: File,
    /// The start of a line whose end has not been read yet.
    partial: Vec<u8>,
}

impl Lines {
    pub(super) fn new(file: File) -> Self {
        Self { file, partial: Vec::new() }
    }

    /// The next line, without its end (`\n` or `\r\n`); `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the line is not UTF-8: the next call returns the line after it. Otherwise
    /// the operating system's errors.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken no line.
    pub fn next_line(&mut self) -> impl Future<Output = io::Result<Option<String>>> {
        at_await(async move {
            if self.file.read_until(b'\n', &mut self.partial).await? == 0 && self.partial.is_empty()
            {
                return Ok(None);
            }
            self.take_line().map(Some)
        })
    }

    fn take_line(&mut self) -> io::Result<String> {
        let mut line = std::mem::take(&mut self.partial);
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        String::from_utf8(line).map_err(|error| not_utf8(error.utf8_error()))
    }

    /// The file, positioned after the last line that was returned.
    ///
    /// If a dropped future has read a part of a line, that part is lost.
    #[must_use]
    pub fn into_inner(self) -> File {
        self.file
    }
}

#[cfg(feature = "futures-core")]
impl futures_core::Stream for Lines {
    type Item = io::Result<String>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let line = {
            let mut next = std::pin::pin!(this.next_line());
            std::task::ready!(next.as_mut().poll(cx))
        };
        std::task::Poll::Ready(line.transpose())
    }
}
