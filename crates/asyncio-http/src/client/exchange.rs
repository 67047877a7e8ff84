//! One request and its answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_task::{sleep, timeout};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use hyper::body::Incoming;
use url::{Position, Url};

use super::content::{Progress, Upload};
use super::error::ClientError;
use super::pool::{Key, Lease, Unanswered};
use super::redirect::Hop;
use super::shared::Shared;
use super::timeouts::Timeouts;

/// The head of an answer, with the connection that its body arrives over.
pub(super) struct Exchanged {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
    pub(super) progress: Rc<Progress>,
}

/// Sends the request and waits for the head of its answer.
///
/// A server may close a kept connection while the request is being sent. If nothing was sent, the
/// request is sent again. If a part was sent, only an idempotent request is repeated (RFC 9110,
/// section 9.2.2), once, and over a new connection.
pub(super) async fn exchange(
    session: &Shared,
    hop: &mut Hop,
    limits: &Timeouts,
) -> Result<Exchanged, ClientError> {
    let mut was_repeated = false;
    loop {
        let key = key(session, hop)?;
        let mut lease = lease(session, key, was_repeated, limits.connect).await?;
        let (upload, progress) = hop.content.again().upload();
        let request = build(session, hop, &lease, upload)?;
        let answer = head(lease.send(request), &progress, limits.read).await?;
        let Unanswered { error, unsent } = match answer {
            Ok(response) => return Ok(Exchanged { response, lease, progress }),
            Err(unanswered) => unanswered,
        };
        match unsent {
            Some(request) if lease.is_reused() => {
                if !hop.content.is_there() {
                    hop.content = request.into_body().into_content();
                }
            }
            _ if lease.is_reused() && !was_repeated && may_repeat(hop) && is_cut(&error) => {
                was_repeated = true;
            }
            _ => return Err(ClientError::connection(error)),
        }
    }
}

fn key(session: &Shared, hop: &Hop) -> Result<Key, ClientError> {
    let connector = session.pool.connector();
    let uri: Uri = hop.url[..Position::AfterPath].parse().map_err(ClientError::request)?;
    Key::new(&hop.url, connector.proxy(&uri), hop.upgrades)
}

async fn lease(
    session: &Shared,
    key: Key,
    fresh: bool,
    limit: Option<Duration>,
) -> Result<Lease, ClientError> {
    let lease = session.pool.lease(key, fresh);
    match limit {
        Some(limit) => match timeout(limit, lease).await {
            Ok(lease) => lease,
            Err(_) => Err(ClientError::timeout("a connection")),
        },
        None => lease.await,
    }
}

/// Waits for the head of the answer. The time limit starts at the end of the request.
async fn head(
    send: impl Future<Output = Result<Response<Incoming>, Unanswered>>,
    progress: &Progress,
    limit: Option<Duration>,
) -> Result<Result<Response<Incoming>, Unanswered>, ClientError> {
    let Some(limit) = limit else { return Ok(send.await) };
    let mut send = pin!(send);
    let mut timer = None;
    poll_fn(|cx| {
        if let Poll::Ready(answer) = send.as_mut().poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        if progress.poll_done(cx).is_pending() {
            return Poll::Pending;
        }
        let timer = timer.get_or_insert_with(|| sleep(limit));
        Pin::new(timer).poll(cx).map(|()| Err(ClientError::timeout("the answer")))
    })
    .await
}

fn may_repeat(hop: &Hop) -> bool {
    let is_idempotent = matches!(
        hop.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    is_idempotent && hop.content.is_there()
}

/// Whether the connection ended, as opposed to a violation of the protocol by the server.
fn is_cut(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

fn build(
    session: &Shared,
    hop: &Hop,
    lease: &Lease,
    upload: Upload,
) -> Result<Request<Upload>, ClientError> {
    let mut request = Request::new(upload);
    *request.method_mut() = hop.method.clone();
    *request.uri_mut() = target(&hop.url, lease)?;
    *request.headers_mut() = hop.headers.clone();
    let headers = request.headers_mut();
    if lease.is_http2() {
        *request.version_mut() = http::Version::HTTP_2;
    } else if !headers.contains_key(header::HOST) {
        let host = &hop.url[Position::BeforeHost..Position::AfterPort];
        headers.insert(header::HOST, HeaderValue::from_str(host).map_err(ClientError::request)?);
    }
    if let Some(proxy) = lease.forwarding_proxy() {
        if let Some(credentials) = proxy.basic_auth() {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, credentials.clone());
        }
    }
    #[cfg(feature = "cookies")]
    if let Some(cookies) = session.cookies.as_ref().and_then(|jar| jar.header(&hop.url)) {
        let headers = request.headers_mut();
        let cookies = match headers.get(header::COOKIE) {
            Some(own) => [own.as_bytes(), cookies.as_bytes()].join(&b"; "[..]),
            None => cookies.as_bytes().to_vec(),
        };
        let cookies = HeaderValue::from_bytes(&cookies).map_err(ClientError::request)?;
        headers.insert(header::COOKIE, cookies);
    }
    let _ = session;
    Ok(request)
}

/// The request target: the path for a server, the whole URL for a proxy and for HTTP/2.
fn target(url: &Url, lease: &Lease) -> Result<Uri, ClientError> {
    let path = &url[Position::BeforePath..Position::AfterQuery];
    if !lease.is_http2() && lease.forwarding_proxy().is_none() {
        return path.parse().map_err(ClientError::request);
    }
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    Uri::builder()
        .scheme(url.scheme())
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(ClientError::request)
}
