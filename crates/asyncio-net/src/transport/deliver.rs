//! Receives for a protocol, and calls its methods.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::ErrorContext;

use super::{Receiver, Stopped, Transport};
use crate::connection::{Connection, NOT_OPEN, READ_EOF, READING_PAUSED};
use crate::fence;
use crate::io::Received;

impl Connection {
    /// Receives for the protocol; returns the number of bytes. If the protocol has answered, sends
    /// the answer.
    pub(super) fn serve_protocol(self: &Rc<Self>, cx: &mut Context<'_>) -> usize {
        self.tell_protocol();
        if !self.wants_data() {
            return 0;
        }
        let receipt = self.call_protocol(|receiver, transport| receiver.receive(transport, cx));
        let Some(receipt) = receipt else { return 0 };
        match receipt.stopped {
            Stopped::Idle => {}
            Stopped::Busy => self.wake_protocols_task(),
            Stopped::End => self.tell_eof(),
            Stopped::Failed(error) => self.reading_failed(error),
        }
        self.network().uncork_lone();
        receipt.bytes
    }

    /// Receives without waiting.
    #[inline]
    pub(super) fn receive(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> io::Result<Received> {
        if let Some((_, socket)) = self.server_and_socket() {
            return socket.receive(buffer);
        }
        match self.poll_io(cx, buffer) {
            Poll::Ready(count) => Ok(Received::Bytes(count?)),
            Poll::Pending => Ok(Received::Nothing),
        }
    }

    /// Called when nothing can be received now: the task is woken when bytes come.
    #[inline]
    pub(super) fn wait_for_data(&self) -> Stopped {
        match self.server_and_socket() {
            Some((server, socket)) if !socket.is_listed() && self.wants_data() => {
                let list = server.protocols_task().list();
                let joined = list.map_or(Ok(()), |list| socket.join_list(list, self.client()));
                joined.map_or_else(Stopped::Failed, |()| Stopped::Idle)
            }
            _ => Stopped::Idle,
        }
    }

    fn reading_failed(self: &Rc<Self>, error: io::Error) {
        // A pipe has no peer that could reset it. A terminal that hangs up is a normal end.
        let is_hang_up = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        if !self.io().can_write() && !is_hang_up {
            let context = ErrorContext::new("fatal error: reading from a pipe failed")
                .field("error", &error)
                .field("transport", format_args!("{:?}", Transport(self.clone())));
            self.network().event_loop().report(&context);
        }
        self.fail(error);
    }

    /// Whether the protocol takes data now.
    #[inline]
    pub(super) fn wants_data(&self) -> bool {
        !self.has(READING_PAUSED | READ_EOF | NOT_OPEN)
    }

    fn tell_eof(self: &Rc<Self>) {
        self.set(READ_EOF);
        if !self.io().can_read() {
            // The reading end is closed, which is an error if bytes are still queued.
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

    pub(super) fn call_connection_lost(self: &Rc<Self>) {
        // The queue may have become empty in the step in which the connection ended.
        self.tell_protocol();
        let error = self.error();
        self.with_receiver(|receiver, transport| receiver.connection_lost(transport, error));
        self.take_receiver().into_iter().for_each(|receiver| self.drop_receiver(receiver));
        self.closed();
    }

    /// Calls the protocol, and then `pause_writing` or `resume_writing` if that is due.
    pub(super) fn call_protocol<R>(
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
        let panicked = result.as_ref().err().map(|_| receiver.type_name());
        match self.take_receiver() {
            None => self.set_receiver(receiver),
            // The method has replaced its own protocol.
            Some(successor) => {
                self.set_receiver(successor);
                self.drop_receiver(receiver);
            }
        }
        match (result, panicked) {
            (Err(panic), Some(name)) => {
                self.protocol_panicked(name, &panic);
                None
            }
            (result, _) => result.ok(),
        }
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
