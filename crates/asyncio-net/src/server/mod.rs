//! Listening servers.

mod accept;
mod acceptor;
mod address;
mod bind;
mod builder;
mod create;
mod entering;
mod intake;
mod options;
mod serve;
mod shared;
mod simulated;
mod unix;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_task::{Outcome, finally, sleep};
use socket2::{SockRef, Socket};

pub use self::acceptor::{create_acceptor, round_robin};
pub use self::address::ServerAddress;
pub use self::builder::StartServer;
pub use self::create::{create_buffered_server, create_server};
pub use self::intake::Intake;
pub use self::serve::{HandlerResult, start_server};

pub(crate) use self::shared::{Serve, Shared};
use crate::address::Address;
use crate::waiters::Waiting;
use asyncio_loop::machinery::at_await;

/// The handle of a server: its listening sockets, and the connections that they accepted.
///
/// Clones are handles to the same server. A server whose handles are all dropped goes on serving
/// for as long as the loop runs.
///
/// # Examples
///
/// ```
/// use asyncio_net::{StreamReader, open_connection, start_server};
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |mut reader: StreamReader, _writer| {
///         // The writer is kept: this client stays until it, or the server, ends it.
///         reader.read_to_end().await
///     })
///     .await?;
///     let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
///     while server.client_count() == 0 {
///         asyncio_task::yield_now().await;
///     }
///     server.close(); // no more are accepted
///     server.close_clients();
///     server.wait_closed().await;
///     assert_eq!(server.client_count(), 0);
///     assert_eq!(reader.read(1).await?, "");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct Server(Rc<Shared>);

/// How long a `serve_forever` that is cancelled waits for connections. A runner waits as long for
/// tasks that it has cancelled.
const GRACE: Duration = Duration::from_secs(10);

impl Server {
    /// Starts to accept. Does nothing if the server accepts already, or is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).start_serving(false).await?;
    ///     assert!(!server.is_serving());
    ///     server.start_serving();
    ///     assert!(server.is_serving());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn start_serving(&self) {
        Shared::start(&self.0);
    }

    /// Serves until the server is closed, and then until its last connection is gone.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the server is closed already, and
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while another task is in `serve_forever`.
    ///
    /// # Cancel safety
    ///
    /// *Cancelling* it, for example by a timeout or Ctrl-C, closes the server, gives its
    /// connections 10 seconds to end, and then cancels the remaining handlers and aborts the
    /// remaining connections. Call [`shutdown`](Self::shutdown) before for another limit.
    /// *Dropping* it closes the server without waiting.
    ///
    /// # From asyncio
    ///
    /// When other code closes the server, this returns `Ok`; asyncio's ends cancelled. When it is
    /// cancelled, asyncio's waits for the last connection without limit, so that an idle client
    /// keeps the program from ending (cpython#123720).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_net::start_server;
    /// use asyncio_task::timeout;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_reader, _writer| ()).await?;
    ///     assert!(timeout(Duration::from_millis(1), server.serve_forever()).await.is_err());
    ///     assert!(!server.is_serving());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn serve_forever(&self) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            struct Close<'a>(&'a Server);
            impl Drop for Close<'_> {
                fn drop(&mut self) {
                    self.0.close();
                }
            }
            if self.0.is_closed() {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the server is closed"));
            }
            if self.0.begin_forever() {
                let text = "the server is in serve_forever already";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
            self.start_serving();
            let close = Close(self);
            let end = async |_: Outcome<'_, ()>| {
                drop(close);
                self.shutdown(GRACE).await;
            };
            finally(self.wait_closed(), end).await;
            Ok(())
        })
    }

    /// Whether the server accepts.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     assert!(server.is_serving());
    ///     server.close();
    ///     assert!(!server.is_serving());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn is_serving(&self) -> bool {
        self.0.is_serving()
    }

    /// Stops listening, at once. Open connections go on.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let address = server.local_addr()?;
    ///     server.close();
    ///     assert!(open_connection(address).await.is_err());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn close(&self) {
        self.0.close();
    }

    /// Closes all open connections, after queued bytes have been sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |mut reader, writer| {
    ///         writer.write(b"hello");
    ///         reader.read_to_end().await
    ///     })
    ///     .await?;
    ///     let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
    ///     assert_eq!(reader.read(5).await?, "hello");
    ///     server.close_clients();
    ///     assert_eq!(reader.read(1).await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn close_clients(&self) {
        self.0.cancel_entering();
        for client in self.0.clients() {
            client.uppermost().close();
        }
    }

    /// Ends all open connections at once; bytes that were not sent are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let handler = async |mut reader: StreamReader, writer: StreamWriter| {
    ///         writer.write(&[0; 10_000_000]); // nobody reads so much
    ///         reader.read_to_end().await
    ///     };
    ///     let server = start_server("127.0.0.1:0", handler).await?;
    ///     let _client = open_connection(server.local_addr()?).await?;
    ///     while server.client_count() == 0 {
    ///         asyncio_task::yield_now().await;
    ///     }
    ///     server.close();
    ///     server.abort_clients();
    ///     server.wait_closed().await;
    ///     assert_eq!(server.client_count(), 0);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn abort_clients(&self) {
        self.0.cancel_entering();
        for client in self.0.clients() {
            client.uppermost().abort();
        }
    }

    /// Waits until the server is closed and its connections are gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the server.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     server.close();
    ///     server.wait_closed().await;
    ///     assert_eq!(server.client_count(), 0);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn wait_closed(&self) -> impl Future<Output = ()> {
        at_await(async move {
            let waiting = Waiting::new(&*self.0);
            poll_fn(|cx| self.0.poll_over(cx, waiting.place())).await;
        })
    }

    /// Ends the server in an orderly way: stops listening, gives clients the time `grace` to
    /// finish, and then cancels the remaining handlers and aborts the remaining connections.
    /// Returns when all are gone.
    ///
    /// Within `grace`, this also waits for clients that still send although their connection was
    /// closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the server closed, and its clients as they are.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_net::{StreamReader, open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let handler = async |mut reader: StreamReader, _writer| reader.read(1).await;
    ///     let server = start_server("127.0.0.1:0", handler).await?;
    ///     let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
    ///     server.shutdown(Duration::from_millis(1)).await;
    ///     assert_eq!(reader.read(1).await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn shutdown(&self, grace: Duration) -> impl Future<Output = ()> {
        at_await(async move {
            self.close();
            let mut grace = pin!(sleep(grace));
            let waiting = Waiting::new(&*self.0);
            let is_idle = poll_fn(|cx| match self.0.poll_idle(cx, waiting.place()) {
                Poll::Pending => grace.as_mut().poll(cx).map(|()| false),
                Poll::Ready(()) => Poll::Ready(true),
            });
            if is_idle.await {
                return;
            }
            self.0.cancel_handlers();
            self.abort_clients();
            self.0.network().close_lingering(&*self.0);
            poll_fn(|cx| self.0.poll_idle(cx, waiting.place())).await;
        })
    }

    /// The addresses that the server listens on; none once it is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{Endpoint, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let hosts = Endpoint::hosts(["127.0.0.1", "127.0.0.2"], 0);
    ///     let server = start_server(hosts, async |_, _| ()).await?;
    ///     assert_eq!(server.addresses().len(), 2);
    ///     assert_eq!(server.addresses()[0].as_inet(), server.local_addr().ok());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn addresses(&self) -> Vec<Address> {
        self.0.listeners().iter().map(|listener| listener.address()).collect()
    }

    /// The host and port that the server listens on; the first one if there are several.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) once the server is closed, and for a server
    /// that has no internet socket.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     assert_ne!(server.local_addr()?.port(), 0);
    ///     server.close();
    ///     assert!(server.local_addr().is_err());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let addresses = self.addresses();
        let first = addresses.iter().find(|address| address.as_inet().is_some());
        first.unwrap_or(&Address::Unnamed).to_inet()
    }

    /// Calls `look` with each listening socket, for example to set options.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let mut count = 0;
    ///     server.with_sockets(|socket| {
    ///         assert!(socket.is_listener().unwrap());
    ///         count += 1;
    ///     });
    ///     assert_eq!(count, 1);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "sockets")]
    pub fn with_sockets(&self, mut look: impl FnMut(SockRef<'_>)) {
        for listener in self.0.listeners() {
            listener.with_fd(&mut |fd| look(SockRef::from(&fd)));
        }
    }

    /// Closes the server as [`close`](Self::close) does, but returns its sockets, which go on
    /// listening, and leaves their files: to serve them on another loop, or to hand them to the
    /// next program. Clients that connect meanwhile wait.
    ///
    /// The sockets are non-blocking, and can be passed to [`create_server`] as a `TcpListener` or
    /// `UnixListener`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let handler = async |_, writer: asyncio_net::StreamWriter| writer.write("first");
    ///     let first = start_server("127.0.0.1:0", handler).await?;
    ///     let address = first.local_addr()?;
    ///     let sockets = first.into_sockets();
    ///     let (mut reader, _writer) = open_connection(address).await?;
    ///
    ///     let listener = sockets.into_iter().map(TcpListener::from).next().unwrap();
    ///     let _second = start_server(listener, async |_, writer| writer.write(b"second")).await?;
    ///     assert_eq!(reader.read_to_end().await?, "second");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn into_sockets(self) -> Vec<Socket> {
        let listeners = self.0.take_listeners();
        let sockets =
            listeners.iter().filter_map(|listener| listener.take_fd()).map(Socket::from).collect();
        self.close();
        sockets
    }

    /// Returns the queue by which other threads hand sockets to this server, which serves them like
    /// those that it accepts itself.
    ///
    /// A server without other clients listens on [`ServerAddress::nothing`]. Sockets that are
    /// handed over before [`start_serving`](Self::start_serving) wait. Sockets that were not taken
    /// when the server or its loop is closed are closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{ServerAddress, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write("hello");
    ///     let server = start_server(ServerAddress::nothing(), hello).await?;
    ///     let intake = server.intake();
    ///     let client = std::thread::spawn(move || {
    ///         let (mut ours, theirs) = UnixStream::pair()?;
    ///         intake.hand_over(theirs).expect("it serves");
    ///         let mut answer = String::new();
    ///         ours.read_to_string(&mut answer).map(|_| answer)
    ///     });
    ///     let answer = asyncio_task::to_thread(|| client.join().unwrap()).await.unwrap()?;
    ///     assert_eq!(answer, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn intake(&self) -> Intake {
        Shared::intake(&self.0)
    }

    /// The number of open connections.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{StreamReader, open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let handler = async |mut reader: StreamReader, _writer| reader.read_to_end().await;
    ///     let server = start_server("127.0.0.1:0", handler).await?;
    ///     assert_eq!(server.client_count(), 0);
    ///     let _client = open_connection(server.local_addr()?).await?;
    ///     while server.client_count() == 0 {
    ///         asyncio_task::yield_now().await;
    ///     }
    ///     assert_eq!(server.client_count(), 1);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn client_count(&self) -> usize {
        self.0.client_count()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("state", &self.0.state())
            .field("addresses", &self.addresses())
            .field("clients", &self.client_count())
            .finish()
    }
}
