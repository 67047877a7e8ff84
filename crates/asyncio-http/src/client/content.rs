//! The body of a request.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;
use crate::body::{LocalBody, Streamed};

/// The content of a request: text, bytes, or a stream of them, which need not be `Send`.
///
/// # Examples
///
/// ```
/// use asyncio_http::Content;
///
/// let texts = [Content::from("text"), Content::from(vec![1, 2, 3])];
/// # let _ = texts;
/// ```
#[derive(Debug, Default)]
pub struct Content(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Nothing,
    Bytes(Bytes),
    Stream(LocalBody),
    /// A stream that was sent already.
    Spent,
}

impl Content {
    /// A stream of bytes. HTTP/1 sends it in chunks. An error of the stream ends the request and
    /// its connection.
    ///
    /// The session cannot send a stream twice, so redirects that keep the body fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_http::{App, Content};
    /// use asyncio_http::testing::TestClient;
    /// use futures::stream;
    ///
    /// asyncio_task::run(async {
    ///     let app = App::new().post("/", async |body: String| body);
    ///     let client = TestClient::new(app);
    ///     let parts = stream::iter(["one ", "two"].map(Ok::<_, std::io::Error>));
    ///     let answer = client.post("/").body(Content::stream(parts)).await?;
    ///     assert_eq!(answer.text().await?, "one two");
    ///     Ok::<_, asyncio_http::ClientError>(())
    /// }).unwrap();
    /// ```
    pub fn stream<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + 'static,
        T: Into<Bytes>,
        E: Into<BoxError>,
    {
        Self::body(Streamed { stream })
    }

    /// A body of another crate.
    pub fn body<B>(body: B) -> Self
    where
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Stream(LocalBody::new(body)))
    }

    /// Takes the content for one attempt. A stream cannot be taken a second time.
    pub(crate) fn again(&mut self) -> Self {
        Self(match &mut self.0 {
            Kind::Nothing => Kind::Nothing,
            Kind::Bytes(bytes) => Kind::Bytes(bytes.clone()),
            stream @ Kind::Stream(_) => std::mem::replace(stream, Kind::Spent),
            Kind::Spent => Kind::Spent,
        })
    }

    /// Whether the content can be sent (again).
    pub(crate) fn is_there(&self) -> bool {
        !matches!(self.0, Kind::Spent)
    }

    /// The body for hyper, and the progress that tells when it was sent.
    pub(crate) fn upload(self) -> (Upload, Rc<Progress>) {
        let progress = Rc::<Progress>::default();
        (Upload { content: self.0, progress: Rc::clone(&progress) }, progress)
    }
}

macro_rules! from_bytes {
    ($($ty:ty)*) => {$(
        impl From<$ty> for Content {
            fn from(bytes: $ty) -> Self {
                Self(Kind::Bytes(bytes.into()))
            }
        }
    )*};
}

from_bytes!(Bytes Vec<u8> String &'static str &'static [u8]);

/// Whether hyper has taken the whole body of a request.
#[derive(Default)]
pub(crate) struct Progress {
    is_done: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Progress {
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.get()
    }

    /// Returns whether it has. If not, the task of `cx` is woken when it has.
    pub(crate) fn poll_done(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_done.get() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn done(&self) {
        self.is_done.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A request body for hyper.
pub(crate) struct Upload {
    content: Kind,
    progress: Rc<Progress>,
}

impl Upload {
    /// The content that was not sent.
    pub(crate) fn into_content(mut self) -> Content {
        Content(std::mem::take(&mut self.content))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.content {
            Kind::Nothing => None,
            Kind::Spent => Some(Err("the body was sent before".into())),
            Kind::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Kind::Nothing;
                Some(Ok(Frame::data(bytes)))
            }
            Kind::Stream(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        if self.is_end_stream() || frame.is_none() {
            self.progress.done();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Kind::Nothing => true,
            Kind::Bytes(bytes) => bytes.is_empty(),
            Kind::Stream(body) => body.is_end_stream(),
            Kind::Spent => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Kind::Nothing | Kind::Spent => SizeHint::with_exact(0),
            Kind::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

/// hyper drops a body that reports its end, without polling it again.
impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.progress.done();
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("content", &self.content).finish_non_exhaustive()
    }
}
