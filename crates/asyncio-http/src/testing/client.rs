//! [`TestClient`].

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use asyncio_loop::machinery::at_await;
use asyncio_net::JoinedStream;
use asyncio_task::{TaskOptions, create_task_with};

use super::pipe;
use crate::client::{ClientSession, ClientSessionBuilder};
use crate::server::{Serve, Site, serve_nothing};
use crate::service::IntoService;

/// A client of a service, without sockets: requests and answers are passed in memory, as the bytes
/// that a socket would carry.
///
/// It is a [`ClientSession`] whose URLs may begin with the path, and whose requests all go to the
/// service, regardless of their host. No task waits for the operating system, so a virtual clock is
/// exact.
///
/// # From aiohttp
///
/// `aiohttp.test_utils.TestClient`, which uses a port.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_http::App;
/// use asyncio_http::testing::TestClient;
/// use asyncio_task::{Runner, sleep};
///
/// // The minute passes at once.
/// Runner::builder().virtual_time(true).run(async {
///     let app = App::new().get("/slow", async || {
///         sleep(Duration::from_secs(60)).await;
///         "done"
///     });
///     let client = TestClient::new(app);
///     assert_eq!(client.get("/slow").await?.text().await?, "done");
///     let hasty = client.get("/slow").timeout(Duration::from_secs(30)).await;
///     assert!(hasty.unwrap_err().is_timeout());
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct TestClient {
    session: ClientSession,
    site: Rc<Site>,
}

impl TestClient {
    /// A client of `service`, which is anything that [`serve`](crate::serve()) accepts.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    pub fn new<K>(service: impl IntoService<K>) -> Self {
        Self::of(serve_nothing(service.into_service()))
    }

    /// A client of a server with options. The server's addresses, loops and hooks are ignored.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_http::{App, serve};
    /// use asyncio_http::testing::TestClient;
    /// use asyncio_task::Runner;
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let serve = serve("127.0.0.1:0", App::new()).header_timeout(Duration::from_secs(5));
    ///     let mut stream = TestClient::of(serve).connect();
    ///     // Five seconds later the server gives up.
    ///     assert_eq!(stream.reader().read(1).await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn of<S: 'static>(serve: Serve<S>) -> Self {
        Self::open(serve, |session| session)
    }

    /// A client whose session has other options.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread, or if the options are malformed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_http::App;
    /// use asyncio_http::testing::TestClient;
    ///
    /// asyncio_task::run(async {
    ///     let client = TestClient::with_session(App::new(), |session| {
    ///         session.raise_for_status(true)
    ///     });
    ///     assert!(client.get("/").await.is_err());
    /// });
    /// ```
    pub fn with_session<K>(
        service: impl IntoService<K>,
        options: impl FnOnce(ClientSessionBuilder) -> ClientSessionBuilder,
    ) -> Self {
        Self::open(serve_nothing(service.into_service()), options)
    }

    fn open<S: 'static>(
        serve: Serve<S>,
        options: impl FnOnce(ClientSessionBuilder) -> ClientSessionBuilder,
    ) -> Self {
        let site = Rc::new(serve.into_site());
        let session = options(ClientSession::builder().base_url("http://test.invalid/"))
            .connect_by({
                let site = Rc::clone(&site);
                move || open(&site)
            })
            .build()
            .unwrap_or_else(|error| panic!("the options of a test client: {error}"));
        Self { session, site }
    }

    /// The session of the requests.
    #[must_use]
    pub fn session(&self) -> &ClientSession {
        &self.session
    }

    /// A new connection to the server, to send arbitrary bytes.
    #[must_use]
    pub fn connect(&self) -> JoinedStream {
        open(&self.site)
    }

    /// Ends the server as [`HttpServer::shutdown`](crate::HttpServer::shutdown) does, and waits
    /// until its requests have ended.
    pub fn shutdown(&self) -> impl Future<Output = ()> {
        at_await(async move {
            self.site.close();
            self.site.requests().wait_idle().await;
        })
    }
}

/// A connection to the server, which a task of its own serves.
fn open(site: &Rc<Site>) -> JoinedStream {
    let (near, far) = pipe::pair();
    let site = Rc::clone(site);
    let serving = async move {
        let (reader, writer) = far;
        if let Err(error) = site.serve(reader, writer).await {
            let context = asyncio_loop::ErrorContext::new("a connection failed").with_error(error);
            asyncio_task::running_loop().report(&context);
        }
    };
    drop(create_task_with(serving, TaskOptions::new().hidden()));
    near.0.join(near.1)
}

impl Deref for TestClient {
    type Target = ClientSession;

    fn deref(&self) -> &ClientSession {
        &self.session
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").finish_non_exhaustive()
    }
}
