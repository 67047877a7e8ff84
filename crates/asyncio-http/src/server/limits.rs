//! Limits of connections, and what hyper is told of them.

use std::time::Duration;

use asyncio_loop::LoopTime;
use hyper_util::server::conn::auto;

use crate::rt::{Activity, LoopExecutor, LoopTimer};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The headers of a request are complete within this time.
    pub(crate) header_timeout: Duration,
    /// An idle connection is kept so long.
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) max_header_size: usize,
    pub(crate) max_headers: usize,
    pub(crate) max_streams: u32,
    pub(crate) half_close: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            max_header_size: 64 * 1024,
            max_headers: 100,
            max_streams: 200,
            half_close: false,
        }
    }
}

/// What ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Headers,
    Idle,
}

impl Limits {
    pub(crate) fn builder(&self) -> auto::Builder<LoopExecutor> {
        let mut builder = auto::Builder::new(LoopExecutor);
        builder
            .http1()
            .timer(LoopTimer)
            // Ours, which tells an idle connection from a slow request.
            .header_read_timeout(None)
            .max_buf_size(self.max_header_size.max(8192))
            .max_headers(self.max_headers)
            .half_close(self.half_close);
        builder
            .http2()
            .timer(LoopTimer)
            .max_header_list_size(u32::try_from(self.max_header_size).unwrap_or(u32::MAX))
            .max_concurrent_streams(self.max_streams);
        builder
    }

    /// When a connection ends on which nothing more happens, and why; `None` while a request is in
    /// flight.
    pub(crate) fn deadline(&self, activity: &Activity) -> Option<(LoopTime, Limit)> {
        let (in_headers, since) = activity.waiting()?;
        Some(if in_headers {
            (since + self.header_timeout, Limit::Headers)
        } else {
            (since + self.keep_alive_timeout, Limit::Idle)
        })
    }

    /// How long nobody has to look at a connection with a request in flight.
    pub(crate) fn longest_look(&self) -> Duration {
        self.header_timeout.min(self.keep_alive_timeout)
    }
}
