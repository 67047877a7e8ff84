//! Listening servers.

mod accept;
mod bind;
mod options;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use asyncio_loop::LocalWaker;
use slab::Slab;

pub use self::options::ServerOptions;

use self::accept::{Listener, Listening};
pub(crate) use self::bind::listen_on;
use crate::address::Address;
use crate::connection::Connection;
use crate::network::Network;
use crate::protocol::Protocol;
use crate::server_address::ServerAddress;
use crate::source::ByteSource;
use crate::transport::Lent;

/// Listens on `address` and has a new protocol, made by `factory`, serve each client.
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
/// `loop.create_server`. The keyword arguments are [`ServerOptions`], for
/// [`create_server_with`]; a socket that listens already is given in place of the address.
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
/// As [`create_server`].
///
/// # Panics
///
/// As [`create_server`].
pub async fn create_server_with<P: Protocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
    options: ServerOptions,
) -> io::Result<Server> {
    let serve = move |accepted: Accepted| {
        // Refused by a closed loop only.
        let _ = accepted.connection.start(Box::new(Lent(factory())));
    };
    Server::listen(address.into(), options, Box::new(serve)).await
}

/// A server: its listening sockets and the connections they accepted.
///
/// Clones are the same server. Dropping all of them leaves it serving, for as long as the loop runs.
#[derive(Clone)]
pub struct Server(Rc<Shared>);

/// What is done with a new connection.
type Serve = Box<dyn Fn(Accepted)>;

/// A new connection, from both sides.
pub(crate) struct Accepted {
    pub(crate) connection: Rc<Connection>,
    pub(crate) source: Rc<dyn ByteSource>,
}

pub(crate) struct Shared {
    network: Rc<Network>,
    options: ServerOptions,
    serve: Serve,
    listeners: RefCell<Vec<Rc<dyn Listening>>>,
    clients: RefCell<Slab<Weak<Connection>>>,
    state: Cell<State>,
    waiters: RefCell<Vec<LocalWaker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Bound,
    Serving,
    Closed,
}

/// A connection's place with its server, until the connection is closed.
pub(crate) struct Membership {
    server: Rc<Shared>,
    key: usize,
}

impl Server {
    /// Binds, and starts to serve if the options say so.
    pub(crate) async fn listen(
        address: ServerAddress,
        options: ServerOptions,
        serve: Serve,
    ) -> io::Result<Self> {
        let network = Network::running();
        let sockets = address.into_listeners(&network, &options).await?;
        let mut listeners: Vec<Rc<dyn Listening>> = Vec::new();
        for socket in sockets {
            socket.set_nonblocking(true)?;
            let socket = mio::net::TcpListener::from_std(socket);
            listeners.push(Rc::new(Listener::new(&network, socket)));
        }
        let shared = Shared {
            network,
            options,
            serve,
            listeners: RefCell::new(listeners),
            clients: RefCell::default(),
            state: Cell::new(State::Bound),
            waiters: RefCell::default(),
        };
        let server = Self(Rc::new(shared));
        if server.0.options.start_serving {
            server.start_serving();
        }
        Ok(server)
    }

    /// Starts to accept. Does nothing if it does already, or is closed.
    pub fn start_serving(&self) {
        if self.0.state.get() == State::Bound {
            self.0.state.set(State::Serving);
            for listener in &*self.0.listeners.borrow() {
                listener.clone().start(&self.0);
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
    /// Dropping it closes the server.
    ///
    /// # From asyncio
    ///
    /// It returns when the server is closed, instead of ending cancelled.
    pub async fn serve_forever(&self) -> io::Result<()> {
        struct Close<'a>(&'a Server);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }
        self.start_serving();
        let _close = Close(self);
        self.wait_closed().await;
        Ok(())
    }

    /// Whether it accepts.
    pub fn is_serving(&self) -> bool {
        self.0.state.get() == State::Serving
    }

    /// Stops listening, at once. Open connections go on.
    pub fn close(&self) {
        self.0.state.set(State::Closed);
        for listener in self.0.listeners.take() {
            listener.close();
        }
        self.0.wake_if_over();
    }

    /// Closes all open connections: what was written is sent.
    pub fn close_clients(&self) {
        for client in self.0.clients() {
            client.close();
        }
    }

    /// Ends all open connections: what was not sent is dropped.
    pub fn abort_clients(&self) {
        for client in self.0.clients() {
            client.abort();
        }
    }

    /// Waits until the server is closed and its connections are gone.
    ///
    /// # Cancel safety
    ///
    /// Waiting changes nothing.
    pub async fn wait_closed(&self) {
        poll_fn(|cx| self.0.poll_over(cx)).await;
    }

    /// The addresses it listens on; none once it is closed.
    #[doc(alias = "sockets")]
    pub fn addresses(&self) -> Vec<Address> {
        self.0.listeners.borrow().iter().map(|listener| listener.address()).collect()
    }

    /// The host and port it listens on: the first one, if there are several.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) once it is closed, and for a server that has no
    /// internet socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let first = self.addresses().into_iter().find_map(|address| address.as_inet());
        first.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// How many connections are open.
    pub fn client_count(&self) -> usize {
        self.0.clients.borrow().len()
    }
}

impl Shared {
    /// Takes a new connection into the list of clients.
    fn admit(this: &Rc<Self>, connection: &Rc<Connection>) -> Membership {
        let key = this.clients.borrow_mut().insert(Rc::downgrade(connection));
        Membership { server: this.clone(), key }
    }

    fn clients(&self) -> Vec<Rc<Connection>> {
        self.clients.borrow().iter().filter_map(|(_, client)| client.upgrade()).collect()
    }

    fn is_over(&self) -> bool {
        self.state.get() == State::Closed && self.clients.borrow().is_empty()
    }

    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over() {
            return Poll::Ready(());
        }
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

impl Drop for Membership {
    fn drop(&mut self) {
        self.server.clients.borrow_mut().remove(self.key);
        self.server.wake_if_over();
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
