//! The two kinds of protocols behind one trait.

use std::any::type_name;
use std::io;
use std::ops::ControlFlow;
use std::task::Context;

use super::Transport;
use crate::connection::Connection;
use crate::io::Received;
use crate::io::buffer_pool;
use crate::protocol::{BufferedProtocol, Protocol};

/// A protocol of either kind.
pub(crate) trait Receiver {
    fn type_name(&self) -> &'static str;
    fn connection_made(&mut self, transport: &Transport);
    /// Receives bytes and hands them over, as long as the protocol takes them and its turn lasts.
    fn receive(&mut self, transport: &Transport, cx: &mut Context<'_>) -> Receipt;
    fn eof_received(&mut self, transport: &Transport) -> bool;
    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>);
    fn pause_writing(&mut self, transport: &Transport);
    fn resume_writing(&mut self, transport: &Transport);
}

/// The result of receiving.
pub(crate) struct Receipt {
    /// The number of bytes received.
    pub(crate) bytes: usize,
    pub(crate) stopped: Stopped,
}

/// The reason why receiving has stopped.
pub(crate) enum Stopped {
    /// No bytes are available, or the protocol takes none. The task is woken when that changes.
    Idle,
    /// More bytes may be available, but other protocols have their turn first.
    Busy,
    /// The peer has ended its stream.
    End,
    Failed(io::Error),
}

/// The number of receives in a row before other protocols have their turn. The budget of a step
/// cannot be used, because all protocols of a server share one step, which this divides among them.
const IN_A_ROW: usize = 4;

/// Calls `receive`, which hands bytes over, until nothing comes or the protocol's turn is over.
#[inline]
fn receive_some(
    connection: &Connection,
    mut receive: impl FnMut() -> io::Result<Received>,
) -> Receipt {
    let mut bytes = 0;
    let mut receive_once = || match receive() {
        Ok(Received::Bytes(0)) => ControlFlow::Break(Stopped::End),
        Ok(Received::Bytes(count)) => {
            bytes += count;
            // Further bytes are for the protocol that has replaced this one.
            if connection.wants_data() && !connection.has_receiver() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(Stopped::Idle)
            }
        }
        Ok(Received::Last(count)) => {
            bytes += count;
            ControlFlow::Break(connection.wait_for_data())
        }
        Ok(Received::Nothing) => ControlFlow::Break(connection.wait_for_data()),
        Err(error) => ControlFlow::Break(Stopped::Failed(error)),
    };
    let mut stopped = Stopped::Busy;
    for _ in 0..IN_A_ROW {
        if let ControlFlow::Break(why) = receive_once() {
            stopped = why;
            break;
        }
    }
    Receipt { bytes, stopped }
}

/// Receives into the loop's buffer, which is lent to the protocol.
pub(crate) struct Lent<P>(pub(crate) P);

impl<P: Protocol> Receiver for Lent<P> {
    fn type_name(&self) -> &'static str {
        type_name::<P>()
    }

    fn connection_made(&mut self, transport: &Transport) {
        self.0.connection_made(transport);
    }

    fn receive(&mut self, transport: &Transport, cx: &mut Context<'_>) -> Receipt {
        let connection = transport.connection();
        let mut buffer = connection.network().take_buffer();
        let receipt = receive_some(connection, || {
            let received = connection.receive(cx, buffer.storage())?;
            if let Received::Bytes(count @ 1..) | Received::Last(count) = received {
                self.0.data_received(transport, &buffer.storage()[..count]);
            }
            Ok(received)
        });
        connection.network().give_buffer(buffer);
        receipt
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        self.0.eof_received(transport)
    }

    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>) {
        self.0.connection_lost(transport, error);
    }

    fn pause_writing(&mut self, transport: &Transport) {
        self.0.pause_writing(transport);
    }

    fn resume_writing(&mut self, transport: &Transport) {
        self.0.resume_writing(transport);
    }
}

/// Receives into the protocol's own buffer.
pub(crate) struct Own<P>(pub(crate) P);

impl<P: BufferedProtocol> Receiver for Own<P> {
    fn type_name(&self) -> &'static str {
        type_name::<P>()
    }

    fn connection_made(&mut self, transport: &Transport) {
        self.0.connection_made(transport);
    }

    fn receive(&mut self, transport: &Transport, cx: &mut Context<'_>) -> Receipt {
        let connection = transport.connection();
        receive_some(connection, || {
            let buffer = self.0.get_buffer(buffer_pool::LENGTH);
            assert!(!buffer.is_empty(), "get_buffer() returned an empty buffer");
            let received = connection.receive(cx, buffer)?;
            if let Received::Bytes(count @ 1..) | Received::Last(count) = received {
                self.0.buffer_updated(transport, count);
            }
            Ok(received)
        })
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        self.0.eof_received(transport)
    }

    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>) {
        self.0.connection_lost(transport, error);
    }

    fn pause_writing(&mut self, transport: &Transport) {
        self.0.pause_writing(transport);
    }

    fn resume_writing(&mut self, transport: &Transport) {
        self.0.resume_writing(transport);
    }
}
