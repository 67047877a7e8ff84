//! [`LoopStream`]: a stream of the loop for the places where hyper requires `Send`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use asyncio_loop::machinery::with_running;
use asyncio_loop::{LoopRef, LoopTime};
use asyncio_net::JoinedStream;
use asyncio_net::machinery::Closer;
use asyncio_task::machinery::Kept;
use asyncio_task::running_loop;
use hyper::rt::{Read, ReadBufCursor, Write};
use send_wrapper::SendWrapper;

use crate::received::BodyWatch;

/// A stream of a loop that may be moved to another thread, as hyper's upgrades require.
///
/// It works only on the thread of its loop. On another thread, reading and writing fail. If it is
/// dropped there, it is sent to its loop, which closes the connection. A loop that is closed closes
/// the connection, wherever this is.
///
/// # Panics
///
/// [`new`](Self::new) if no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_http::rt::LoopStream;
/// use asyncio_net::JoinedStream;
///
/// asyncio_task::run(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     let stream = LoopStream::new(JoinedStream::from_std(ours)?);
///     // On another thread it can only be dropped, which closes it here.
///     std::thread::spawn(move || drop(stream)).join().unwrap();
///     let mut peer = JoinedStream::from_std(theirs)?;
///     assert_eq!(peer.reader().read(1).await?, "");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub struct LoopStream {
    /// `None` only while this is dropped.
    inner: Option<SendWrapper<Inner>>,
    /// The loop has it, and closes the connection at its end. `None` while this is dropped.
    closer: Option<Kept<Closer>>,
    /// The number of the thread that may use it.
    thread: u64,
}

/// A number that no other thread of the program has or had. Comparing it costs less than comparing
/// thread ids.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    // A thread without a number is ending, and uses no stream any more.
    NUMBER.try_with(|number| *number).unwrap_or(u64::MAX)
}

struct Inner {
    stream: JoinedStream,
    activity: Option<Rc<Activity>>,
}

impl Inner {
    /// Notes whether the client accepts sent bytes.
    fn noted<T>(&mut self, send: impl FnOnce(Pin<&mut JoinedStream>) -> Poll<T>) -> Poll<T> {
        let result = send(Pin::new(&mut self.stream));
        if let Some(activity) = &self.activity {
            let left = result.is_pending();
            activity.sent(left.then(|| self.stream.writer().transport().write_buffer_size()));
        }
        result
    }
}

/// The activity of a server's connection: what it has received and not answered yet.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Requests whose answers have not been sent.
    in_flight: Cell<u32>,
    /// Whether the client is sending a request whose headers are incomplete.
    in_headers: Cell<bool>,
    /// When the client began, or when the last answer was sent.
    since: Cell<LoopTime>,
    /// Whether the connection is HTTP/2, where frames also arrive between requests.
    is_http2: Cell<bool>,
    /// The bodies of requests in flight.
    bodies: RefCell<Vec<Arc<BodyWatch>>>,
    /// The time since which the client has accepted no bytes, while there are some to send.
    stuck_since: Cell<Option<LoopTime>>,
    /// How many bytes were unsent at that time.
    left: Cell<usize>,
}

impl Activity {
    /// Starts with a client that has connected and is expected to send a request.
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            in_flight: Cell::new(0),
            in_headers: Cell::new(true),
            since: Cell::new(running_loop().time()),
            is_http2: Cell::new(false),
            bodies: RefCell::default(),
            stuck_since: Cell::new(None),
            left: Cell::new(0),
        })
    }

    /// Notes the body of a request whose headers are complete.
    pub(crate) fn body(&self) -> Arc<BodyWatch> {
        let watch = Arc::<BodyWatch>::default();
        let mut bodies = self.bodies.borrow_mut();
        bodies.retain(|body| Arc::strong_count(body) > 1);
        bodies.push(Arc::clone(&watch));
        watch
    }

    /// The longest wait for the client among the bodies that are being read: the time since which
    /// it waits.
    pub(crate) fn body_waits_since(&self) -> Option<LoopTime> {
        self.bodies.borrow().iter().filter_map(|body| body.waits_since()).min()
    }

    /// Makes the bodies fail that have waited since this time or longer.
    pub(crate) fn expire_bodies(&self, since: LoopTime) {
        let mut bodies = self.bodies.take();
        bodies.retain(|body| {
            let is_late = body.waits_since().is_some_and(|waits| waits <= since);
            if is_late {
                body.expire();
            }
            !is_late
        });
        self.bodies.borrow_mut().append(&mut bodies);
    }

    /// The time since which the client has accepted no bytes, while there are some to send.
    pub(crate) fn stuck_since(&self) -> Option<LoopTime> {
        self.stuck_since.get()
    }

    /// Notes how many bytes are unsent: none, or `left`.
    fn sent(&self, left: Option<usize>) {
        let Some(left) = left else { return self.stuck_since.set(None) };
        if self.stuck_since.get().is_none() || left != self.left.get() {
            self.left.set(left);
            self.stuck_since.set(Some(running_loop().time()));
        }
    }

    fn bytes_came(&self) {
        if self.in_flight.get() == 0 && !self.in_headers.get() && !self.is_http2.get() {
            self.in_headers.set(true);
            if let Ok(now) = with_running(LoopRef::time) {
                self.since.set(now);
            }
        }
    }

    /// Notes that the headers of a request are complete. Dropping the guard notes that its answer
    /// was sent.
    pub(crate) fn request(self: &Rc<Self>, is_http2: bool) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        self.in_headers.set(false);
        self.is_http2.set(is_http2);
        InFlight(Rc::clone(self))
    }

    /// `Some` while no request is in flight: whether headers are being sent, and since when.
    pub(crate) fn waiting(&self) -> Option<(bool, LoopTime)> {
        (self.in_flight.get() == 0).then(|| (self.in_headers.get(), self.since.get()))
    }
}

/// A request whose answer has not been sent.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let in_flight = self.0.in_flight.get() - 1;
        self.0.in_flight.set(in_flight);
        if in_flight == 0 {
            // Without a loop no task waits any more.
            if let Ok(now) = with_running(LoopRef::time) {
                self.0.since.set(now);
            }
        }
    }
}

impl LoopStream {
    /// A stream of the running loop.
    #[must_use]
    pub fn new(stream: JoinedStream) -> Self {
        Self::with(stream, None)
    }

    pub(crate) fn watched(stream: JoinedStream, activity: &Rc<Activity>) -> Self {
        Self::with(stream, Some(Rc::clone(activity)))
    }

    fn with(stream: JoinedStream, activity: Option<Rc<Activity>>) -> Self {
        let closer = Kept::new(&running_loop(), Closer::new(stream.writer()));
        let inner = SendWrapper::new(Inner { stream, activity });
        Self { inner: Some(inner), closer: Some(closer), thread: thread_number() }
    }

    /// The stream itself; `None` on another thread.
    #[must_use]
    pub fn into_inner(mut self) -> Option<JoinedStream> {
        let inner = self.inner.take_if(|inner| inner.valid())?;
        if let Some(closer) = self.closer.as_ref().and_then(Kept::get) {
            closer.disarm();
        }
        Some(inner.take().stream)
    }

    fn here(&mut self) -> io::Result<&mut Inner> {
        match &mut self.inner {
            Some(inner) if self.thread == thread_number() => Ok(&mut **inner),
            _ => {
                let text = "a LoopStream is used on another thread than its loop's";
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
        }
    }
}

impl Drop for LoopStream {
    fn drop(&mut self) {
        let (inner, closer) = (self.inner.take(), self.closer.take());
        // `into_inner` has taken the stream.
        let (Some(inner), Some(closer)) = (inner, closer) else { return };
        if inner.valid() {
            // The connection first. It was handed over, so its end is no error.
            drop(closer);
            return drop(inner);
        }
        // If the loop is closed, it has closed the connection, and only memory is left to free.
        closer.send_home(move |closer| {
            drop(closer);
            drop(inner);
        });
    }
}

impl Read for LoopStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = self.here()?;
        let read = Pin::new(&mut inner.stream).poll_read(cx, cursor);
        if let (Poll::Ready(Ok(())), Some(activity)) = (&read, &inner.activity) {
            activity.bytes_came();
        }
        read
    }
}

impl Write for LoopStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let inner = self.here()?;
        inner.noted(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = self.here()?;
        inner.noted(|stream| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = self.here()?;
        inner.noted(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.here()?.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for LoopStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopStream").finish_non_exhaustive()
    }
}
