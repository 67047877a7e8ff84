//! The two kinds of protocols, seen from the pump.

use std::any::type_name;
use std::io;
use std::task::{Context, Poll, ready};

use super::Transport;
use crate::pool;
use crate::protocol::{BufferedProtocol, Protocol};

/// What the pump and the way out call.
pub(crate) trait Receiver {
    fn type_name(&self) -> &'static str;
    fn connection_made(&mut self, transport: &Transport);
    /// Receives once and hands over what came: how many bytes, 0 for the end of the stream.
    fn poll_receive(
        &mut self,
        transport: &Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>;
    fn eof_received(&mut self, transport: &Transport) -> bool;
    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>);
    fn pause_writing(&mut self, transport: &Transport);
    fn resume_writing(&mut self, transport: &Transport);
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

    fn poll_receive(
        &mut self,
        transport: &Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = pool::take();
        let read = transport.connection().io().poll_read(cx, &mut buffer);
        if let Poll::Ready(Ok(count @ 1..)) = read {
            self.0.data_received(transport, &buffer[..count]);
        }
        pool::give(buffer);
        read
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

    fn poll_receive(
        &mut self,
        transport: &Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let buffer = self.0.get_buffer(pool::LENGTH);
        assert!(!buffer.is_empty(), "get_buffer() returned an empty buffer");
        let count = ready!(transport.connection().io().poll_read(cx, buffer))?;
        if count > 0 {
            self.0.buffer_updated(transport, count);
        }
        Poll::Ready(Ok(count))
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
