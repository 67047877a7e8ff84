//! The tasks that receive for protocols and call them.

use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use asyncio_loop::{ErrorContext, LoopClosed, TaskOptions, TaskRef};
use slab::Slab;

use super::{Received, Receiver, Transport};
use crate::connection::{AWAITS_DATA, CLOSING, Connection, OVER, READ_EOF, READING_PAUSED};
use crate::network::Network;
use crate::server;

/// So many connections of one server share a pump. A task for each would cost more memory than the connection
/// itself, and all run in the same context anyhow: that of the server.
const PLACES: usize = u16::BITS as usize;

/// A task that receives for protocols, and the connections that they belong to.
pub(crate) struct Pump {
    members: RefCell<Slab<Rc<Connection>>>,
    task: OnceCell<TaskRef>,
    /// Whose connections it is for; nobody's for that of a client, which is alone.
    server: Weak<server::Shared>,
}

impl Pump {
    /// A new pump, which the task that it is holds.
    fn start(network: &Network, server: Weak<server::Shared>) -> Result<Rc<Self>, LoopClosed> {
        let pump = Rc::new(Self { members: RefCell::default(), task: OnceCell::new(), server });
        let pumped = pump.clone();
        let task = poll_fn(move |cx| pumped.poll(cx));
        let task = network.event_loop().spawn(task, TaskOptions::new().hidden())?;
        let task = pump.task.get_or_init(|| task.task().clone());
        debug_assert!(!task.is_done(), "it has not been polled");
        Ok(pump)
    }

    /// One with room for `connection`.
    fn with_room(connection: &Connection) -> Result<Rc<Self>, LoopClosed> {
        let network = connection.network();
        let Some((server, _)) = connection.membership() else {
            return Self::start(network, Weak::new());
        };
        match server.pump_with_room() {
            Some(pump) => Ok(pump),
            None => {
                let pump = Self::start(network, Rc::downgrade(server))?;
                server.has_room(&pump);
                Ok(pump)
            }
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.members.borrow().len() == PLACES
    }

    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }

    fn join(&self, connection: &Rc<Connection>) {
        self.members.borrow_mut().insert(connection.clone());
        connection.set_pump(self.task.get().expect("set when it was started").clone());
        self.wake();
    }

    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Looked at before anybody is called: what ends meanwhile is told of it in a later turn.
        let (ended, ready) = self.due();
        for place in places(ready) {
            let connection = self.members.borrow()[place].clone();
            connection.receive(cx);
        }
        for place in places(ended) {
            let connection = self.members.borrow()[place].clone();
            connection.tell_lost();
            self.leave(place);
        }
        let is_needed = || self.server.upgrade().is_some_and(|server| !server.is_closed());
        if self.members.borrow().is_empty() && !is_needed() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// The places of connections that have ended, and of those that have something to read.
    fn due(&self) -> (u16, u16) {
        let (mut ended, mut ready) = (0, 0);
        for (place, connection) in &*self.members.borrow() {
            if connection.has(OVER) {
                ended |= 1 << place;
            } else if connection.wants_data() && connection.may_have_data() {
                ready |= 1 << place;
            }
        }
        (ended, ready)
    }

    fn leave(self: &Rc<Self>, place: usize) {
        let was_full = self.is_full();
        let connection = self.members.borrow_mut().remove(place);
        drop(connection);
        if let Some(server) = self.server.upgrade().filter(|_| was_full) {
            server.has_room(self);
        }
    }
}

/// The loop was closed. Protocols hold their transports, as often as not, and would keep the sockets open for ever.
impl Drop for Pump {
    fn drop(&mut self) {
        for connection in self.members.take().into_iter().map(|(_, connection)| connection) {
            connection.closed();
            drop(connection.take_receiver());
        }
    }
}

/// The numbers of the bits that are set.
fn places(mut bits: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (place < u16::BITS).then_some(place as usize)
    })
}

impl Connection {
    /// Puts the connection into the hands of a protocol: tells it, and starts to receive in the next turn.
    pub(crate) fn start(self: &Rc<Self>, receiver: Box<dyn Receiver>) -> Result<(), LoopClosed> {
        self.set_receiver(receiver);
        Pump::with_room(self)?.join(self);
        self.call_protocol(|receiver, transport| receiver.connection_made(transport));
        Ok(())
    }

    fn receive(self: &Rc<Self>, cx: &mut Context<'_>) {
        if !self.wants_data() {
            return;
        }
        match self.call_protocol(|receiver, transport| receiver.receive(transport, cx)) {
            Some(Received::End) => self.tell_eof(),
            Some(Received::Failed(error)) => self.reading_failed(error),
            Some(Received::Nothing) | None => {}
        }
    }

    fn reading_failed(self: &Rc<Self>, error: io::Error) {
        // A pipe has no peer that could reset it: only a terminal that hangs up is nothing unusual.
        let is_hang_up = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        if !self.io().can_write() && !is_hang_up {
            let context = ErrorContext::new("fatal error: reading from a pipe failed")
                .field("error", &error)
                .field("transport", format_args!("{:?}", Transport(self.clone())));
            self.network().event_loop().report(&context);
        }
        self.lose(Some(error));
    }

    /// Whether the protocol is to be given data.
    pub(super) fn wants_data(&self) -> bool {
        !self.has(CLOSING | OVER | READING_PAUSED | READ_EOF)
    }

    /// Whether a read is worth a try: there is something, or nobody has asked to be woken when there is.
    fn may_have_data(&self) -> bool {
        !self.has(AWAITS_DATA) || self.io().is_read_ready()
    }

    fn tell_eof(self: &Rc<Self>) {
        self.set(READ_EOF);
        if !self.io().can_read() {
            // The reading end is gone, which is an error if somebody wanted to write.
            return self.lose((self.queued() > 0).then(|| io::ErrorKind::BrokenPipe.into()));
        }
        let keep = self.call_protocol(|receiver, transport| receiver.eof_received(transport));
        if keep == Some(false) || !self.io().can_write() {
            self.close();
        }
    }

    fn tell_lost(self: &Rc<Self>) {
        let error = self.error();
        self.with_receiver(|receiver, transport| receiver.connection_lost(transport, error));
        drop(self.take_receiver());
        self.closed();
    }

    /// Calls the protocol, and then tells it what changed meanwhile.
    fn call_protocol<R>(
        self: &Rc<Self>,
        call: impl FnOnce(&mut dyn Receiver, &Transport) -> R,
    ) -> Option<R> {
        let result = self.with_receiver(call);
        self.tell_protocol();
        result
    }

    /// Calls the protocol; `None` if it panicked, is being called already, or is gone.
    pub(crate) fn with_receiver<R>(
        self: &Rc<Self>,
        call: impl FnOnce(&mut dyn Receiver, &Transport) -> R,
    ) -> Option<R> {
        let mut receiver = self.take_receiver()?;
        let transport = Transport(self.clone());
        let result = catch_unwind(AssertUnwindSafe(|| call(&mut *receiver, &transport)));
        let panicked = result.as_ref().err().map(|_| receiver.type_name());
        // It may have put another one into its place.
        let receiver = self.take_receiver().unwrap_or(receiver);
        self.set_receiver(receiver);
        match (result, panicked) {
            (Err(payload), Some(name)) => {
                self.protocol_panicked(name, &*payload);
                None
            }
            (result, _) => result.ok(),
        }
    }

    #[cold]
    fn protocol_panicked(self: &Rc<Self>, protocol: &str, payload: &(dyn Any + Send)) {
        let context = ErrorContext::new("fatal error: a protocol's method panicked")
            .with_panic(payload)
            .field("protocol", protocol)
            .field("transport", format_args!("{:?}", Transport(self.clone())));
        self.network().event_loop().report(&context);
        self.set(CLOSING);
        self.lose(Some(io::Error::other("the protocol panicked")));
    }
}
