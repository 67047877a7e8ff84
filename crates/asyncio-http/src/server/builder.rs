//! [`serve`] and its options.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::machinery::{AtAwait, at_await};
use asyncio_net::{
    ConnectedSocket, HandlerResult, Intake, Server, ServerAddress, StartServer, StreamReader,
    StreamWriter, create_acceptor, round_robin, start_server,
};

use super::Site;
use super::hooks::Hooks;
use super::limits::Limits;
use super::running::{Ending, HttpServer};
use super::workers::Workers;
use crate::service::{IntoService, Service};

/// Serves HTTP/1 and HTTP/2 on `address`: an [`App`](crate::App), an axum `Router`, any service of
/// tower or hyper, or an async function.
///
/// `address` is whatever [`start_server`](asyncio_net::start_server) takes:
/// `"127.0.0.1:8080"`, `("localhost", 8080)`, a listening socket, `ServerAddress::unix(path)`.
///
/// Each request is a task of its own, with a copy of the server's context. If the client goes away,
/// it is cancelled, and its cleanup (`finally`) runs. A handler that panics or fails is reported to
/// the loop's exception handler, and its client gets a page of status 500.
///
/// # Errors
///
/// When the address cannot be resolved or listened on, or a hook of
/// [`on_startup`](Serve::on_startup) fails.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # From aiohttp
///
/// `web.run_app`, and `AppRunner` with its sites. `on_startup`, `on_shutdown` and `on_cleanup` are
/// methods here.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_http::{ClientSession, serve};
/// use axum::{Router, routing::get};
///
/// asyncio_task::run(async {
///     let router = Router::new().route("/", get(async || "hello"));
///     let server = serve("127.0.0.1:0", router).await?;
///     let session = ClientSession::new();
///     let answer = session.get(format!("http://{}/", server.local_addr()?)).await.unwrap();
///     assert_eq!(answer.text().await.unwrap(), "hello");
///     server.shutdown(Duration::from_secs(5)).await;
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "run_app")]
pub fn serve<S, Kind>(address: impl Into<ServerAddress>, service: S) -> Serve<S>
where
    S: IntoService<Kind>,
{
    Serve {
        addresses: vec![address.into()],
        service,
        into_service: S::into_service,
        limits: Limits::default(),
        backlog: None,
        max_connections: None,
        reuse_port: false,
        grace: Duration::from_secs(60),
        startup: Hooks::default(),
        ending: Ending::default(),
        workers: None,
        #[cfg(feature = "tls")]
        tls: None,
    }
}

/// Serves what is handed to it.
pub(crate) fn serve_nothing(service: Service) -> Serve<Service> {
    serve(ServerAddress::nothing(), service)
}

/// A server of HTTP that listens when it is awaited; [`serve`] gives it.
///
/// # Cancel safety
///
/// Dropped before it is done, it closes what it listens on already.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_http::{App, serve};
///
/// asyncio_task::run(async {
///     let app = App::new().get("/", async || "hello");
///     let server = serve("127.0.0.1:0", app)
///         .bind("127.0.0.1:0")
///         .header_timeout(Duration::from_secs(5))
///         .on_cleanup(async || println!("good bye"))
///         .await?;
///     assert_eq!(server.addresses().len(), 2);
///     server.shutdown(Duration::ZERO).await;
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[must_use = "nothing listens before `.await`"]
pub struct Serve<S> {
    addresses: Vec<ServerAddress>,
    service: S,
    into_service: fn(S) -> Service,
    limits: Limits,
    backlog: Option<u32>,
    max_connections: Option<usize>,
    reuse_port: bool,
    grace: Duration,
    startup: Hooks,
    ending: Ending,
    workers: Option<Vec<MakeService>>,
    #[cfg(feature = "tls")]
    tls: Option<asyncio_tls::TlsServer>,
}

/// Makes the service of another loop, on its thread.
pub(crate) type MakeService = Box<dyn FnOnce() -> Service + Send>;

impl<S> Serve<S> {
    /// Listens on this address, too.
    pub fn bind(mut self, address: impl Into<ServerAddress>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// How many connections may wait to be accepted. The default is 100.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(connections);
        self
    }

    /// Whether other programs may listen on the same port. The default is false.
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.reuse_port = yes;
        self
    }

    /// Serves on `count` loops: this one, and others on threads of their own, which get connections
    /// by turns. Every loop has a clone of the service. The default is 1.
    ///
    /// The hooks run on this loop.
    ///
    /// # Panics
    ///
    /// If `count` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_http::serve;
    /// use axum::{Router, routing::get};
    ///
    /// asyncio_task::run(async {
    ///     let router = Router::new().route("/", get(async || "hello"));
    ///     let server = serve("127.0.0.1:0", router).loops(2).await?;
    ///     server.shutdown(Duration::from_secs(5)).await;
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    ///
    /// An [`App`](crate::App) belongs to one loop:
    ///
    /// ```compile_fail
    /// asyncio_http::serve("127.0.0.1:0", asyncio_http::App::new()).loops(2);
    /// ```
    pub fn loops(mut self, count: usize) -> Self
    where
        S: Clone + Send + 'static,
    {
        assert!(count > 0, "a server needs a loop");
        let into_service = self.into_service;
        let make = |service: S| -> MakeService { Box::new(move || into_service(service)) };
        self.workers = Some((1..count).map(|_| make(self.service.clone())).collect());
        self
    }

    /// Serves HTTPS. HTTP/2 is offered by ALPN, unless `tls` offers something itself.
    ///
    /// A handshake that fails is a line at debug level. With the feature `tls`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use asyncio_http::{App, serve};
    /// use asyncio_tls::TlsServer;
    ///
    /// asyncio_task::run(async {
    ///     let tls = TlsServer::from_pem_files("fullchain.pem", "privkey.pem")?;
    ///     let app = App::new().get("/", async || "hello");
    ///     serve("0.0.0.0:8443", app).tls(&tls).await?.until_signal().await
    /// }).unwrap();
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: &asyncio_tls::TlsServer) -> Self {
        let offers = !tls.config().alpn_protocols.is_empty();
        self.tls = Some(if offers { tls.clone() } else { tls.with_alpn(["h2", "http/1.1"]) });
        self
    }

    /// How long the headers of a request may take to come, counted from the first byte, and for
    /// the first request from the connection on. Then the connection is closed. The default is
    /// 30 s.
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.limits.header_timeout = limit;
        self
    }

    /// How long an idle connection is kept for the next request. The default is 75 s.
    pub fn keep_alive_timeout(mut self, limit: Duration) -> Self {
        self.limits.keep_alive_timeout = limit;
        self
    }

    /// How many bytes the headers of a request may take; more are refused with status 431. The
    /// default is 64 KiB, and 8 KiB are the least.
    pub fn max_header_size(mut self, bytes: usize) -> Self {
        self.limits.max_header_size = bytes;
        self
    }

    /// How many headers a request may have over HTTP/1; more are refused with status 431. The
    /// default is 100.
    pub fn max_headers(mut self, count: usize) -> Self {
        self.limits.max_headers = count;
        self
    }

    /// How long a client may leave a handler waiting for the next piece of a request's body. Then
    /// reading the body fails, and if the handler makes an error of that, its client gets status
    /// 408. The default is 60 s, as nginx's `client_body_timeout`.
    ///
    /// A handler that does not read does not wait. A service of hyper takes hyper's body, which has
    /// no limit.
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.limits.body_timeout = limit;
        self
    }

    /// How long a client may take nothing of its answer while there is more to send. Then the
    /// connection is closed, and its requests are cancelled. The default is 60 s, as nginx's
    /// `send_timeout`. It is noticed after twice that time at the latest.
    pub fn send_timeout(mut self, limit: Duration) -> Self {
        self.limits.send_timeout = limit;
        self
    }

    /// How many bytes the body of a request may have. If its headers say more, it is refused by
    /// status 413, and no handler is asked; else reading it fails at the limit. The default is no
    /// limit, but extractors have one of [their own](crate::App::max_body).
    ///
    /// A service of hyper takes hyper's body, where only what the headers say counts.
    ///
    /// # From aiohttp
    ///
    /// `client_max_size`.
    pub fn max_body_size(mut self, bytes: usize) -> Self {
        self.limits.max_body_size = bytes;
        self
    }

    /// How many connections may be open at once. When there are as many, the server accepts no more
    /// until one of them ends; they wait in the [`backlog`](Self::backlog). With several
    /// [`loops`](Self::loops), further ones are accepted and closed at once. The default is no
    /// limit.
    ///
    /// # Panics
    ///
    /// If `count` is zero.
    pub fn max_connections(mut self, count: usize) -> Self {
        assert!(count > 0, "a server needs a connection");
        self.max_connections = Some(count);
        self
    }

    /// How many requests may be in flight on one connection of HTTP/2. The default is 200.
    pub fn max_streams(mut self, count: u32) -> Self {
        self.limits.max_streams = count;
        self
    }

    /// Whether a client of HTTP/1 may end its direction after its request, and still gets the
    /// answer. By default that looks like a client that has gone.
    pub fn half_close(mut self, yes: bool) -> Self {
        self.limits.half_close = yes;
        self
    }

    /// How long requests may take to finish when [`HttpServer::serve_forever`] or
    /// [`HttpServer::until_signal`] ends. The default is 60 s, as in aiohttp.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs before the server listens. If it fails, the server does not start.
    pub fn on_startup<H, R>(mut self, hook: H) -> Self
    where
        H: AsyncFnOnce() -> R + 'static,
        R: HandlerResult,
    {
        self.startup.add(hook);
        self
    }

    /// Runs when the server shuts down, after it has stopped listening and before it waits for its
    /// requests: the place to end web sockets and other long answers.
    pub fn on_shutdown<H, R>(mut self, hook: H) -> Self
    where
        H: AsyncFnOnce() -> R + 'static,
        R: HandlerResult,
    {
        self.ending.shutdown.add(hook);
        self
    }

    /// Runs when the last request has ended: the place to close pools of databases.
    pub fn on_cleanup<H, R>(mut self, hook: H) -> Self
    where
        H: AsyncFnOnce() -> R + 'static,
        R: HandlerResult,
    {
        self.ending.cleanup.add(hook);
        self
    }

    /// What serves the connections of one loop.
    pub(crate) fn into_site(self) -> Site {
        let options = SiteOptions {
            limits: self.limits,
            #[cfg(feature = "tls")]
            tls: self.tls,
        };
        options.site((self.into_service)(self.service))
    }

    async fn run(self) -> io::Result<HttpServer> {
        self.startup.run().await?;
        let site_options = SiteOptions {
            limits: self.limits,
            #[cfg(feature = "tls")]
            tls: self.tls,
        };
        let site = Rc::new(site_options.site((self.into_service)(self.service)));
        let mut started = Started(Vec::new());
        let options = |start: StartServer| {
            let mut start = start.reuse_port(self.reuse_port);
            if let Some(count) = self.max_connections {
                start = start.max_connections(count);
            }
            match self.backlog {
                Some(connections) => start.backlog(connections),
                None => start,
            }
        };
        let workers = match self.workers {
            Some(services) if !services.is_empty() => {
                Some(Workers::start(services, &site_options).await?)
            }
            _ => None,
        };
        if let Some(workers) = &workers {
            let local = site_options.start(ServerAddress::nothing(), &site).await?;
            let mut intakes = vec![local.intake()];
            intakes.extend(workers.intakes());
            started.0.push(local);
            for address in self.addresses {
                let hand_over = hand_over(intakes.clone(), self.max_connections);
                let acceptor = create_acceptor(address, hand_over);
                started.0.push(options(acceptor).await?);
            }
        } else {
            for address in self.addresses {
                started.0.push(options(site_options.start(address, &site)).await?);
            }
        }
        let servers = std::mem::take(&mut started.0);
        Ok(HttpServer::new(servers, site, workers, self.ending, self.grace))
    }
}

/// What the sites of all loops have in common.
#[derive(Clone)]
pub(crate) struct SiteOptions {
    limits: Limits,
    #[cfg(feature = "tls")]
    tls: Option<asyncio_tls::TlsServer>,
}

impl SiteOptions {
    pub(crate) fn site(&self, service: Service) -> Site {
        Site::new(service, self.limits, self.is_tls())
    }

    fn is_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// A server whose connections are served by `site`.
    pub(crate) fn start(&self, address: ServerAddress, site: &Rc<Site>) -> StartServer {
        let site = Rc::clone(site);
        let start =
            start_server(address, async move |reader: StreamReader, writer: StreamWriter| {
                site.serve(reader, writer).await
            });
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return start.tls(tls);
        }
        start
    }
}

/// Gives connections to loops by turns; those beyond the limit are closed.
fn hand_over(intakes: Vec<Intake>, limit: Option<usize>) -> impl FnMut(ConnectedSocket) {
    let mut by_turns = round_robin(intakes.clone());
    move |socket| {
        let open = || intakes.iter().map(Intake::client_count).sum::<usize>();
        if limit.is_none_or(|limit| open() < limit) {
            by_turns(socket);
        }
    }
}

/// Closes what has started, if the rest does not.
struct Started(Vec<Server>);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.iter().for_each(Server::close);
    }
}

/// Boxed once: whoever awaits it is small.
impl<S: 'static> IntoFuture for Serve<S> {
    type Output = io::Result<HttpServer>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = io::Result<HttpServer>>>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.run()))
    }
}

impl<S> fmt::Debug for Serve<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("addresses", &self.addresses)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
