//! The two kinds of protocols, seen from the pump.

use std::any::type_name;
use std::io;
use std::task::{Context, Poll, ready};

use super::Transport;
use crate::connection::AWAITS_DATA;
use crate::pool;
use crate::protocol::{BufferedProtocol, Protocol};

/// What the pump and the way out call.
pub(crate) trait Receiver {
    fn type_name(&self) -> &'static str;
    fn connection_made(&mut self, transport: &Transport);
    /// Receives what there is and hands it over, for as long as it is wanted and others need not wait for it.
    fn receive(&mut self, transport: &Transport, cx: &mut Context<'_>) -> Received;
    fn eof_received(&mut self, transport: &Transport) -> bool;
    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>);
    fn pause_writing(&mut self, transport: &Transport);
    fn resume_writing(&mut self, transport: &Transport);
}

/// Why receiving has stopped.
pub(crate) enum Received {
    /// For now; the task is woken when it is to be tried again.
    Nothing,
    /// The other side sends no more.
    End,
    Failed(io::Error),
}

/// A protocol gives way to others after so many receives in a row.
const IN_A_ROW: usize = 4;

/// Calls `receive`, which hands over what came and says how much, until nothing comes or enough has.
fn receive_some(
    transport: &Transport,
    cx: &mut Context<'_>,
    mut receive: impl FnMut(&mut Context<'_>) -> Poll<io::Result<usize>>,
) -> Received {
    let connection = transport.connection();
    connection.clear(AWAITS_DATA);
    for _ in 0..IN_A_ROW {
        match receive(cx) {
            Poll::Ready(Ok(0)) => return Received::End,
            // What else is there is for the protocol that was put into this one's place.
            Poll::Ready(Ok(_)) if !connection.wants_data() || connection.has_receiver() => {
                return Received::Nothing;
            }
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Received::Failed(error),
            Poll::Pending => {
                connection.set(AWAITS_DATA);
                return Received::Nothing;
            }
        }
    }
    cx.waker().wake_by_ref();
    Received::Nothing
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

    fn receive(&mut self, transport: &Transport, cx: &mut Context<'_>) -> Received {
        let connection = transport.connection();
        let mut buffer = connection.network().take_buffer();
        let received = receive_some(transport, cx, |cx| {
            let read = connection.io().poll_read(cx, &mut buffer);
            if let Poll::Ready(Ok(count @ 1..)) = read {
                self.0.data_received(transport, &buffer[..count]);
            }
            read
        });
        connection.network().give_buffer(buffer);
        received
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

    fn receive(&mut self, transport: &Transport, cx: &mut Context<'_>) -> Received {
        receive_some(transport, cx, |cx| {
            let buffer = self.0.get_buffer(pool::LENGTH);
            assert!(!buffer.is_empty(), "get_buffer() returned an empty buffer");
            let count = ready!(transport.connection().io().poll_read(cx, buffer))?;
            if count > 0 {
                self.0.buffer_updated(transport, count);
            }
            Poll::Ready(Ok(count))
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
