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
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use asyncio_net::{
///     Address, DatagramOptions, DatagramProtocol, DatagramTransport, create_datagram_endpoint,
/// };
///
/// /// Says something, and keeps what it is told.
/// #[derive(Clone, Default)]
/// struct Talk(Rc<RefCell<Vec<Vec<u8>>>>);
///
/// impl DatagramProtocol for Talk {
///     fn connection_made(&mut self, transport: &DatagramTransport) {
///         if transport.peer_addr().is_some() {
///             transport.send(b"hello");
///         }
///     }
///     fn datagram_received(&mut self, _: &DatagramTransport, data: &[u8], _: &Address) {
///         self.0.borrow_mut().push(data.to_vec());
///     }
/// }
///
/// asyncio_task::run(async {
///     let heard = Talk::default();
///     let options = DatagramOptions::new().local_addr("127.0.0.1:0");
///     let listener = create_datagram_endpoint(|| heard.clone(), options).await?;
///     let options = DatagramOptions::new().remote_addr(listener.local_addr().unwrap());
///     create_datagram_endpoint(Talk::default, options).await?;
///     while heard.0.borrow().is_empty() {
///         asyncio_task::yield_now().await;
///     }
///     assert_eq!(*heard.0.borrow(), [b"hello"]);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
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
