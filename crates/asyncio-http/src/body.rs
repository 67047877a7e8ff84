//! Bodies that belong to one thread, boxed in one type.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use send_wrapper::SendWrapper;

use crate::BoxError;

/// The body of an answer, produced piece by piece by a stream of this thread.
///
/// Axum's bodies are `Send`. This one checks at run time that it stays on its thread.
///
/// # Panics
///
/// When it is polled on another thread.
///
/// # From aiohttp
///
/// `StreamResponse`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_http::{App, local_stream};
/// use asyncio_http::testing::TestClient;
/// use futures::stream;
///
/// asyncio_task::run(async {
///     let app = App::new().get("/", async || {
///         local_stream(stream::unfold(3, async |number| {
///             asyncio_task::sleep(Duration::from_millis(1)).await;
///             (number > 0).then(|| (Ok::<_, std::io::Error>(format!("{number} ")), number - 1))
///         }))
///     });
///     assert_eq!(TestClient::new(app).get("/").await?.text().await?, "3 2 1 ");
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
pub fn local_stream<S, T, E>(stream: S) -> axum_core::body::Body
where
    S: Stream<Item = Result<T, E>> + 'static,
    T: Into<Bytes> + 'static,
    E: Into<BoxError> + 'static,
{
    axum_core::body::Body::new(Streamed { stream: SendWrapper::new(stream) })
}

pin_project! {
    /// A stream as a body.
    pub(crate) struct Streamed<S> {
        #[pin]
        pub(crate) stream: S,
    }
}

impl<S, T, E> Body for Streamed<S>
where
    S: Stream<Item = Result<T, E>>,
    T: Into<Bytes>,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let item = ready!(self.project().stream.poll_next(cx));
        Poll::Ready(item.map(|item| item.map(|data| Frame::data(data.into()))))
    }
}

/// Any body. It need not be `Send`.
pub(crate) enum LocalBody {
    /// Axum's body, which is boxed already.
    Axum(axum_core::body::Body),
    Other(Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>),
}

impl LocalBody {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        let mut body = Some(body);
        let axum = (&mut body as &mut dyn Any).downcast_mut::<Option<axum_core::body::Body>>();
        if let Some(axum) = axum.and_then(Option::take) {
            return Self::Axum(axum);
        }
        // It was not taken.
        let body = body.expect("a body of another type");
        Self::Other(Box::pin(Converted { body }))
    }
}

impl Body for LocalBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Axum(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| Some(frame?.map_err(Into::into)))
            }
            Self::Other(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Axum(body) => body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Axum(body) => body.size_hint(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for LocalBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBody").finish_non_exhaustive()
    }
}

pin_project! {
    /// A body whose data are `Bytes`. Data that are `Bytes` already are not copied.
    struct Converted<B> {
        #[pin]
        body: B,
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for Converted<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match ready!(self.project().body.poll_frame(cx)) {
            Some(Ok(frame)) => frame.map_data(|mut data| data.copy_to_bytes(data.remaining())),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
