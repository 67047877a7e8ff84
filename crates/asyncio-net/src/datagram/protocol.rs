use std::io;

use super::DatagramTransport;
use crate::address::Address;

/// What a datagram endpoint tells.
///
/// The loop calls these methods; they must not block. `connection_made` is first, `connection_lost` last. A method that
/// panics ends the endpoint with an error, and is reported.
///
/// # From asyncio
///
/// Every method is given the transport. The data is lent, and has to be copied to be kept.
pub trait DatagramProtocol {
    /// The endpoint is there.
    fn connection_made(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// One datagram came, perhaps an empty one.
    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], sender: &Address);

    /// Sending or receiving failed; the endpoint goes on. Often an earlier datagram could not be delivered.
    fn error_received(&mut self, transport: &DatagramTransport, error: io::Error) {
        let _ = (transport, error);
    }

    /// The endpoint has ended: with an error, or without one when it was closed or aborted.
    fn connection_lost(&mut self, transport: &DatagramTransport, error: Option<io::Error>) {
        let _ = (transport, error);
    }

    /// More is waiting to leave than the high-water mark allows.
    fn pause_writing(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// The queue has fallen to the low-water mark.
    fn resume_writing(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }
}
