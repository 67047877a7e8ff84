//! Listening servers.

mod accept;
mod address;
mod bind;
mod elsewhere;
mod intake;
mod options;
mod unix;

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{ErrorContext, LocalWaker};
use asyncio_task::{Outcome, finally, sleep};
use slab::Slab;

pub use self::address::ServerAddress;
pub use self::elsewhere::{create_acceptor, create_acceptor_with, round_robin};
pub use self::intake::Intake;
pub use self::options::ServerOptions;

use self::accept::Listening;
use self::elsewhere::HandOver;
pub(crate) use self::unix::{SocketFile, remove_stale};
use crate::address::Address;
use crate::connection::{CLOSED, Connection, Opened};
use crate::network::Network;
use crate::protocol::{BufferedProtocol, Protocol};
use crate::transport::{Lent, Own, Receiver, ServerPump};

/// Listens on `address` and has a new protocol, made by `factory`, serve each client.
///
/// `address` is an [`Endpoint`](crate::Endpoint) or whatever can be one, or a socket that listens already.
///
/// # Errors
///
/// When the address cannot be resolved or listened on.
///
/// # Panics
///
/// Where no loop runs.
///
/// # From asyncio
///
/// `loop.create_server`. The keyword arguments are [`ServerOptions`], for [`create_server_with`].
///
/// # Examples
///
/// ```
/// use asyncio_net::{Protocol, Transport, create_server, open_connection};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
///
/// asyncio_task::run(async {
///     let server = create_server("127.0.0.1:0", || Echo).await?;
///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_server<P: Protocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
) -> io::Result<Server> {
    create_server_with(address, factory, ServerOptions::new()).await
}

/// [`create_server`] with options.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Examples
///
/// ```
/// # struct Echo;
/// # impl asyncio_net::Protocol for Echo {
/// #     fn data_received(&mut self, transport: &asyncio_net::Transport, data: &[u8]) {
/// #         transport.write(data);
/// #     }
/// # }
/// use asyncio_net::{ServerOptions, create_server_with};
///
/// asyncio_task::run(async {
///     let options = ServerOptions::new().start_serving(false);
///     let server = create_server_with("127.0.0.1:0", || Echo, options).await?;
///     assert!(!server.is_serving());
///     server.start_serving();
///     assert!(server.is_serving());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_server_with<P: Protocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
    options: ServerOptions,
) -> io::Result<Server> {
    listen(address.into(), move || Lent(factory()), options).await
}

/// [`create_server`] for protocols that bring their own buffers.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Examples
///
/// ```
/// # struct Discard([u8; 1024]);
/// # impl asyncio_net::BufferedProtocol for Discard {
/// #     fn get_buffer(&mut self, _: usize) -> &mut [u8] {
/// #         &mut self.0
/// #     }
/// #     fn buffer_updated(&mut self, transport: &asyncio_net::Transport, count: usize) {
/// #         write!(transport, "{count}");
/// #     }
/// # }
/// use asyncio_net::{create_buffered_server, open_connection};
///
/// asyncio_task::run(async {
///     let server = create_buffered_server("127.0.0.1:0", || Discard([0; 1024])).await?;
///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(10).await?, "5");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_buffered_server<P: BufferedProtocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
) -> io::Result<Server> {
    create_buffered_server_with(address, factory, ServerOptions::new()).await
}

/// [`create_buffered_server`] with options.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Examples
///
/// ```
/// # struct Discard([u8; 1024]);
/// # impl asyncio_net::BufferedProtocol for Discard {
/// #     fn get_buffer(&mut self, _: usize) -> &mut [u8] {
/// #         &mut self.0
/// #     }
/// #     fn buffer_updated(&mut self, transport: &asyncio_net::Transport, count: usize) {
/// #         write!(transport, "{count}");
/// #     }
/// # }
/// use asyncio_net::{ServerOptions, create_buffered_server_with};
///
/// asyncio_task::run(async {
///     let options = ServerOptions::new().keep_alive(true);
///     let factory = || Discard([0; 1024]);
///     let server = create_buffered_server_with("127.0.0.1:0", factory, options).await?;
///     assert!(server.is_serving());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_buffered_server_with<P: BufferedProtocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
    options: ServerOptions,
) -> io::Result<Server> {
    listen(address.into(), move || Own(factory()), options).await
}

async fn listen<R: Receiver + 'static>(
    address: ServerAddress,
    factory: impl Fn() -> R + 'static,
    options: ServerOptions,
) -> io::Result<Server> {
    let serve = move |accepted: Accepted| {
        let receiver = match catch_unwind(AssertUnwindSafe(&factory)) {
            Ok(receiver) => Box::new(receiver),
            Err(payload) => return accepted.refuse(&*payload),
        };
        // Refused by a closed loop only.
        let _ = accepted.opened.connection.start(receiver);
    };
    Server::listen(address, options, Serve::Here(Box::new(serve))).await
}

/// A server: its listening sockets and the connections they accepted.
///
/// Clones are the same server. Dropping all of them leaves it serving, for as long as the loop runs.
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

/// What is done with a new connection.
pub(crate) enum Serve {
    Here(Box<dyn Fn(Accepted)>),
    Elsewhere(HandOver),
}

/// A new connection and where it comes from.
pub(crate) struct Accepted {
    pub(crate) opened: Opened,
    pub(crate) server: Rc<Shared>,
}

impl Accepted {
    /// The protocol's factory panicked: the connection is closed, the server goes on.
    fn refuse(self, payload: &(dyn Any + Send)) {
        let event_loop = self.server.network.event_loop();
        if event_loop.is_debug() {
            let context = ErrorContext::new("the factory of a server's protocol failed");
            let peer = self.opened.connection.io().peer_address();
            event_loop.report(&context.with_panic(payload).field("peer", peer));
        }
        self.opened.connection.abort();
    }
}

pub(crate) struct Shared {
    network: Rc<Network>,
    options: ServerOptions,
    serve: Serve,
    listeners: RefCell<Vec<Rc<dyn Listening>>>,
    /// Made when it is asked for.
    intake: OnceCell<Intake>,
    /// By their number: those that are open, and those whose handler has not ended.
    clients: RefCell<Slab<Client>>,
    /// How many of them have an open connection.
    open: Cell<usize>,
    pump: ServerPump,
    state: Cell<State>,
    /// Who waits for the end of the server, or of its handlers.
    waiters: RefCell<Vec<LocalWaker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Bound,
    Serving,
    Closed,
}

/// A connection that was accepted.
enum Client {
    /// It is kept by its handler, or whomever that gave it to.
    Stream(Weak<Connection>),
    /// It is kept for its protocol.
    Protocol(Rc<Connection>),
}

impl Client {
    fn connection(&self) -> Option<Rc<Connection>> {
        match self {
            Self::Stream(connection) => connection.upgrade(),
            Self::Protocol(connection) => Some(connection.clone()),
        }
    }
}

impl Server {
    /// Binds, and starts to serve if the options say so.
    pub(crate) async fn listen(
        address: ServerAddress,
        options: ServerOptions,
        serve: Serve,
    ) -> io::Result<Self> {
        let network = Network::running();
        let listeners = address.listen(&network, &options).await?;
        let server = Self(Rc::new(Shared {
            network,
            options,
            serve,
            listeners: RefCell::new(listeners),
            intake: OnceCell::new(),
            clients: RefCell::default(),
            open: Cell::new(0),
            pump: ServerPump::default(),
            state: Cell::new(State::Bound),
            waiters: RefCell::default(),
        }));
        if server.0.options.start_serving {
            server.start_serving();
        }
        Ok(server)
    }

    /// Starts to accept. Does nothing if it does already, or is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ServerOptions::new().start_serving(false);
    ///     let server = start_server_with("127.0.0.1:0", async |_, _| (), options).await?;
    ///     assert!(!server.is_serving());
    ///     server.start_serving();
    ///     assert!(server.is_serving());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn start_serving(&self) {
        if self.0.state.get() == State::Bound {
            self.0.state.set(State::Serving);
            // A loop that is closed has the server closed at once.
            let listeners = self.0.listeners.borrow().clone();
            for listener in listeners {
                listener.start(&self.0);
            }
            if let Some(intake) = self.0.intake.get() {
                intake.start(&self.0);
            }
        }
    }

    /// Serves until somebody closes the server, and then until its last connection is gone.
    ///
    /// # Errors
    ///
    /// None: it returns a result so that it can end a `main` that does.
    ///
    /// # Cancel safety
    ///
    /// *Cancelling* it, by a timeout or Ctrl-C for instance, closes the server and waits until its connections are gone;
    /// how long at most is up to the runner's grace period. *Dropping* it closes the server, and waits for nobody.
    ///
    /// # From asyncio
    ///
    /// It returns when the server is closed by somebody else, instead of ending cancelled.
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
    pub async fn serve_forever(&self) -> io::Result<()> {
        struct Close<'a>(&'a Server);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }
        self.start_serving();
        let close = Close(self);
        let close_and_wait = async |_: Outcome<'_, ()>| {
            drop(close);
            self.wait_closed().await;
        };
        finally(self.wait_closed(), close_and_wait).await;
        Ok(())
    }

    /// Whether it accepts.
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
        self.0.state.get() == State::Serving
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
        self.0.state.set(State::Closed);
        for listener in self.0.listeners.take() {
            listener.close();
        }
        if let Some(intake) = self.0.intake.get() {
            intake.close();
        }
        // If it serves nobody, it has nobody to wait for any more.
        self.0.pump.wake();
        self.0.wake_if_over();
    }

    /// Closes all open connections: what was written is sent.
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
        for client in self.0.clients() {
            client.uppermost().close();
        }
    }

    /// Ends all open connections: what was not sent is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |mut reader: StreamReader, writer: StreamWriter| {
    ///         writer.write(&[0; 10_000_000]); // nobody reads so much
    ///         reader.read_to_end().await
    ///     })
    ///     .await?;
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
        for client in self.0.clients() {
            client.uppermost().abort();
        }
    }

    /// Waits until the server is closed and its connections are gone.
    ///
    /// # Cancel safety
    ///
    /// Waiting changes nothing.
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
    pub async fn wait_closed(&self) {
        poll_fn(|cx| self.0.poll_over(cx)).await;
    }

    /// Ends the server in an orderly way: stops listening, gives clients until the end of `grace` to finish,
    /// then cancels what handlers are left and aborts what connections are left. Returns when all are gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the server closed, and its clients as they are then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |mut reader, _writer| reader.read(1).await).await?;
    ///     let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
    ///     server.shutdown(Duration::from_millis(1)).await;
    ///     assert_eq!(reader.read(1).await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub async fn shutdown(&self, grace: Duration) {
        self.close();
        let mut grace = pin!(sleep(grace));
        poll_fn(|cx| match self.0.poll_idle(cx) {
            Poll::Pending => grace.as_mut().poll(cx),
            ready => ready,
        })
        .await;
        self.0.cancel_handlers();
        self.abort_clients();
        poll_fn(|cx| self.0.poll_idle(cx)).await;
    }

    /// The addresses it listens on; none once it is closed.
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
        self.0.listeners.borrow().iter().map(|listener| listener.address()).collect()
    }

    /// The host and port it listens on: the first one, if there are several.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) once it is closed, and for a server that has no
    /// internet socket.
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
        let first = self.addresses().into_iter().find_map(|address| address.as_inet());
        first.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Looks at the listening sockets, for options and the like.
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
    ///         assert!(socket2::SockRef::from(&socket).is_listener().unwrap());
    ///         count += 1;
    ///     });
    ///     assert_eq!(count, 1);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "sockets")]
    pub fn with_sockets(&self, mut look: impl FnMut(BorrowedFd<'_>)) {
        for listener in &*self.0.listeners.borrow() {
            listener.with_fd(&mut look);
        }
    }

    /// [`close`](Self::close)s the server but gives its sockets away, which go on listening, and leaves their files: to
    /// serve them on another loop, or hand them to the next program. Clients that come meanwhile wait.
    ///
    /// They are non-blocking, and can be given to [`create_server`] as a `TcpListener` or `UnixListener`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let first = start_server("127.0.0.1:0", async |_, writer| writer.write(b"first")).await?;
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
    pub fn into_sockets(self) -> Vec<OwnedFd> {
        let listeners = self.0.listeners.take();
        let sockets = listeners.iter().filter_map(|listener| listener.take_fd()).collect();
        self.close();
        sockets
    }

    /// Where other threads hand sockets to this server, which serves them like those that it accepts itself.
    ///
    /// A server that has nothing else to serve listens on [`ServerAddress::nothing`]. What is handed over before
    /// [`start_serving`](Self::start_serving) waits; what has not been taken when the server or its loop is closed is
    /// closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{ServerAddress, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server(ServerAddress::nothing(), async |_, writer| writer.write(b"hello")).await?;
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
        let make = || {
            let intake = Intake::new();
            match self.0.state.get() {
                State::Bound => {}
                State::Serving => intake.start(&self.0),
                State::Closed => intake.close(),
            }
            intake
        };
        self.0.intake.get_or_init(make).clone()
    }

    /// How many connections are open.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server =
    ///         start_server("127.0.0.1:0", async |mut reader, _writer| reader.read_to_end().await).await?;
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
        self.0.open.get()
    }
}

/// A part of a server that serves, as long as its loop runs it: without it the server is closed.
struct CloseAtEnd(Rc<Shared>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        Server(self.0.clone()).close();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(intake) = self.intake.get() {
            intake.close();
        }
    }
}

impl Shared {
    /// Serves a new connection.
    fn serve(this: &Rc<Self>, opened: Opened) {
        if let Serve::Here(serve) = &this.serve {
            Self::admit(this, &opened.connection);
            serve(Accepted { opened, server: this.clone() });
        }
    }

    /// Takes a new connection into the list of clients.
    fn admit(this: &Rc<Self>, connection: &Rc<Connection>) {
        let client = Client::Stream(Rc::downgrade(connection));
        let key = this.clients.borrow_mut().insert(client);
        connection.join(this.clone(), key as u32);
        this.set_open(this.open.get() + 1);
    }

    fn set_open(&self, count: usize) {
        self.open.set(count);
        if let Some(intake) = self.intake.get() {
            intake.set_open(count);
        }
    }

    fn clients(&self) -> Vec<Rc<Connection>> {
        self.clients.borrow().iter().filter_map(|(_, client)| client.connection()).collect()
    }

    pub(crate) fn has_clients(&self) -> bool {
        !self.clients.borrow().is_empty()
    }

    /// Keeps a connection for its protocol.
    pub(crate) fn hold(&self, connection: &Rc<Connection>) {
        if let Some(client) = self.clients.borrow_mut().get_mut(connection.client() as usize) {
            *client = Client::Protocol(connection.clone());
        }
    }

    /// The connection of this number, if it is kept for its protocol.
    #[inline]
    pub(crate) fn protocol(&self, key: u32) -> Option<Rc<Connection>> {
        match self.clients.borrow().get(key as usize) {
            Some(Client::Protocol(connection)) => Some(connection.clone()),
            _ => None,
        }
    }

    /// Those that are kept for their protocols.
    pub(crate) fn protocols(&self) -> Vec<Rc<Connection>> {
        let protocol = |(_, client): (usize, &Client)| match client {
            Client::Protocol(connection) => Some(connection.clone()),
            Client::Stream(_) => None,
        };
        self.clients.borrow().iter().filter_map(protocol).collect()
    }

    /// A client's connection is closed; told once.
    pub(crate) fn connection_closed(&self, connection: &Connection) {
        self.set_open(self.open.get() - 1);
        self.forget_if_gone(connection);
        self.wake_if_over();
    }

    /// The task that serves a client has ended.
    pub(crate) fn handler_ended(&self, connection: &Connection) {
        drop(connection.take_task());
        self.forget_if_gone(connection);
        self.wake_if_over();
    }

    /// Forgets a client of which nothing is left.
    fn forget_if_gone(&self, connection: &Connection) {
        if connection.has(CLOSED) && !connection.has_task() {
            let client = self.clients.borrow_mut().try_remove(connection.client() as usize);
            drop(client);
        }
    }

    fn cancel_handlers(&self) {
        let handlers: Vec<_> = self.clients().iter().filter_map(|client| client.task()).collect();
        for handler in handlers {
            handler.request_end();
        }
    }

    /// How far readers of its clients look for the end of a line.
    pub(crate) fn limit(&self) -> usize {
        self.options.limit
    }

    pub(crate) fn pump(&self) -> &ServerPump {
        &self.pump
    }

    pub(crate) fn network(&self) -> &Rc<Network> {
        &self.network
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.get() == State::Closed
    }

    /// The server is closed and its connections are gone.
    fn is_over(&self) -> bool {
        self.state.get() == State::Closed && self.open.get() == 0
    }

    /// So are the tasks that served them.
    fn is_idle(&self) -> bool {
        self.is_over() && self.clients.borrow().is_empty()
    }

    fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_over() { Poll::Ready(()) } else { self.wait(cx) }
    }

    fn poll_idle(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_idle() { Poll::Ready(()) } else { self.wait(cx) }
    }

    fn wait(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.iter().any(|waiter| waiter.will_wake(cx)) {
            waiters.push(LocalWaker::from_context(cx));
        }
        Poll::Pending
    }

    fn wake_if_over(&self) {
        if self.is_over() {
            self.waiters.take().into_iter().for_each(LocalWaker::wake);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("state", &self.0.state.get())
            .field("addresses", &self.addresses())
            .field("clients", &self.client_count())
            .finish()
    }
}
