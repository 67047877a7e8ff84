//! The types that a server can serve.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_task::{Task, TaskOptions, create_task_with};
use axum_core::extract::Request;
use axum_core::response::IntoResponse;
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::BoxError;
use crate::body::LocalBody;
use crate::received::Received;
use crate::requests::Running;

pub(crate) type Response = http::Response<LocalBody>;
/// The task that computes an answer.
pub(crate) type Answer = Task<Result<Response, BoxError>>;

/// A type-erased service for one loop.
#[derive(Clone)]
pub struct Service(Rc<dyn Fn(http::Request<Received>, Running) -> Answer>);

impl Service {
    pub(crate) fn new<F>(call: impl Fn(http::Request<Received>) -> F + 'static) -> Self
    where
        F: Future<Output = Result<Response, BoxError>> + 'static,
    {
        Self(Rc::new(move |request, running| {
            let answer = Making { answer: call(request), _running: running };
            // Most answers are ready at the first poll.
            create_task_with(answer, TaskOptions::new().eager_start(true))
        }))
    }

    /// Begins to answer a request.
    pub(crate) fn call(&self, request: http::Request<Received>, running: Running) -> Answer {
        (self.0)(request, running)
    }
}

pin_project! {
    /// An answer in progress, which is counted until this is dropped.
    struct Making<F> {
        #[pin]
        answer: F,
        _running: Running,
    }
}

impl<F: Future> Future for Making<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().answer.poll(cx)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// What [`serve`](crate::serve()) takes: an [`App`](crate::App), an axum `Router` or any other
/// service of tower, a service of hyper, or an async function that takes a [`Request`] and returns
/// a type that axum accepts as an answer.
///
/// The compiler infers `Kind`. Services of tower must be `Clone`, as axum's are, and take axum's
/// [`Body`](crate::Body). Services of hyper take hyper's `Incoming`, to which the server's limits
/// for bodies do not apply.
///
/// # Examples
///
/// ```
/// use asyncio_http::{IntoService, Request};
///
/// fn is_one<K>(_: impl IntoService<K>) {}
///
/// is_one(async |request: Request| format!("{} {}", request.method(), request.uri()));
/// is_one(axum::Router::new());
/// is_one(asyncio_http::App::new());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be served",
    label = "not a service",
    note = "an `App`, an axum `Router`, a service of tower that is `Clone`, a service of hyper, or \
            an async function from `Request` to an answer can be",
    note = "if a handler of axum is not `Send`, wrap its body by `asyncio::local`"
)]
pub trait IntoService<Kind> {
    #[doc(hidden)]
    fn into_service(self) -> Service;
}

/// Kinds of services.
#[doc(hidden)]
#[derive(Debug)]
pub struct OfTower;
#[doc(hidden)]
#[derive(Debug)]
pub struct OfHyper;
#[doc(hidden)]
#[derive(Debug)]
pub struct OfFunction;
#[doc(hidden)]
#[derive(Debug)]
pub struct Made;

impl IntoService<Made> for Service {
    fn into_service(self) -> Service {
        self
    }
}

impl<S, B> IntoService<OfTower> for S
where
    S: tower_service::Service<Request, Response = http::Response<B>>,
    S: Clone + 'static,
    S::Error: Into<BoxError>,
    S::Future: 'static,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    fn into_service(self) -> Service {
        Service::new(move |request| Asking::Waiting {
            service: self.clone(),
            request: Some(request),
        })
    }
}

pin_project! {
    /// Calls a service of tower when it is ready. The answer's future replaces the request in
    /// memory, so the task is not large enough for both.
    #[project = AskingProjection]
    enum Asking<S>
    where
        S: tower_service::Service<Request>,
    {
        Waiting { service: S, request: Option<http::Request<Received>> },
        Asked { #[pin] answer: S::Future },
    }
}

impl<S, B> Future for Asking<S>
where
    S: tower_service::Service<Request, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let answer = match self.as_mut().project() {
                AskingProjection::Waiting { service, request } => {
                    ready!(service.poll_ready(cx)).map_err(Into::into)?;
                    let request = request.take().expect("it is asked once");
                    service.call(request.map(Received::into_body))
                }
                AskingProjection::Asked { answer } => {
                    let response = ready!(answer.poll(cx)).map_err(Into::into)?;
                    return Poll::Ready(Ok(response.map(LocalBody::new)));
                }
            };
            self.set(Self::Asked { answer });
        }
    }
}

impl<S, B> IntoService<OfHyper> for S
where
    S: hyper::service::Service<http::Request<Incoming>, Response = http::Response<B>> + 'static,
    S::Error: Into<BoxError>,
    S::Future: 'static,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    fn into_service(self) -> Service {
        Service::new(move |request| {
            let answer = self.call(request.map(Received::into_incoming));
            async move { Ok(answer.await.map_err(Into::into)?.map(LocalBody::new)) }
        })
    }
}

impl<F, R> IntoService<OfFunction> for F
where
    F: AsyncFn(Request) -> R + 'static,
    R: IntoResponse,
{
    fn into_service(self) -> Service {
        let function = Rc::new(self);
        Service::new(move |request| {
            let function = Rc::clone(&function);
            async move {
                let response = function(request.map(Received::into_body)).await;
                Ok(response.into_response().map(LocalBody::new))
            }
        })
    }
}
