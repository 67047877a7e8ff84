//! A request is a task.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use asyncio_loop::ErrorContext;
use asyncio_task::{JoinError, running_loop};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::BoxError;
use crate::body::LocalBody;
use crate::received::BodyWatch;
use crate::rt::InFlight;
use crate::service::{Answer, Response};

/// The task that answers a request. hyper drops this when the client has disconnected. That cancels
/// the task, and its cleanup runs.
pub(crate) struct Answering {
    state: State,
    in_flight: Option<InFlight>,
    /// `None` for a body that is empty.
    body: Option<Arc<BodyWatch>>,
}

enum State {
    Running(Answer),
    /// The service is not called.
    Refused(StatusCode),
    Done,
}

impl Answering {
    pub(crate) fn new(answer: Answer, in_flight: InFlight, body: Option<Arc<BodyWatch>>) -> Self {
        Self { state: State::Running(answer), in_flight: Some(in_flight), body }
    }

    /// Answers a request without calling the service. The body of the request is not read.
    pub(crate) fn refuse(status: StatusCode, in_flight: InFlight) -> Self {
        Self { state: State::Refused(status), in_flight: Some(in_flight), body: None }
    }

    /// If the client was too slow and the handler returned an error, the status tells the client
    /// so.
    fn judge(&self, mut response: Response) -> Response {
        let is_late = self.body.as_ref().is_some_and(|body| body.is_late());
        if is_late && (response.status().is_client_error() || response.status().is_server_error()) {
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

impl Future for Answering {
    type Output = Result<http::Response<Tracked>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = match &mut self.state {
            State::Running(task) => ready!(Pin::new(task).poll(cx)),
            State::Refused(status) => Ok(Ok(refusal(*status))),
            State::Done => return Poll::Pending,
        };
        self.state = State::Done;
        let response = match ended {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => failed(|context| context.with_error(error as Box<dyn Error>)),
            Err(JoinError::Cancelled(_)) => error_page(StatusCode::SERVICE_UNAVAILABLE),
            Err(error) => failed(|context| context.with_error(error)),
        };
        let response = self.judge(response);
        let in_flight = self.in_flight.take();
        Poll::Ready(Ok(response.map(|body| Tracked { body, _in_flight: in_flight })))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let State::Running(task) = &self.state {
            task.cancel();
        }
    }
}

/// Reports the failure, and answers with an error status.
fn failed(describe: impl FnOnce(ErrorContext) -> ErrorContext) -> Response {
    let context = ErrorContext::new("unhandled error in the handler of a request");
    running_loop().report(&describe(context));
    error_page(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer ends the connection, since the request's body is unread.
fn refusal(status: StatusCode) -> Response {
    let mut response = error_page(status);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn error_page(status: StatusCode) -> Response {
    let text = status.canonical_reason().unwrap_or_default();
    let mut response =
        http::Response::new(LocalBody::new(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response
}

/// The body of an answer. Its request is in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct Tracked {
    body: LocalBody,
    _in_flight: Option<InFlight>,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
