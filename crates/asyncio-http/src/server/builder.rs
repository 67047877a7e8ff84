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

/// Serves HTTP/1 and HTTP/2 on `address`. The service is an [`App`](crate::App), an axum `Router`,
/// any service of tower or hyper, or an async function.
///
/// `address` is anything that [`start_server`](asyncio_net::start_server) accepts:
/// `"127.0.0.1:8080"`, `("localhost", 8080)`, a listening socket, `ServerAddress::unix(path)`.
///
/// Each request is a task of its own, with a copy of the server's context. If the client
/// disconnects, the task is cancelled, and its cleanup (`finally`) runs. If a handler panics or
/// fails, the failure is reported to the loop's exception handler, and the client gets an answer
/// with status 500.
///
/// # Errors
///
/// If the address cannot be resolved or bound, or a hook of [`on_startup`](Serve::on_startup)
/// fails.
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

/// Serves the connections that are passed to it.
pub(crate) fn serve_nothing(service: Service) -> Serve<Service> {
    serve(ServerAddress::nothing(), service)
}

/// An HTTP server that starts when it is awaited. [`serve`] returns it.
///
/// # Cancel safety
///
/// Dropping the future before it is done closes the sockets that listen already.
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

/// Creates the service of another loop, on its thread.
pub(crate) type MakeService = Box<dyn FnOnce() -> Service + Send>;

impl<S> Serve<S> {
    /// Listens on this address as well.
    pub fn bind(mut self, address: impl Into<ServerAddress>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// How many connections may wait to be accepted. The default is 100.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(connections);
        self
    }

    /// Whether other processes may listen on the same port. The default is false.
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.reuse_port = yes;
        self
    }

    /// Serves on `count` loops: this one, and others on threads of their own. The loops get
    /// connections in turn. Every loop has a clone of the service. The default is 1.
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

    /// Serves HTTPS. The server offers HTTP/2 and HTTP/1.1 by ALPN, unless `tls` has protocols of
    /// its own.
    ///
    /// A failed handshake is logged at debug level. With the feature `tls`.
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

    /// How long the headers of a request may take to arrive, from their first byte on; for the
    /// first request, from the start of the connection. Then the connection is closed. The default
    /// is 30 s.
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.limits.header_timeout = limit;
        self
    }

    /// How long an idle connection is kept for the next request. The default is 75 s.
    pub fn keep_alive_timeout(mut self, limit: Duration) -> Self {
        self.limits.keep_alive_timeout = limit;
        self
    }

    /// How many bytes the headers of a request may have; more are refused with status 431. The
    /// default is 64 KiB, and the minimum is 8 KiB.
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

    /// How long a handler waits for the next piece of a request's body. Then reading the body
    /// fails, and if the handler returns that error, its client gets status 408. The default is
    /// 60 s, as for nginx's `client_body_timeout`.
    ///
    /// The limit applies only while the handler reads. A service of hyper takes hyper's body, which
    /// has no limit.
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.limits.body_timeout = limit;
        self
    }

    /// How long a client may accept no bytes of its answer while there are some to send. Then the
    /// connection is closed, and its requests are cancelled. The server notices this after twice
    /// the limit at the latest. The default is 60 s, as for nginx's `send_timeout`.
    pub fn send_timeout(mut self, limit: Duration) -> Self {
        self.limits.send_timeout = limit;
        self
    }

    /// How many bytes the body of a request may have. If the headers announce more, the request is
    /// refused with status 413 without calling the handler. Otherwise reading the body fails at the
    /// limit. The default is no limit, but extractors have a limit of [their
    /// own](crate::App::max_body).
    ///
    /// A service of hyper takes hyper's body, for which the server checks only the announced
    /// length.
    ///
    /// # From aiohttp
    ///
    /// `client_max_size`.
    pub fn max_body_size(mut self, bytes: usize) -> Self {
        self.limits.max_body_size = bytes;
        self
    }

    /// How many connections may be open at once. At the limit, the server accepts no more until one
    /// of them ends; new connections wait in the [`backlog`](Self::backlog). With several
    /// [`loops`](Self::loops), further connections are accepted and closed immediately. The default
    /// is no limit.
    ///
    /// # Panics
    ///
    /// If `count` is zero.
    pub fn max_connections(mut self, count: usize) -> Self {
        assert!(count > 0, "a server needs a connection");
        self.max_connections = Some(count);
        self
    }

    /// How many requests may be in flight on one HTTP/2 connection. The default is 200.
    pub fn max_streams(mut self, count: u32) -> Self {
        self.limits.max_streams = count;
        self
    }

    /// Whether an HTTP/1 client may shut down its sending direction after its request and still get
    /// the answer. By default the server treats that as a disconnect.
    pub fn half_close(mut self, yes: bool) -> Self {
        self.limits.half_close = yes;
        self
    }

    /// How long requests may take to finish after [`HttpServer::serve_forever`] or
    /// [`HttpServer::until_signal`] ends. The default is 60 s, as in aiohttp.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Adds a hook that runs before the server listens. If it fails, the server does not start.
    pub fn on_startup<H, R>(mut self, hook: H) -> Self
    where
        H: AsyncFnOnce() -> R + 'static,
        R: HandlerResult,
    {
        self.startup.add(hook);
        self
    }

    /// Adds a hook that runs when the server shuts down, after it has stopped listening and before
    /// it waits for its requests. End web sockets and other long answers here.
    pub fn on_shutdown<H, R>(mut self, hook: H) -> Self
    where
        H: AsyncFnOnce() -> R + 'static,
        R: HandlerResult,
    {
        self.ending.shutdown.add(hook);
        self
    }

    /// Adds a hook that runs when the last request has ended. Close database pools here.
    pub fn on_cleanup<H, R>(mut self, hook: H) -> Self
    where
        H: AsyncFnOnce() -> R + 'static,
        R: HandlerResult,
    {
        self.ending.cleanup.add(hook);
        self
    }

    /// The site that serves the connections of one loop.
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

/// The options that the sites of all loops share.
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

/// Passes connections to the loops in turn. Closes connections beyond the limit.
fn hand_over(intakes: Vec<Intake>, limit: Option<usize>) -> impl FnMut(ConnectedSocket) {
    let mut by_turns = round_robin(intakes.clone());
    move |socket| {
        let open = || intakes.iter().map(Intake::client_count).sum::<usize>();
        if limit.is_none_or(|limit| open() < limit) {
            by_turns(socket);
        }
    }
}

/// Closes the started parts if another part fails to start.
struct Started(Vec<Server>);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.iter().for_each(Server::close);
    }
}

/// Boxed, so that futures that await it stay small.
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
