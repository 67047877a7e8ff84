//! The task that receives for a protocol and calls it.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{ErrorContext, LoopClosed, TaskOptions};

use super::{Received, Receiver, Transport};
use crate::connection::{CLOSING, Connection, OVER, READ_EOF, READING_PAUSED};

impl Connection {
    /// Puts the connection into the hands of a protocol: tells it, and starts to receive in the next turn.
    pub(crate) fn start(self: &Rc<Self>, receiver: Box<dyn Receiver>) -> Result<(), LoopClosed> {
        self.set_receiver(receiver);
        let connection = self.clone();
        let pump = poll_fn(move |cx| connection.poll_pump(cx));
        let pump = self.network().event_loop().spawn(pump, TaskOptions::new().hidden())?;
        self.set_pump(pump.task().clone());
        self.call_protocol(|receiver, transport| receiver.connection_made(transport));
        Ok(())
    }

    fn poll_pump(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.has(OVER) {
            self.tell_lost();
            return Poll::Ready(());
        }
        if self.wants_data() {
            match self.call_protocol(|receiver, transport| receiver.receive(transport, cx)) {
                Some(Received::End) => self.tell_eof(),
                Some(Received::Failed(error)) => self.lose(Some(error)),
                Some(Received::Nothing) | None => {}
            }
        }
        // What is OVER by now has woken this task for one more turn.
        Poll::Pending
    }

    /// Whether the protocol is to be given data.
    pub(super) fn wants_data(&self) -> bool {
        !self.has(CLOSING | OVER | READING_PAUSED | READ_EOF)
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
