//! The protocol of an endpoint, whose panics are reported and go no further.

use std::any::type_name;
use std::cell::Cell;

use asyncio_loop::ErrorContext;

use super::{DatagramProtocol, DatagramTransport};
use crate::fence::{self, Panic};

pub(super) struct FencedProtocol {
    /// `None` while a method runs, and after the end.
    protocol: Cell<Option<Box<dyn DatagramProtocol>>>,
    name: &'static str,
}

/// The outcome of a call.
pub(super) enum Called {
    Returned,
    /// The method panicked, and the panic was reported.
    Panicked(Panic),
    /// The protocol is being called already, or is gone.
    Not,
}

impl FencedProtocol {
    pub(super) fn new<P: DatagramProtocol + 'static>(protocol: P) -> Self {
        Self { protocol: Cell::new(Some(Box::new(protocol))), name: type_name::<P>() }
    }

    pub(super) fn call(
        &self,
        transport: &DatagramTransport,
        method: impl FnOnce(&mut dyn DatagramProtocol, &DatagramTransport),
    ) -> Called {
        let Some(mut protocol) = self.protocol.take() else { return Called::Not };
        let outcome = fence::call(|| method(&mut *protocol, transport));
        self.protocol.set(Some(protocol));
        match outcome {
            Ok(()) => Called::Returned,
            Err(panic) => {
                self.report(transport, &panic);
                Called::Panicked(panic)
            }
        }
    }

    #[cold]
    fn report(&self, transport: &DatagramTransport, panic: &Panic) {
        let context = ErrorContext::new("a datagram protocol's method failed");
        let context = panic.describe(context).field("protocol", self.name);
        let context = context.field("transport", format_args!("{transport:?}"));
        transport.event_loop().report(&context);
    }

    /// Drops the protocol.
    pub(super) fn discard(&self, transport: &DatagramTransport) {
        fence::drop_value(transport.event_loop(), self.name, self.protocol.take());
    }
}
