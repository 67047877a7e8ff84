//! The tasks that receive for protocols and call them.
//!
//! All connections of a server share one task. A task for each connection would cost more memory
//! than the connection itself, and all of them run in the same context anyway, the server's. A
//! connection without a server has a task of its own.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use asyncio_loop::machinery::ReadyList;
use asyncio_loop::{LoopClosed, TaskOptions};

use super::{Receiver, Transport};
use crate::connection::{Connection, HAS_PROTOCOL};
use crate::io::{Io, SocketStream};
use crate::server;

/// The number of connections that a server's task serves in one step. The budget of a step, which
/// limits loops in code of users, would allow only sixteen.
const IN_A_STEP: usize = 64;
/// The number of bytes after which a step ends.
const BYTES_IN_A_STEP: usize = 256 * 1024;

/// The entry in the list of a server's task that says that `connection_lost` has to be called.
const ENDED: u32 = 1 << 31;
/// A number that no connection has.
const NOBODY: u32 = u32::MAX;

/// The list of a server's task, which begins with the first protocol.
#[derive(Default)]
pub(crate) struct ProtocolsTask {
    list: OnceCell<ReadyList>,
}

impl ProtocolsTask {
    fn start(&self, server: &Rc<server::Shared>) -> Result<(), LoopClosed> {
        if self.list.get().is_some() {
            return Ok(());
        }
        let event_loop = server.network().event_loop();
        let mut work = Work { server: Rc::downgrade(server), numbers: Vec::new(), done: 0 };
        let task = poll_fn(move |cx| work.poll(cx));
        event_loop.spawn(task, server.task_options())?;
        self.list.get_or_init(|| ReadyList::new(event_loop));
        Ok(())
    }

    /// The list of the connections to serve, which their sockets join.
    pub(super) fn list(&self) -> Option<&ReadyList> {
        self.list.get()
    }

    fn push(&self, number: u32) {
        if let Some(list) = self.list.get() {
            list.push(number);
        }
    }

    /// Wakes the task, which ends if the server does not need it any more.
    pub(crate) fn wake(&self) {
        self.push(NOBODY);
    }
}

/// The work of a server's task.
struct Work {
    server: Weak<server::Shared>,
    /// The numbers of the connections to serve.
    numbers: Vec<u32>,
    /// The number of connections that have been served.
    done: usize,
}

impl Work {
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

    /// Serves some connections. Numbers that are added to the list meanwhile wait for another turn:
    /// `connection_lost` is never called in the turn in which the connection ended.
    fn step(&mut self, cx: &mut Context<'_>, server: &server::Shared) {
        let end = self.numbers.len().min(self.done + IN_A_STEP);
        let mut bytes = 0;
        while self.done < end && bytes < BYTES_IN_A_STEP {
            let number = self.numbers[self.done];
            self.done += 1;
            bytes += serve(cx, server, number);
        }
    }

    /// Whether there are connections to serve. If there are none, the task is woken when there are.
    #[inline]
    fn has_more(&mut self, cx: &Context<'_>, server: &server::Shared) -> bool {
        if self.done < self.numbers.len() {
            return true;
        }
        self.numbers.clear();
        self.done = 0;
        let list = server.protocols_task().list.get();
        list.is_some_and(|list| list.poll_take(cx, &mut self.numbers).is_ready())
    }
}

/// Runs when the loop is closed.
impl Drop for Work {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade() {
            server.protocols().iter().for_each(|connection| connection.give_up());
        }
    }
}

/// Serves one connection; returns the number of bytes received.
fn serve(cx: &mut Context<'_>, server: &server::Shared, number: u32) -> usize {
    let Some(connection) = server.protocol(number & !ENDED) else { return 0 };
    if number & ENDED != 0 {
        if connection.is_over() && !connection.is_closed() {
            connection.call_connection_lost();
        }
        return 0;
    }
    connection.serve_protocol(cx)
}

impl Connection {
    /// Gives the connection to a protocol: calls `connection_made`, and receives from the next turn
    /// on.
    pub(crate) fn start(self: &Rc<Self>, receiver: Box<dyn Receiver>) -> Result<(), LoopClosed> {
        self.set_receiver(receiver);
        self.set(HAS_PROTOCOL);
        match self.server_and_socket() {
            Some((server, _)) => {
                server.protocols_task().start(server)?;
                server.hold(self);
            }
            None => self.start_own_task()?,
        }
        self.call_protocol(|receiver, transport| receiver.connection_made(transport));
        if self.wants_data() {
            self.wake_protocols_task();
        }
        Ok(())
    }

    /// Takes over a protocol from another connection.
    pub(crate) fn resume(self: &Rc<Self>, receiver: Box<dyn Receiver>) -> Result<(), LoopClosed> {
        self.set_receiver(receiver);
        self.set(HAS_PROTOCOL);
        self.start_own_task()
    }

    /// Called when the loop is closed. Most protocols hold their transports, which would keep the
    /// sockets open.
    fn give_up(self: &Rc<Self>) {
        if !self.has(HAS_PROTOCOL) {
            // Another connection has taken the protocol over.
            return;
        }
        if self.is_open() {
            let transport = Transport(self.clone());
            transport.report_unclosed("a transport was not closed before its loop");
        }
        if !self.is_closed() {
            self.closed();
        }
        self.take_receiver().into_iter().for_each(|receiver| self.drop_receiver(receiver));
    }

    /// Starts a task for this connection alone.
    fn start_own_task(self: &Rc<Self>) -> Result<(), LoopClosed> {
        struct Alone(Rc<Connection>);
        impl Drop for Alone {
            fn drop(&mut self) {
                let Self(connection) = self;
                connection.give_up();
                match connection.server() {
                    Some(server) => server.handler_ended(connection),
                    None => drop(connection.take_task()),
                }
            }
        }
        let alone = Alone(self.clone());
        let task = poll_fn(move |cx| {
            let Alone(connection) = &alone;
            // Checked before the protocol is called, so that `connection_lost` comes in a later
            // turn.
            if connection.is_over() {
                connection.call_connection_lost();
                return Poll::Ready(());
            }
            if !connection.has(HAS_PROTOCOL) {
                return Poll::Ready(());
            }
            connection.serve_protocol(cx);
            Poll::Pending
        });
        let task = self.network().event_loop().spawn(task, TaskOptions::new().hidden())?;
        self.set_task(task.task().clone());
        Ok(())
    }

    /// The server whose task serves this connection, and the socket.
    #[inline]
    pub(super) fn server_and_socket(&self) -> Option<(&Rc<server::Shared>, &SocketStream)> {
        match (self.io(), self.server()) {
            (Io::Socket(socket), Some(server)) => Some((server, socket)),
            _ => None,
        }
    }

    /// Makes the task serve the connection, if it has a protocol.
    pub(crate) fn wake_protocols_task(&self) {
        self.wake_task_for(0);
    }

    /// Makes the task call `connection_lost`.
    pub(crate) fn end_protocol(&self) {
        self.wake_task_for(ENDED);
    }

    fn wake_task_for(&self, what: u32) {
        if self.has(HAS_PROTOCOL) {
            match self.server_and_socket() {
                Some((server, _)) => server.protocols_task().push(self.client() | what),
                None => self.task().iter().for_each(|task| task.wake()),
            }
        }
    }
}
