//! The lines of a reader as a `Stream`.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use super::StreamReader;

impl StreamReader {
    /// Reads lines as a `Stream`, each as [`next_line`](Self::next_line) returns it. Needs the
    /// feature `futures-core`.
    ///
    /// The stream goes on after an error, as `next_line` does; most programs stop at the first one,
    /// as `try_next` and `try_collect` of the crate `futures` do.
    ///
    /// # Errors
    ///
    /// The items have the errors of [`read_line`](Self::read_line).
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream loses no bytes: lines that were not taken can still be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// let (feeder, mut reader) = asyncio_net::feed_reader();
    /// feeder.feed_data(b"one\ntwo\nthr");
    /// feeder.feed_eof();
    /// # asyncio_task::run(async {
    /// let lines: Vec<_> = reader.line_stream().try_collect().await?;
    /// assert_eq!(lines, ["one\n", "two\n", "thr"]);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn line_stream(&mut self) -> Lines<'_> {
        Lines { reader: self, scanned: 0 }
    }
}

/// The lines of a reader, from [`StreamReader::line_stream`].
#[must_use = "streams do nothing unless polled"]
pub struct Lines<'a> {
    reader: &'a mut StreamReader,
    /// The number of bytes of the next line that are known not to contain its end.
    scanned: usize,
}

impl Stream for Lines<'_> {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let length = ready!(this.reader.poll_line(cx, &mut this.scanned));
        this.scanned = 0;
        Poll::Ready(match length {
            Ok(0) => None,
            Ok(length) => Some(Ok(this.reader.take(length))),
            Err(error) => Some(Err(error)),
        })
    }
}

impl fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}
