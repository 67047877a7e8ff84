//! The tasks that receive for protocols and call them.
//!
//! All connections of a server share one: a task for each would cost more memory than the connection itself, and all
//! run in the same context anyhow, that of the server. A connection without a server has one of its own.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use asyncio_loop::machinery::ReadyList;
use asyncio_loop::{ErrorContext, LoopClosed, TaskOptions};

use super::{Receiver, Stopped, Transport};
use crate::connection::{Connection, NOT_OPEN, PUMPED, READ_EOF, READING_PAUSED};
use crate::fence;
use crate::io::Io;
use crate::io::{Received, SocketStream};
use crate::server;

/// So many connections are looked at in one step of a server's pump.
const IN_A_STEP: usize = 64;
/// After so many bytes a step ends.
const BYTES_IN_A_STEP: usize = 256 * 1024;

/// In the list of a server's pump: the connection's protocol is to be told of its end.
const ENDED: u32 = 1 << 31;
/// The number of no connection.
const NOBODY: u32 = u32::MAX;

/// What receives for the protocols of a server, from the first of them on.
#[derive(Default)]
pub(crate) struct ServerPump {
    list: OnceCell<ReadyList>,
}

impl ServerPump {
    fn start(&self, server: &Rc<server::Shared>) -> Result<(), LoopClosed> {
        if self.list.get().is_some() {
            return Ok(());
        }
        let event_loop = server.network().event_loop();
        let mut pumping = Pumping { server: Rc::downgrade(server), numbers: Vec::new(), done: 0 };
        let pump = poll_fn(move |cx| pumping.poll(cx));
        event_loop.spawn(pump, server.task_options())?;
        self.list.get_or_init(|| ReadyList::new(event_loop));
        Ok(())
    }

    fn push(&self, number: u32) {
        if let Some(list) = self.list.get() {
            list.push(number);
        }
    }

    /// Has it look whether it is still needed.
    pub(crate) fn wake(&self) {
        self.push(NOBODY);
    }
}

/// The task of a server's pump.
struct Pumping {
    server: Weak<server::Shared>,
    /// Of connections that are to be looked at.
    numbers: Vec<u32>,
    /// How many of them have been.
    done: usize,
}

impl Pumping {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(server) = self.server.upgrade() else { return Poll::Ready(()) };
        if self.has_more(cx, &server) {
            self.step(cx, &server);
        }
        if self.has_more(cx, &server) {
            cx.waker().wake_by_ref();
        } else if server.is_closed() && !server.has_clients() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Looks after some of them. What they add to the list has to wait for another turn: a protocol is never told of
    /// its end in that in which it came about.
    fn step(&mut self, cx: &mut Context<'_>, server: &server::Shared) {
        let end = self.numbers.len().min(self.done + IN_A_STEP);
        let mut bytes = 0;
        while self.done < end && bytes < BYTES_IN_A_STEP {
            let number = self.numbers[self.done];
            self.done += 1;
            bytes += look_at(cx, server, number);
        }
    }

    /// Whether there are connections to look at. Without any, this is woken when there are.
    #[inline]
    fn has_more(&mut self, cx: &Context<'_>, server: &server::Shared) -> bool {
        if self.done < self.numbers.len() {
            return true;
        }
        self.numbers.clear();
        self.done = 0;
        let list = server.pump().list.get();
        list.is_some_and(|list| list.poll_take(cx, &mut self.numbers).is_ready())
    }
}

/// The loop was closed.
impl Drop for Pumping {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade() {
            server.protocols().iter().for_each(|connection| connection.give_up());
        }
    }
}

/// Looks after one connection; returns how much was received.
fn look_at(cx: &mut Context<'_>, server: &server::Shared, number: u32) -> usize {
    let Some(connection) = server.protocol(number & !ENDED) else { return 0 };
    if number & ENDED != 0 {
        if connection.is_over() && !connection.is_closed() {
            connection.tell_lost();
        }
        return 0;
    }
    connection.pump(cx)
}

impl Connection {
    /// Puts the connection into the hands of a protocol: tells it, and starts to receive in the next turn.
    pub(crate) fn start(self: &Rc<Self>, receiver: Box<dyn Receiver>) -> Result<(), LoopClosed> {
        self.set_receiver(receiver);
        self.set(PUMPED);
        match self.pumped_socket() {
            Some((server, _)) => {
                server.pump().start(server)?;
                server.hold(self);
            }
            None => self.start_pump()?,
        }
        self.call_protocol(|receiver, transport| receiver.connection_made(transport));
        if self.wants_data() {
            self.wake_pump();
        }
        Ok(())
    }

    /// The loop was closed. Protocols hold their transports, as often as not, and would keep the sockets open for ever.
    fn give_up(&self) {
        if !self.is_closed() {
            self.closed();
        }
        self.take_receiver().into_iter().for_each(|receiver| self.drop_receiver(receiver));
    }

    /// A pump for this connection alone.
    fn start_pump(self: &Rc<Self>) -> Result<(), LoopClosed> {
        struct Alone(Rc<Connection>);
        impl Drop for Alone {
            fn drop(&mut self) {
                self.0.give_up();
            }
        }
        let alone = Alone(self.clone());
        let pump = poll_fn(move |cx| {
            let Alone(connection) = &alone;
            // Looked at before it is called: what ends meanwhile is told of it in a later turn.
            if connection.is_over() {
                connection.tell_lost();
                return Poll::Ready(());
            }
            connection.pump(cx);
            Poll::Pending
        });
        let pump = self.network().event_loop().spawn(pump, TaskOptions::new().hidden())?;
        self.set_task(pump.task().clone());
        Ok(())
    }

    /// The server whose pump looks after this, and the socket.
    #[inline]
    fn pumped_socket(&self) -> Option<(&Rc<server::Shared>, &SocketStream)> {
        match (self.io(), self.server()) {
            (Io::Socket(socket), Some(server)) => Some((server, socket)),
            _ => None,
        }
    }

    /// Has the pump look at the connection, if a protocol has it.
    pub(crate) fn wake_pump(&self) {
        self.tell_pump(0);
    }

    /// Has the pump tell the protocol of the end.
    pub(crate) fn pump_is_to_end(&self) {
        self.tell_pump(ENDED);
    }

    fn tell_pump(&self, what: u32) {
        if self.has(PUMPED) {
            match self.pumped_socket() {
                Some((server, _)) => server.pump().push(self.client() | what),
                None => self.task().iter().for_each(|pump| pump.wake()),
            }
        }
    }

    /// Receives for the protocol, and returns how much came. If that was answered, the answer leaves.
    fn pump(self: &Rc<Self>, cx: &mut Context<'_>) -> usize {
        self.tell_protocol();
        if !self.wants_data() {
            return 0;
        }
        let receipt = self.call_protocol(|receiver, transport| receiver.receive(transport, cx));
        let Some(receipt) = receipt else { return 0 };
        match receipt.stopped {
            Stopped::Idle => {}
            Stopped::Busy => self.wake_pump(),
            Stopped::End => self.tell_eof(),
            Stopped::Failed(error) => self.reading_failed(error),
        }
        self.network().uncork_lone();
        receipt.bytes
    }

    /// Receives what there is.
    #[inline]
    pub(super) fn receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> io::Result<Received> {
        if let Some((_, socket)) = self.pumped_socket() {
            return socket.receive(buffer);
        }
        match self.io().poll_read(cx, buffer) {
            Poll::Ready(count) => Ok(Received::Bytes(count?)),
            Poll::Pending => Ok(Received::Nothing),
        }
    }

    /// There is nothing to be received: the pump will be told when there is.
    #[inline]
    pub(super) fn wait_for_data(&self) -> Stopped {
        match self.pumped_socket() {
            Some((server, socket)) if !socket.is_listed() && self.wants_data() => {
                let list = server.pump().list.get();
                let joined = list.map_or(Ok(()), |list| socket.join_list(list, self.client()));
                joined.map_or_else(Stopped::Failed, |()| Stopped::Idle)
            }
            _ => Stopped::Idle,
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
        self.fail(error);
    }

    /// Whether the protocol is to be given data.
    #[inline]
    pub(super) fn wants_data(&self) -> bool {
        !self.has(READING_PAUSED | READ_EOF | NOT_OPEN)
    }

    fn tell_eof(self: &Rc<Self>) {
        self.set(READ_EOF);
        if !self.io().can_read() {
            // The reading end is gone, which is an error if somebody wanted to write.
            return if self.queued() > 0 {
                self.fail(io::ErrorKind::BrokenPipe.into());
            } else {
                self.ended();
            };
        }
        let keep = self.call_protocol(|receiver, transport| receiver.eof_received(transport));
        if keep == Some(false) || !self.io().can_write() {
            self.close();
        }
    }

    fn tell_lost(self: &Rc<Self>) {
        // The queue may have emptied in the step in which the connection ended.
        self.tell_protocol();
        let error = self.error();
        self.with_receiver(|receiver, transport| receiver.connection_lost(transport, error));
        self.take_receiver().into_iter().for_each(|receiver| self.drop_receiver(receiver));
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
        let result = fence::call(|| call(&mut *receiver, &transport));
        let name = receiver.type_name();
        match self.take_receiver() {
            None => self.set_receiver(receiver),
            // The method has put another protocol into the place of its own.
            Some(successor) => {
                self.set_receiver(successor);
                self.drop_receiver(receiver);
            }
        }
        result.map_err(|panic| self.protocol_panicked(name, &panic)).ok()
    }

    #[cold]
    fn protocol_panicked(self: &Rc<Self>, protocol: &str, panic: &fence::Panic) {
        let context = ErrorContext::new("fatal error: a protocol's method failed")
            .field("protocol", protocol)
            .field("transport", format_args!("{:?}", Transport(self.clone())));
        self.network().event_loop().report(&panic.describe(context));
        self.fail(panic.to_error("the protocol"));
    }
}
