//! [`Handler`]: the functions that an [`App`](super::App) calls.

use std::pin::Pin;
use std::rc::Rc;

use axum_core::extract::{FromRequest, FromRequestParts, Request};
use axum_core::response::{IntoResponse, Response};

type Answer = Pin<Box<dyn Future<Output = Response>>>;

/// A type-erased handler.
pub(super) type Call = Rc<dyn Fn(Request) -> Answer>;

/// An async function or closure with up to eight axum extractors as its arguments, which returns a
/// type that axum accepts as an answer.
///
/// All arguments but the last are made from the head of the request (`FromRequestParts`); the last
/// one may take the body (`FromRequest`). Neither the function nor its future needs to be `Send`.
///
/// # Examples
///
/// ```
/// use asyncio_http::{App, HeaderMap, Method};
///
/// async fn echo(method: Method, headers: HeaderMap, body: String) -> String {
///     format!("{method}, {} headers, {body}", headers.len())
/// }
///
/// let app = App::new().any("/", echo);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is an async function whose arguments are extractors of axum, of which only \
            the last one may take the body, and whose answer is `IntoResponse`",
    note = "write the types of a closure's arguments: `async |request: Request| …`"
)]
pub trait Handler<Arguments>: 'static {
    #[doc(hidden)]
    fn call(self: Rc<Self>, request: Request) -> Answer;
}

pub(super) fn erase<A>(handler: impl Handler<A>) -> Call {
    let handler = Rc::new(handler);
    Rc::new(move |request| Rc::clone(&handler).call(request))
}

impl<F, R> Handler<()> for F
where
    F: AsyncFn() -> R + 'static,
    R: IntoResponse,
{
    fn call(self: Rc<Self>, _: Request) -> Answer {
        Box::pin(async move { self().await.into_response() })
    }
}

macro_rules! handler {
    ($($part:ident)*) => {
        impl<F, R, M, $($part,)* Last> Handler<(M, $($part,)* Last)> for F
        where
            F: AsyncFn($($part,)* Last) -> R + 'static,
            R: IntoResponse,
            $($part: FromRequestParts<()> + 'static,)*
            Last: FromRequest<(), M> + 'static,
        {
            #[allow(non_snake_case, unused_mut)]
            fn call(self: Rc<Self>, request: Request) -> Answer {
                Box::pin(async move {
                    let (mut head, body) = request.into_parts();
                    $(let $part = match $part::from_request_parts(&mut head, &()).await {
                        Ok(value) => value,
                        Err(rejection) => return rejection.into_response(),
                    };)*
                    match Last::from_request(Request::from_parts(head, body), &()).await {
                        Ok(last) => self($($part,)* last).await.into_response(),
                        Err(rejection) => rejection.into_response(),
                    }
                })
            }
        }
    };
}

handler!();
handler!(A);
handler!(A B);
handler!(A B C);
handler!(A B C D);
handler!(A B C D E);
handler!(A B C D E G);
handler!(A B C D E G H);
