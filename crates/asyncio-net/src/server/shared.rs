//! The state that a server shares with its listeners and clients.

use std::cell::{Cell, OnceCell, RefCell};
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::task::{self, Poll, Waker};

use asyncio_loop::{CancelReason, Context, ErrorContext, TaskOptions, TaskRef, copy_context};
use asyncio_task::machinery::cancel_all;
use slab::Slab;

use super::accept::Listening;
use super::acceptor::HandOver;
use super::options::Options;
use super::{Intake, entering};
use crate::connection::{Connection, HAS_PROTOCOL};
use crate::fence;
use crate::io::{Io, Owner};
use crate::layer::{Accepting, Layers};
use crate::network::Network;
use crate::transport::ProtocolsTask;
use crate::waiters::{Awaited, Place, WaiterSet};

/// The way to serve a new connection.
pub(crate) enum Serve {
    Client(Box<dyn Fn(Rc<Connection>)>),
    Acceptor(HandOver),
}

pub(crate) struct Shared {
    /// The place of the call that made the server.
    site: &'static Location<'static>,
    network: Rc<Network>,
    pub(super) options: Options,
    /// `None` while it is dropped.
    pub(super) serve: Option<Serve>,
    pub(super) layers: Layers<Accepting>,
    /// The context of the task that made the server; `None` while it is dropped.
    context: Option<Context>,
    listeners: RefCell<Vec<Rc<dyn Listening>>>,
    /// Made at the first call of `Server::intake`.
    intake: OnceCell<Intake>,
    /// The clients by their numbers: those with an open connection, and those whose handler has not
    /// ended.
    clients: RefCell<Slab<Client>>,
    /// The number of clients with an open connection.
    open: Cell<usize>,
    /// Tasks that accept again when a client has disconnected.
    full: RefCell<Vec<Waker>>,
    /// The number of closed sockets whose peers go on sending.
    lingering: Cell<usize>,
    protocols_task: ProtocolsTask,
    state: Cell<State>,
    /// `serve_forever` has been called.
    is_forever: Cell<bool>,
    /// The tasks that wait for the end of the server or of its handlers.
    waiters: WaiterSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Bound,
    Serving,
    Closed,
}

/// An accepted connection.
pub(super) enum Client {
    /// A task is putting the layers over the connection.
    Entering(Option<TaskRef>),
    /// The handler owns the connection, or a task that the handler gave it to.
    Stream(Weak<Connection>),
    /// The server keeps the connection for its protocol.
    Protocol(Rc<Connection>),
}

impl Client {
    fn connection(&self) -> Option<Rc<Connection>> {
        match self {
            Self::Entering(_) => None,
            Self::Stream(connection) => connection.upgrade(),
            Self::Protocol(connection) => Some(connection.clone()),
        }
    }
}

/// A guard in a task of a server: when the loop drops the task, the server is closed.
pub(super) struct CloseAtEnd(pub(super) Rc<Shared>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        let server = &self.0;
        if !server.is_closed() && server.network.event_loop().is_closed() {
            server.report_unclosed("a server was not closed before its loop");
        }
        server.close();
    }
}

/// Any client may drop the last reference, and the handler is code of the user, so it is dropped
/// behind a fence.
impl Drop for Shared {
    fn drop(&mut self) {
        if self.state.get() == State::Bound {
            self.report_unclosed("a server was dropped without being closed");
        }
        let event_loop = self.network.event_loop();
        fence::drop_value(event_loop, "handler of a server", self.serve.take());
        fence::drop_value(event_loop, "context of a server", self.context.take());
        if let Some(intake) = self.intake.get() {
            intake.close();
        }
    }
}

impl Shared {
    pub(super) fn new(
        network: Rc<Network>,
        (options, serve, layers): (Options, Serve, Layers<Accepting>),
        listeners: Vec<Rc<dyn Listening>>,
        site: &'static Location<'static>,
    ) -> Rc<Self> {
        Rc::new(Self {
            site,
            network,
            options,
            serve: Some(serve),
            layers,
            context: Some(copy_context()),
            listeners: RefCell::new(listeners),
            intake: OnceCell::new(),
            clients: RefCell::default(),
            open: Cell::new(0),
            full: RefCell::default(),
            lingering: Cell::new(0),
            protocols_task: ProtocolsTask::default(),
            state: Cell::new(State::Bound),
            is_forever: Cell::new(false),
            waiters: WaiterSet::default(),
        })
    }

    pub(super) fn start(this: &Rc<Self>) {
        if this.state.get() == State::Bound {
            this.state.set(State::Serving);
            // On a closed loop the server is closed at once.
            for listener in this.listeners() {
                listener.start(this);
            }
            if let Some(intake) = this.intake.get() {
                intake.start(this);
            }
        }
    }

    pub(super) fn close(&self) {
        self.state.set(State::Closed);
        for listener in self.listeners.take() {
            listener.close();
        }
        if let Some(intake) = self.intake.get() {
            intake.close();
        }
        self.wake_accepting();
        // If there are no clients, the protocols' task ends.
        self.protocols_task.wake();
        self.wake_if_over();
    }

    /// Reports, in debug mode, that the server was not closed by the program. `message` says how it
    /// ended.
    fn report_unclosed(&self, message: &'static str) {
        let addresses = || self.listeners().iter().map(|one| one.address()).collect::<Vec<_>>();
        self.network.event_loop().report_unclosed(message, Some(self.site), |context| {
            context
                .field("addresses", format_args!("{:?}", addresses()))
                .field("clients", self.open.get())
        });
    }

    /// The place of the call that made the server.
    pub(crate) fn site(&self) -> &'static Location<'static> {
        self.site
    }

    pub(super) fn listeners(&self) -> Vec<Rc<dyn Listening>> {
        self.listeners.borrow().clone()
    }

    pub(super) fn take_listeners(&self) -> Vec<Rc<dyn Listening>> {
        self.listeners.take()
    }

    /// The queue of sockets from other threads.
    pub(super) fn intake(this: &Rc<Self>) -> Intake {
        let make = || {
            let intake = Intake::new();
            match this.state.get() {
                State::Bound => {}
                State::Serving => intake.start(this),
                State::Closed => intake.close(),
            }
            intake
        };
        this.intake.get_or_init(make).clone()
    }

    /// Serves a new connection.
    pub(super) fn accepted(this: &Rc<Self>, io: Io) {
        if this.layers.is_empty() {
            let connection = Connection::new(&this.network, io);
            let key = this.admit(Client::Stream(Rc::downgrade(&connection)));
            Self::serve(this, key, connection);
        } else {
            entering::enter(this, io);
        }
    }

    /// Serves a client that was admitted. If a factory of the user panics, only this connection is
    /// closed.
    pub(super) fn serve(this: &Rc<Self>, key: usize, connection: Rc<Connection>) {
        connection.join(this.clone(), key as u32);
        let Some(Serve::Client(serve)) = &this.serve else { return };
        if let Err(panic) = fence::call(|| serve(connection.clone())) {
            let context = ErrorContext::new("the factory of a server's client failed");
            let context = context.field("peer", connection.io().peer_address());
            this.network.event_loop().report(&panic.describe(context));
            connection.abort();
        }
    }

    /// Adds a new client to the list; returns its number.
    pub(super) fn admit(&self, client: Client) -> usize {
        let key = self.clients.borrow_mut().insert(client);
        self.set_open(self.open.get() + 1);
        key
    }

    /// Replaces the state of a client.
    pub(super) fn set_client(&self, key: usize, client: Client) {
        if let Some(place) = self.clients.borrow_mut().get_mut(key) {
            *place = client;
        }
    }

    /// Removes a client that disconnected before it was served.
    pub(super) fn turn_away(&self, key: usize) {
        let client = self.clients.borrow_mut().try_remove(key);
        drop(client);
        self.set_open(self.open.get() - 1);
        self.wake_if_over();
    }

    /// Cancels the tasks that put layers over connections, which closes those connections.
    pub(super) fn cancel_entering(&self) {
        let task = |(_, client): (usize, &Client)| match client {
            Client::Entering(task) => task.clone(),
            _ => None,
        };
        let tasks: Vec<_> = self.clients.borrow().iter().filter_map(task).collect();
        cancel_all(tasks, &CancelReason::new("the server closes its clients"));
    }

    /// The number of clients with an open connection.
    pub(super) fn client_count(&self) -> usize {
        self.open.get()
    }

    /// Whether the maximum number of clients is reached. The task of `cx` is woken when one
    /// disconnects.
    pub(super) fn is_full(&self, cx: &task::Context<'_>) -> bool {
        let is_full = self.open.get() >= self.options.max_connections;
        if is_full {
            self.full.borrow_mut().push(cx.waker().clone());
        }
        is_full
    }

    fn wake_accepting(&self) {
        if !self.full.borrow().is_empty() {
            self.full.take().into_iter().for_each(Waker::wake);
        }
    }

    fn set_open(&self, count: usize) {
        self.open.set(count);
        self.wake_accepting();
        if let Some(intake) = self.intake.get() {
            intake.set_open(count);
        }
    }

    pub(super) fn clients(&self) -> Vec<Rc<Connection>> {
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

    /// The connection with this number, if it is kept for its protocol.
    #[inline]
    pub(crate) fn protocol(&self, key: u32) -> Option<Rc<Connection>> {
        match self.clients.borrow().get(key as usize) {
            Some(Client::Protocol(connection)) => Some(connection.clone()),
            _ => None,
        }
    }

    /// The connections that are kept for their protocols.
    pub(crate) fn protocols(&self) -> Vec<Rc<Connection>> {
        let protocol = |(_, client): (usize, &Client)| match client {
            Client::Protocol(connection) => Some(connection.clone()),
            Client::Entering(_) | Client::Stream(_) => None,
        };
        self.clients.borrow().iter().filter_map(protocol).collect()
    }

    /// Notes that a client's connection was closed. Called once for each client.
    pub(crate) fn connection_closed(&self, connection: &Connection) {
        self.set_open(self.open.get() - 1);
        self.forget_if_gone(connection);
        self.wake_if_over();
    }

    /// Notes that the task that serves a client has ended.
    pub(crate) fn handler_ended(&self, connection: &Connection) {
        drop(connection.take_task());
        self.forget_if_gone(connection);
        self.wake_if_over();
    }

    /// Forgets a client whose connection is closed and whose handler has ended.
    fn forget_if_gone(&self, connection: &Connection) {
        if connection.is_closed() && !connection.has_task() {
            let client = self.clients.borrow_mut().try_remove(connection.client() as usize);
            drop(client);
        }
    }

    /// Cancels the tasks of the handlers, and the tasks that they await.
    pub(super) fn cancel_handlers(&self) {
        // The task of a protocol belongs to the loop, and ends with its connection.
        let clients = self.clients();
        let handlers = clients.iter().filter(|client| !client.has(HAS_PROTOCOL));
        let handlers: Vec<_> = handlers.filter_map(|client| client.task()).collect();
        cancel_all(handlers, &CancelReason::new("the server is shut down"));
    }

    /// Options of a task that works for the server, in a copy of the context in which the server
    /// was made.
    pub(crate) fn task_options(&self) -> TaskOptions {
        let options = TaskOptions::new().hidden();
        match &self.context {
            Some(context) => options.context(&context.copy()),
            None => options,
        }
    }

    /// Runs `future` as a task of the server, until it is done or the loop is closed.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        // A closed loop refuses the task.
        let _ = self.network.event_loop().spawn(future, self.task_options());
    }

    /// Notes that `serve_forever` runs; returns whether it ran before.
    pub(super) fn begin_forever(&self) -> bool {
        self.is_forever.replace(true)
    }

    /// The limit of its clients' stream readers.
    pub(crate) fn limit(&self) -> usize {
        self.options.limit
    }

    pub(crate) fn protocols_task(&self) -> &ProtocolsTask {
        &self.protocols_task
    }

    pub(crate) fn network(&self) -> &Rc<Network> {
        &self.network
    }

    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    pub(super) fn is_serving(&self) -> bool {
        self.state.get() == State::Serving
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.get() == State::Closed
    }

    /// Whether the server is closed and its connections are gone.
    fn is_over(&self) -> bool {
        self.state.get() == State::Closed && self.open.get() == 0
    }

    /// Whether the server is over, and the tasks of its clients have ended.
    fn is_idle(&self) -> bool {
        self.is_over() && self.clients.borrow().is_empty() && self.lingering.get() == 0
    }

    pub(super) fn poll_over(&self, cx: &task::Context<'_>, place: &Place) -> Poll<()> {
        if self.is_over() { Poll::Ready(()) } else { self.wait(cx, place) }
    }

    pub(super) fn poll_idle(&self, cx: &task::Context<'_>, place: &Place) -> Poll<()> {
        if self.is_idle() { Poll::Ready(()) } else { self.wait(cx, place) }
    }

    fn wait(&self, cx: &task::Context<'_>, place: &Place) -> Poll<()> {
        self.waiters.wait(cx, place);
        Poll::Pending
    }

    fn wake_if_over(&self) {
        if self.is_over() {
            self.waiters.wake_all(self.network.event_loop());
        }
    }
}

impl Owner for Shared {
    fn linger(&self, change: isize) {
        self.lingering.set(self.lingering.get().saturating_add_signed(change));
        if change < 0 {
            self.wake_if_over();
        }
    }
}

impl Awaited for Shared {
    fn waiters(&self) -> &WaiterSet {
        &self.waiters
    }
}
