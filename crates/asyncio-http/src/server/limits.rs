//! The limits of connections, and the hyper options for them.

use std::time::Duration;

use asyncio_loop::LoopTime;
use hyper_util::server::conn::auto;

use crate::rt::{Activity, LoopExecutor, LoopTimer};

/// How many headers a request may have by default, as in hyper.
const MAX_HEADERS: usize = 100;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The time limit for the headers of a request.
    pub(crate) header_timeout: Duration,
    /// How long an idle connection is kept.
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) max_header_size: usize,
    pub(crate) max_headers: usize,
    pub(crate) max_streams: u32,
    pub(crate) half_close: bool,
    /// The time limit for the next piece of a request's body.
    pub(crate) body_timeout: Duration,
    /// The time limit for the client to accept a piece of its answer.
    pub(crate) send_timeout: Duration,
    /// The maximum length of a request's body.
    pub(crate) max_body_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            max_header_size: 64 * 1024,
            max_headers: MAX_HEADERS,
            max_streams: 200,
            half_close: false,
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            max_body_size: usize::MAX,
        }
    }
}

/// The limit that a client has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Headers,
    Idle,
    Body,
    Answer,
}

impl Limits {
    pub(crate) fn builder(&self) -> auto::Builder<LoopExecutor> {
        let mut builder = auto::Builder::new(LoopExecutor);
        builder
            .http1()
            .timer(LoopTimer)
            // Our own timeout distinguishes an idle connection from a slow request.
            .header_read_timeout(None)
            .max_buf_size(self.max_header_size.max(8192))
            .half_close(self.half_close);
        // hyper parses headers on the stack if no number is set, which is faster.
        if self.max_headers != MAX_HEADERS {
            builder.http1().max_headers(self.max_headers);
        }
        builder
            .http2()
            .timer(LoopTimer)
            .max_header_list_size(u32::try_from(self.max_header_size).unwrap_or(u32::MAX))
            .max_concurrent_streams(self.max_streams);
        builder
    }

    /// The deadline of the connection if nothing more happens on it, and its limit. `None` while a
    /// request is in flight and does not wait for its client.
    pub(crate) fn deadline(&self, activity: &Activity) -> Option<(LoopTime, Limit)> {
        let request = match activity.waiting() {
            Some((true, since)) => Some((since + self.header_timeout, Limit::Headers)),
            Some((false, since)) => Some((since + self.keep_alive_timeout, Limit::Idle)),
            None => {
                let since = activity.body_waits_since();
                since.map(|since| (since + self.body_timeout, Limit::Body))
            }
        };
        let answer = activity.stuck_since().map(|since| (since + self.send_timeout, Limit::Answer));
        match (request, answer) {
            (Some(request), Some(answer)) => {
                Some(if request.0 < answer.0 { request } else { answer })
            }
            (request, answer) => request.or(answer),
        }
    }

    /// The interval between checks of a connection with a request in flight.
    pub(crate) fn longest_look(&self) -> Duration {
        let in_requests = self.body_timeout.min(self.send_timeout);
        self.header_timeout.min(self.keep_alive_timeout).min(in_requests)
    }
}
