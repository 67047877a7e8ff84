//! [`Lease`]: a connection in use by one request.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use asyncio_loop::LoopTime;
use asyncio_task::{Task, TaskOptions, create_task_with, running_loop};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::client::proxy::matcher::Intercept;

use super::host::Idle;
use super::{Key, Pool};
use crate::client::connect::Opened;
use crate::client::content::Upload;
use crate::client::error::ClientError;
use crate::rt::{LoopExecutor, LoopStream, LoopTimer};

/// The HTTP/2 flow-control window of one answer.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// The HTTP/2 flow-control window of a connection. It is large, since unread answers that filled it
/// would block the answers that are being read.
const CONNECTION_WINDOW: u32 = 128 * STREAM_WINDOW;

/// A place for one open connection in the limits of the pool, until it is dropped.
pub(super) struct Slot {
    pool: Weak<Pool>,
    key: Rc<Key>,
}

impl Slot {
    pub(super) fn new(pool: &Rc<Pool>, key: &Rc<Key>) -> Self {
        pool.open.set(pool.open.get() + 1);
        pool.with_host(key, |host| host.open += 1);
        Self { pool: Rc::downgrade(pool), key: Rc::clone(key) }
    }

    pub(super) fn key(&self) -> &Rc<Key> {
        &self.key
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.open.set(pool.open.get() - 1);
            pool.with_host(&self.key, |host| host.open = host.open.saturating_sub(1));
            pool.wake_next();
        }
    }
}

/// The task that drives a connection. Dropping this closes the connection.
struct Driver(Task<()>);

impl Driver {
    fn start(connection: impl Future<Output = hyper::Result<()>> + 'static) -> Self {
        let drive = async move {
            if let Err(error) = connection.await {
                // The affected request returns the error.
                log::debug!("a connection of an HTTP client ended: {error}");
            }
        };
        Self(create_task_with(drive, TaskOptions::new().hidden()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// An HTTP/1 connection, which carries one request at a time.
pub(super) struct Exclusive {
    sender: http1::SendRequest<Upload>,
    _driver: Driver,
    slot: Slot,
}

impl Exclusive {
    pub(super) fn key(&self) -> &Rc<Key> {
        self.slot.key()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// An HTTP/2 connection, which many requests share.
pub(super) struct Shared {
    sender: http2::SendRequest<Upload>,
    _driver: Driver,
    slot: Slot,
    users: Cell<usize>,
    since: Cell<LoopTime>,
}

impl Shared {
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn is_usable(&self, now: LoopTime, limit: Duration) -> bool {
        !self.is_closed() && (self.users.get() > 0 || now < self.since.get() + limit)
    }
}

/// One of the requests on an HTTP/2 connection.
struct User(Rc<Shared>);

impl User {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.users.set(shared.users.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.0.users.set(self.0.users.get() - 1);
        if let Ok(event_loop) = asyncio_task::try_running_loop() {
            self.0.since.set(event_loop.time());
        }
    }
}

enum Link {
    Exclusive(Exclusive),
    Shared(User),
}

/// A connection in use by one request.
///
/// An HTTP/1 connection that is dropped without [`finish`](Self::finish) is closed, since an
/// unknown part of an answer may still arrive on it.
pub(crate) struct Lease {
    link: Link,
    is_reused: bool,
}

/// Why a request got no answer, and the request itself if nothing of it was sent.
pub(crate) struct Unanswered {
    pub(crate) error: hyper::Error,
    pub(crate) unsent: Option<Request<Upload>>,
}

impl Lease {
    /// Begins HTTP on an open connection.
    pub(super) async fn start(opened: Opened, slot: Slot) -> Result<Self, ClientError> {
        let io = LoopStream::new(opened.stream);
        if opened.is_http2 {
            let mut builder = http2::Builder::new(LoopExecutor);
            builder
                .timer(LoopTimer)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
            let (sender, connection) = builder.handshake(io).await.map_err(ClientError::connect)?;
            let driver = Driver::start(connection);
            let (users, since) = (Cell::new(0), Cell::new(running_loop().time()));
            let shared = Rc::new(Shared { sender, _driver: driver, slot, users, since });
            return Ok(Self::of_shared(&shared, false));
        }
        let (sender, connection) = http1::handshake(io).await.map_err(ClientError::connect)?;
        let driver = Driver::start(connection.with_upgrades());
        Ok(Self::of_exclusive(Exclusive { sender, _driver: driver, slot }, false))
    }

    pub(super) fn of_exclusive(link: Exclusive, is_reused: bool) -> Self {
        Self { link: Link::Exclusive(link), is_reused }
    }

    pub(super) fn of_shared(shared: &Rc<Shared>, is_reused: bool) -> Self {
        Self { link: Link::Shared(User::new(shared)), is_reused }
    }

    pub(super) fn shared(&self) -> Option<Rc<Shared>> {
        match &self.link {
            Link::Exclusive(_) => None,
            Link::Shared(user) => Some(Rc::clone(&user.0)),
        }
    }

    pub(super) fn key(&self) -> &Rc<Key> {
        match &self.link {
            Link::Exclusive(link) => link.slot.key(),
            Link::Shared(user) => user.0.slot.key(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match &self.link {
            Link::Exclusive(link) => link.sender.is_ready(),
            Link::Shared(user) => user.0.sender.is_ready(),
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.link, Link::Shared(_))
    }

    /// The proxy that forwards the request, if there is one.
    pub(crate) fn forwarding_proxy(&self) -> Option<&Intercept> {
        let key = self.key();
        key.proxy.as_deref().filter(|_| key.is_forwarded())
    }

    /// Whether the connection was used before. If so, the server may have closed it already.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let answer = match &mut self.link {
            Link::Exclusive(link) => link.sender.try_send_request(request).await,
            Link::Shared(user) => user.0.sender.clone().try_send_request(request).await,
        };
        answer.map_err(|mut error| Unanswered {
            unsent: error.take_message(),
            error: error.into_error(),
        })
    }

    /// Returns the connection to the pool. The answer was read to its end, and the request was sent
    /// to its end.
    pub(crate) fn finish(self) {
        let Link::Exclusive(link) = self.link else { return };
        if link.is_closed() {
            return;
        }
        if let Some(pool) = link.slot.pool.upgrade() {
            pool.keep(Idle::new(link, running_loop().time()));
        }
    }
}
