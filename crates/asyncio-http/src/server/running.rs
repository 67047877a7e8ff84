//! [`HttpServer`]: a running server.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::machinery::at_await;
use asyncio_loop::{Signal, Signals};
use asyncio_net::{Address, Server};
use asyncio_sync::Event;
use asyncio_task::{Outcome, Task, TaskOptions, create_task_with, finally, gather};

use super::Site;
use super::hooks::Hooks;
use super::workers::Workers;

/// The hooks for the end of a server.
#[derive(Default)]
pub(crate) struct Ending {
    pub(crate) shutdown: Hooks,
    pub(crate) cleanup: Hooks,
}

/// An HTTP server. [`serve`](crate::serve()) starts it.
///
/// Clones refer to the same server. After all of them are dropped, the server keeps serving while
/// the loop runs.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_http::{App, serve};
///
/// asyncio_task::run(async {
///     let server = serve("127.0.0.1:0", App::new().get("/", async || "hello")).await?;
///     println!("http://{}/", server.local_addr()?);
///     server.shutdown(Duration::from_secs(5)).await;
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct HttpServer(Rc<Inner>);

struct Inner {
    servers: Vec<Server>,
    site: Rc<Site>,
    /// The task that shuts down takes it.
    rest: RefCell<Option<Rest>>,
    is_over: Event,
    grace: Duration,
}

struct Rest {
    ending: Ending,
    /// Keeps the threads while the loop runs.
    workers: Option<Task<Workers>>,
    stop: Rc<Event>,
}

impl HttpServer {
    pub(super) fn new(
        servers: Vec<Server>,
        site: Rc<Site>,
        workers: Option<Workers>,
        ending: Ending,
        grace: Duration,
    ) -> Self {
        let stop = Rc::new(Event::new());
        let keep = |workers| {
            let stop = Rc::clone(&stop);
            let keep = async move {
                stop.wait().await;
                workers
            };
            create_task_with(keep, TaskOptions::new().hidden())
        };
        let workers = workers.map(keep);
        let rest = RefCell::new(Some(Rest { ending, workers, stop }));
        Self(Rc::new(Inner { servers, site, rest, is_over: Event::new(), grace }))
    }

    /// The host and port that it listens on; the first one if there are several.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) after the server was closed, and if it listens
    /// on no internet address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let inet = self.addresses().iter().find_map(Address::as_inet);
        inet.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The addresses that it listens on; none after it was closed.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.0.servers.iter().flat_map(Server::addresses).collect()
    }

    /// How many connections are open on this loop.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.0.servers.iter().map(Server::client_count).sum()
    }

    /// Ends the server. The server stops listening, runs the hooks of `on_shutdown`, closes idle
    /// connections, waits up to `grace` for the requests in flight, cancels the remaining requests
    /// and waits for their cleanup, and runs the hooks of `on_cleanup`.
    ///
    /// If another call has begun the shutdown, this one waits for its end.
    ///
    /// # Cancel safety
    ///
    /// A task of its own shuts the server down. Dropping this future only stops waiting for it.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn shutdown(&self, grace: Duration) -> impl Future<Output = ()> {
        at_await(async move {
            let rest = self.0.rest.borrow_mut().take();
            if let Some(rest) = rest {
                self.0.servers.iter().for_each(Server::close);
                let inner = Rc::clone(&self.0);
                let end = async move { inner.end(rest, grace).await };
                // Dropping the handle detaches it.
                drop(create_task_with(end, TaskOptions::new().name("shutdown of an HTTP server")));
            }
            self.0.is_over.wait().await;
        })
    }

    /// Serves until another task shuts the server down.
    ///
    /// # Cancel safety
    ///
    /// *Cancelling* it, for instance by Ctrl-C, shuts the server down within
    /// [`shutdown_grace`](super::Serve::shutdown_grace). *Dropping* it leaves the server running.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_http::{App, serve};
    /// use asyncio_task::timeout;
    ///
    /// asyncio_task::run(async {
    ///     let server = serve("127.0.0.1:0", App::new()).await?;
    ///     assert!(timeout(Duration::from_millis(1), server.serve_forever()).await.is_err());
    ///     assert!(server.local_addr().is_err(), "it is closed");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn serve_forever(&self) -> impl Future<Output = ()> {
        at_await(async move {
            finally(self.0.is_over.wait(), async |outcome: Outcome<'_, ()>| {
                if outcome.is_cancelled() {
                    self.shutdown(self.0.grace).await;
                }
            })
            .await;
        })
    }

    /// Serves until the process gets SIGTERM or SIGINT (Ctrl-C), and then shuts the server down
    /// within [`shutdown_grace`](super::Serve::shutdown_grace). Usually the last line of `main`.
    ///
    /// # Errors
    ///
    /// If the signal handlers cannot be installed. The server keeps running then.
    ///
    /// # Cancel safety
    ///
    /// As [`serve_forever`](Self::serve_forever).
    ///
    /// # From aiohttp
    ///
    /// The end of `web.run_app`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use asyncio_http::{App, serve};
    ///
    /// asyncio_task::run(async {
    ///     let app = App::new().get("/", async || "hello");
    ///     serve("127.0.0.1:8080", app).await?.until_signal().await
    /// }).unwrap();
    /// ```
    pub fn until_signal(&self) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            let mut signals = Signals::new([Signal::TERM, Signal::INT])?;
            finally(signals.next(), async |_: Outcome<'_, Signal>| {
                self.shutdown(self.0.grace).await;
            })
            .await;
            Ok(())
        })
    }
}

impl Inner {
    async fn end(&self, rest: Rest, grace: Duration) {
        // This also holds if the task is cancelled at the end of the loop.
        struct Over<'a>(&'a Event);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.set();
            }
        }
        let _over = Over(&self.is_over);
        rest.ending.shutdown.run_all("on_shutdown").await;
        self.site.close();
        rest.stop.set();
        let workers = async {
            if let Some(workers) = rest.workers {
                if let Ok(workers) = workers.await {
                    workers.shutdown(grace).await;
                }
            }
        };
        let servers = gather(self.servers.iter().map(|server| server.shutdown(grace)));
        gather((workers, servers)).await;
        self.site.requests().wait_idle().await;
        rest.ending.cleanup.run_all("on_cleanup").await;
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer")
            .field("addresses", &self.addresses())
            .field("clients", &self.client_count())
            .finish_non_exhaustive()
    }
}
