//! The connections of a session, in use and idle, and the requests that wait for one.

mod host;
mod lease;
mod waiting;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use asyncio_loop::TimerHandle;
use asyncio_task::{running_loop, yield_now};
use hyper_util::client::proxy::matcher::Intercept;
use url::Url;

use self::host::{Host, Idle, Version};
use self::lease::Slot;
pub(crate) use self::lease::{Lease, Unanswered};
use self::waiting::Waiter;
use super::connect::Connector;
use super::error::{ClientError, ClientErrorKind};

/// The properties by which connections are interchangeable.
#[derive(Clone)]
pub(crate) struct Key {
    pub(super) is_tls: bool,
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) proxy: Option<Rc<Intercept>>,
    /// The name of the proxy.
    proxy_name: Option<Box<str>>,
    /// Whether only HTTP/1 will do.
    pub(super) upgrades: bool,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl Key {
    pub(crate) fn new(
        url: &Url,
        proxy: Option<Rc<Intercept>>,
        upgrades: bool,
    ) -> Result<Self, ClientError> {
        let unfit = |text: &str| ClientError::new(ClientErrorKind::Request, text).at(url);
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(unfit("neither http nor https")),
        };
        let host = url.host_str().ok_or_else(|| unfit("no host"))?;
        let port = url.port().unwrap_or(if is_tls { 443 } else { 80 });
        let proxy_name = proxy.as_ref().map(|proxy| proxy.uri().to_string().into());
        let host = host.trim_matches(['[', ']']).into();
        Ok(Self { is_tls, host, port, proxy, proxy_name, upgrades })
    }

    fn parts(&self) -> (bool, &str, u16, Option<&str>, bool) {
        (self.is_tls, &self.host, self.port, self.proxy_name.as_deref(), self.upgrades)
    }

    /// Host and port, as `CONNECT` names them.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether requests are sent to a proxy that forwards them.
    pub(super) fn is_forwarded(&self) -> bool {
        self.proxy.is_some() && !self.is_tls
    }
}

/// The limits of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    /// Open connections in all.
    pub(crate) total: usize,
    /// Open connections to one host.
    pub(crate) per_host: usize,
    /// How long an idle connection is kept.
    pub(crate) idle: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { total: 100, per_host: usize::MAX, idle: Duration::from_secs(15) }
    }
}

/// The connections of a session.
pub(crate) struct Pool {
    connector: Connector,
    limits: PoolLimits,
    hosts: RefCell<HashMap<Rc<Key>, Host>>,
    /// Connections that are open or being opened.
    open: Cell<usize>,
    /// In the order of arrival.
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
    tickets: Cell<u64>,
    sweep: RefCell<Option<TimerHandle>>,
    is_closed: Cell<bool>,
    me: Weak<Self>,
}

/// The pool's answer to a request that needs a connection.
enum Turn {
    Use(Lease),
    /// Permission to open one.
    Open(Slot),
    Wait,
}

impl Pool {
    pub(crate) fn new(connector: Connector, limits: PoolLimits) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            connector,
            limits,
            hosts: RefCell::default(),
            open: Cell::new(0),
            waiters: RefCell::default(),
            tickets: Cell::new(0),
            sweep: RefCell::default(),
            is_closed: Cell::new(false),
            me: me.clone(),
        })
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Connections that are open or being opened.
    pub(crate) fn open_count(&self) -> usize {
        self.open.get()
    }

    /// A connection for one request: an idle one, or a new one when the limits allow it.
    ///
    /// If the future is dropped before it is done, the connection that it opens is closed, and its
    /// turn goes to the next request.
    pub(crate) async fn lease(
        self: &Rc<Self>,
        key: Key,
        fresh: bool,
    ) -> Result<Lease, ClientError> {
        let key = Rc::new(key);
        let ticket = self.tickets.get();
        self.tickets.set(ticket + 1);
        let mut was_woken = false;
        loop {
            if self.is_closed.get() {
                return Err(ClientError::new(ClientErrorKind::Closed, "the session is closed"));
            }
            let turn = self.turn(&key, was_woken, fresh);
            if was_woken && !matches!(turn, Turn::Wait) {
                // Later requests have waited for this one.
                self.wake_next();
            }
            match turn {
                Turn::Use(lease) => {
                    // A connection whose answer has just ended becomes idle when its task runs.
                    if !lease.is_ready() {
                        yield_now().await;
                    }
                    if lease.is_ready() {
                        return Ok(lease);
                    }
                }
                Turn::Open(slot) => return self.open(slot).await,
                Turn::Wait => {
                    waiting::wait(self, &key, ticket).await;
                    was_woken = true;
                }
            }
        }
    }

    fn turn(self: &Rc<Self>, key: &Rc<Key>, was_woken: bool, fresh: bool) -> Turn {
        let mut hosts = self.hosts.borrow_mut();
        let host = hosts.entry(Rc::clone(key)).or_default();
        if let Some(lease) = host.share() {
            return Turn::Use(lease);
        }
        if host.waiting > 0 && !was_woken {
            return Turn::Wait;
        }
        let now = running_loop().time();
        let mut dropped = Vec::new();
        if !fresh {
            while let Some(idle) = host.idle.pop() {
                if idle.is_usable(now, self.limits.idle) {
                    drop(hosts);
                    return Turn::Use(idle.into_lease());
                }
                dropped.push(idle);
            }
        }
        let is_asking = host.is_asking() && self.connector.asks_version(key);
        let has_room = host.open - dropped.len() < self.limits.per_host && !is_asking;
        if has_room && self.open.get() - dropped.len() >= self.limits.total {
            // Closes an idle connection of another host to make room.
            let oldest = hosts.values_mut().filter(|host| !host.idle.is_empty());
            let oldest = oldest.min_by_key(|host| host.idle[0].since);
            dropped.extend(oldest.map(|host| host.idle.remove(0)));
        }
        let is_full = self.open.get() - dropped.len() >= self.limits.total;
        drop(hosts);
        let was_dropped = !dropped.is_empty();
        drop(dropped);
        if has_room && !is_full {
            return Turn::Open(Slot::new(self, key));
        }
        if was_dropped {
            self.wake_next();
        }
        Turn::Wait
    }

    async fn open(self: &Rc<Self>, slot: Slot) -> Result<Lease, ClientError> {
        let opening = Opening::new(self, slot.key());
        let opened = self.connector.open(slot.key()).await.map_err(ClientError::connect)?;
        let is_http2 = opened.is_http2;
        let lease = Lease::start(opened, slot).await;
        opening.end(is_http2);
        let lease = lease?;
        if let Some(shared) = lease.shared() {
            self.with_host(lease.key(), |host| host.shared = Some(shared));
            self.plan_sweep();
        }
        self.wake_next();
        Ok(lease)
    }

    fn with_host<R>(&self, key: &Rc<Key>, change: impl FnOnce(&mut Host) -> R) -> R {
        change(self.hosts.borrow_mut().entry(Rc::clone(key)).or_default())
    }

    /// Keeps a connection for the next request.
    fn keep(self: &Rc<Self>, idle: Idle) {
        if self.is_closed.get() {
            return;
        }
        let key = Rc::clone(idle.key());
        self.with_host(&key, |host| host.idle.push(idle));
        self.wake_next();
        self.plan_sweep();
    }

    /// Wakes the first waiting request that can continue.
    fn wake_next(&self) {
        let mut waiters = self.waiters.borrow_mut();
        let hosts = self.hosts.borrow();
        let is_full =
            self.open.get() >= self.limits.total && hosts.values().all(|host| host.idle.is_empty());
        let could = |waiter: &Rc<Waiter>| {
            hosts.get(&waiter.key).is_none_or(|host| {
                let is_asking = host.is_asking() && self.connector.asks_version(&waiter.key);
                host.has_idle() || (!is_full && !is_asking && host.open < self.limits.per_host)
            })
        };
        let Some(place) = waiters.iter().position(could) else { return };
        let waiter = waiters.remove(place);
        drop((waiters, hosts));
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Wakes all requests that wait for a host.
    fn wake_all(&self, key: &Key) {
        let woken: VecDeque<_> = {
            let mut waiters = self.waiters.borrow_mut();
            let (woken, left) =
                std::mem::take(&mut *waiters).into_iter().partition(|waiter| *waiter.key == *key);
            *waiters = left;
            woken
        };
        woken.iter().for_each(|waiter: &Rc<Waiter>| waiter.wake());
    }

    /// Closes each connection when it has been idle for too long.
    fn plan_sweep(self: &Rc<Self>) {
        if self.sweep.borrow().is_some() {
            return;
        }
        let me = self.me.clone();
        let sweep = running_loop().call_later(self.limits.idle, move || {
            if let Some(pool) = me.upgrade() {
                pool.sweep();
            }
        });
        *self.sweep.borrow_mut() = Some(sweep);
    }

    fn sweep(self: &Rc<Self>) {
        self.sweep.replace(None);
        let now = running_loop().time();
        let (mut dropped, mut ended, mut is_used) = (Vec::new(), Vec::new(), false);
        for host in self.hosts.borrow_mut().values_mut() {
            dropped.extend(host.take_unusable(now, self.limits.idle));
            ended.extend(host.shared.take_if(|shared| !shared.is_usable(now, self.limits.idle)));
            is_used |= !host.idle.is_empty() || host.shared.is_some();
        }
        drop((dropped, ended));
        self.hosts.borrow_mut().retain(|_, host| !host.is_unused());
        if is_used {
            self.plan_sweep();
        }
    }

    /// Closes idle connections now, and the others when their requests are done.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        if let Some(sweep) = self.sweep.take() {
            sweep.cancel();
        }
        let hosts = std::mem::take(&mut *self.hosts.borrow_mut());
        drop(hosts);
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        waiters.iter().for_each(|waiter| waiter.wake());
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(sweep) = self.sweep.take() {
            sweep.cancel();
        }
    }
}

/// A connection that is being opened.
struct Opening<'a> {
    pool: &'a Rc<Pool>,
    key: Rc<Key>,
    is_over: bool,
}

impl<'a> Opening<'a> {
    fn new(pool: &'a Rc<Pool>, key: &Rc<Key>) -> Self {
        pool.with_host(key, |host| host.opening += 1);
        Self { pool, key: Rc::clone(key), is_over: false }
    }

    fn end(mut self, is_http2: bool) {
        let version = if is_http2 { Version::Http2 } else { Version::Http1 };
        let was_unknown = self
            .pool
            .with_host(&self.key, |host| std::mem::replace(&mut host.version, version) != version);
        self.stop(was_unknown);
    }

    fn stop(&mut self, wake_all: bool) {
        self.is_over = true;
        self.pool.with_host(&self.key, |host| host.opening = host.opening.saturating_sub(1));
        if wake_all {
            self.pool.wake_all(&self.key);
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // Requests that waited for the host's protocol version may now open a connection
            // themselves.
            self.stop(self.pool.connector.asks_version(&self.key));
        }
    }
}
