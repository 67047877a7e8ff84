//! One connection of a server.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{Deadline, LoopTime, LoopWaker};
use asyncio_net::{StreamReader, StreamWriter};
use asyncio_sync::Event;
use asyncio_task::running_loop;
use http::StatusCode;
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::server::conn::auto;

use super::limits::{Limit, Limits};
use super::request::Answering;
use crate::peer::Peer;
use crate::received::Received;
use crate::requests::Requests;
use crate::rt::{Activity, LoopExecutor, LoopStream};
use crate::service::Service;

/// The state that the connections of a server on one loop share.
pub(crate) struct Site {
    service: Service,
    limits: Limits,
    builder: auto::Builder<LoopExecutor>,
    requests: Rc<Requests>,
    closing: Event,
    /// Whether connections use TLS.
    is_tls: bool,
}

impl Site {
    pub(crate) fn new(service: Service, limits: Limits, is_tls: bool) -> Self {
        Self {
            service,
            limits,
            builder: limits.builder(),
            requests: Rc::default(),
            closing: Event::new(),
            is_tls,
        }
    }

    /// Finishes the received requests, and accepts no more.
    pub(crate) fn close(&self) {
        self.closing.set();
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve(&self, reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
        let addr = writer.peer_addr().ok();
        Peer::new(addr, self.is_tls).enter();
        let activity = Activity::new();
        let io = LoopStream::watched(reader.join(writer), &activity);
        let service = Connected {
            service: self.service.clone(),
            requests: Rc::clone(&self.requests),
            max_body_size: self.limits.max_body_size,
            activity: Rc::clone(&activity),
        };
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(io, service));
        let mut closing = pin!(self.closing.wait());
        let (mut is_closing, mut is_waiting) = (false, false);
        let mut watch = Watch::new(&self.limits, &activity);
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(ended.or_else(|error| judge(error, addr)));
                }
                // The waker stays registered, since one task makes all polls.
                let asks = !is_closing && (!is_waiting || self.closing.is_set());
                is_waiting = true;
                if asks && closing.as_mut().poll(cx).is_ready() {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                match watch.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Limit::Headers) => {
                        log::debug!("{addr:?} is cut: it sends no request");
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(Limit::Idle) => connection.as_mut().graceful_shutdown(),
                    Poll::Ready(Limit::Body) => {
                        let now = running_loop().time();
                        activity.expire_bodies(now - self.limits.body_timeout);
                    }
                    Poll::Ready(Limit::Answer) => {
                        log::debug!("{addr:?} is cut: it does not read its answer");
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        })
        .await
    }
}

/// Disconnects and protocol violations of clients are normal; a failing body is an error of the
/// program.
fn judge(
    error: Box<dyn Error + Send + Sync>,
    peer: Option<std::net::SocketAddr>,
) -> io::Result<()> {
    let is_ours = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user);
    if is_ours {
        return Err(io::Error::other(error));
    }
    log::debug!("the connection with {peer:?} ended: {error}");
    Ok(())
}

/// Checks the limits of a connection. The timer is not moved for each request of an active
/// connection: when it fires, the deadline is computed again.
struct Watch<'a> {
    limits: &'a Limits,
    activity: &'a Activity,
    /// `None` until the first wait. It wakes the task that polled first, which makes all polls.
    timer: Option<Deadline>,
    when: LoopTime,
    /// Whether an idle connection was asked to end.
    is_ending: bool,
}

impl<'a> Watch<'a> {
    fn new(limits: &'a Limits, activity: &'a Activity) -> Self {
        let when = running_loop().time() + limits.header_timeout;
        Self { limits, activity, timer: None, when, is_ending: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Limit> {
        loop {
            let deadline = self.deadline();
            if let Some((when, _)) = deadline.filter(|(when, _)| *when < self.when) {
                self.set(when);
            }
            if self.timer.as_ref().is_some_and(Deadline::is_pending) {
                return Poll::Pending;
            }
            let event_loop = running_loop();
            let now = event_loop.time();
            if now < self.when {
                self.timer = Some(event_loop.wake_at(self.when, LoopWaker::from_context(cx)));
                return Poll::Pending;
            }
            match deadline {
                Some((when, Limit::Body)) if when <= now => {
                    self.set(now + self.limits.longest_look());
                    return Poll::Ready(Limit::Body);
                }
                Some((when, limit)) if when <= now => {
                    self.is_ending = true;
                    self.set(now + self.limits.header_timeout);
                    return Poll::Ready(limit);
                }
                Some((when, _)) => self.set(when),
                None => self.set(now + self.limits.longest_look()),
            }
        }
    }

    /// A client that was asked to end an idle connection has the time limit for headers to do so.
    fn deadline(&self) -> Option<(LoopTime, Limit)> {
        match self.limits.deadline(self.activity) {
            Some((_, Limit::Headers | Limit::Idle)) if self.is_ending => {
                Some((self.when, Limit::Headers))
            }
            deadline => deadline,
        }
    }

    fn set(&mut self, when: LoopTime) {
        self.when = when;
        self.timer = None;
    }
}

/// The service as one connection sees it.
struct Connected {
    service: Service,
    requests: Rc<Requests>,
    max_body_size: usize,
    activity: Rc<Activity>,
}

impl hyper::service::Service<http::Request<Incoming>> for Connected {
    type Response = http::Response<super::request::Tracked>;
    type Error = std::convert::Infallible;
    type Future = Answering;

    fn call(&self, request: http::Request<Incoming>) -> Answering {
        let in_flight = self.activity.request(request.version() == http::Version::HTTP_2);
        let max_size = self.max_body_size;
        if request.body().size_hint().lower() > max_size as u64 {
            return Answering::refuse(StatusCode::PAYLOAD_TOO_LARGE, in_flight);
        }
        let watch = (!request.body().is_end_stream()).then(|| self.activity.body());
        let request = request.map(|body| Received::new(body, max_size, watch.as_ref()));
        let answer = self.service.call(request, self.requests.begin());
        Answering::new(answer, in_flight, watch)
    }
}
