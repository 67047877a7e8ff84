//! The body of a request, with the server's limits.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use asyncio_loop::LoopTime;
use asyncio_task::try_running_loop;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Limited;
use hyper::body::Incoming;

use crate::BoxError;

/// The body of a request as hyper received it, and its limits.
pub(crate) struct Received {
    incoming: Incoming,
    max_size: usize,
    /// `None` for a body that is empty.
    watch: Option<Arc<BodyWatch>>,
}

impl Received {
    pub(crate) fn new(incoming: Incoming, max_size: usize, watch: Option<&Arc<BodyWatch>>) -> Self {
        Self { incoming, max_size, watch: watch.cloned() }
    }

    /// hyper's body, which has no limits, for services that take it.
    pub(crate) fn into_incoming(self) -> Incoming {
        self.incoming
    }

    pub(crate) fn into_body(self) -> axum_core::body::Body {
        // Most requests have no body, and allocate nothing here.
        let Some(watch) = self.watch else { return axum_core::body::Body::empty() };
        let body = Limited::new(self.incoming, self.max_size);
        axum_core::body::Body::new(Watched { body, watch })
    }
}

/// The time since which a body waits for its client. Any thread may read it.
#[derive(Debug, Default)]
pub(crate) struct BodyWatch {
    /// Nanoseconds of the loop's clock, plus one; zero while it does not wait.
    since: AtomicU64,
    is_late: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl BodyWatch {
    /// The time since which a reader waits for the client.
    pub(crate) fn waits_since(&self) -> Option<LoopTime> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(LoopTime::from_nanos(since))
    }

    /// Makes the reader fail.
    pub(crate) fn expire(&self) {
        self.is_late.store(true, Ordering::Release);
        self.since.store(0, Ordering::Relaxed);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Acquire)
    }

    fn waits(&self, cx: &Context<'_>) {
        // A thread without a loop has no clock, so no limit applies there.
        let Ok(event_loop) = try_running_loop() else { return };
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.since.load(Ordering::Relaxed) == 0 {
            self.since.store(event_loop.time().as_nanos() + 1, Ordering::Relaxed);
        }
    }
}

/// A body that notes its waits.
struct Watched {
    body: Limited<Incoming>,
    watch: Arc<BodyWatch>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.watch.is_late() {
            let text = "the client sends the body too slowly";
            let error = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
            return Poll::Ready(Some(Err(error.into())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match frame {
            Poll::Pending => self.watch.waits(cx),
            Poll::Ready(_) => self.watch.since.store(0, Ordering::Relaxed),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.since.store(0, Ordering::Relaxed);
    }
}
