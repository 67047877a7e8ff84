use std::io;
use std::os::fd::OwnedFd;

use super::DatagramTransport;
use crate::address::Address;

/// The methods that a datagram endpoint calls.
///
/// The loop calls these methods; they must not block. `connection_made` is first, `connection_lost`
/// last.
///
/// A method that panics is reported, and the endpoint goes on; only a panic in `connection_made`
/// ends it, with an error.
///
/// A datagram longer than the endpoint's limit is dropped, and reported as an error of the kind
/// [`InvalidData`](io::ErrorKind::InvalidData). Descriptors that come with a datagram are closed,
/// unless the endpoint [wants them](super::CreateDatagramEndpoint::descriptors).
///
/// # From asyncio
///
/// Every method gets the transport. The data is lent: copy it to keep it.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use asyncio_net::{
///     Address, DatagramProtocol, DatagramTransport, create_datagram_endpoint,
/// };
///
/// /// Says hello, and keeps the datagrams that come.
/// #[derive(Clone, Default)]
/// struct Talk(Rc<RefCell<Vec<Vec<u8>>>>);
///
/// impl DatagramProtocol for Talk {
///     fn connection_made(&mut self, transport: &DatagramTransport) {
///         if transport.peer_addr().is_ok() {
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
///     let listener = create_datagram_endpoint(|| heard.clone()).local_addr("127.0.0.1:0").await?;
///     create_datagram_endpoint(Talk::default).remote_addr(listener.local_addr().unwrap()).await?;
///     while heard.0.borrow().is_empty() {
///         asyncio_task::yield_now().await;
///     }
///     assert_eq!(*heard.0.borrow(), [b"hello"]);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub trait DatagramProtocol {
    /// The endpoint has been opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{Address, DatagramProtocol, DatagramTransport, create_datagram_endpoint};
    /// use asyncio_net::sock_recv;
    ///
    /// asyncio_task::run(async {
    ///     struct Hello;
    ///
    ///     impl DatagramProtocol for Hello {
    ///         fn connection_made(&mut self, transport: &DatagramTransport) {
    ///             transport.send(b"hello");
    ///         }
    ///         fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
    ///     }
    ///
    ///     let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    ///     peer.set_nonblocking(true)?;
    ///     create_datagram_endpoint(|| Hello).remote_addr(peer.local_addr()?).await?;
    ///     assert_eq!(sock_recv(&peer, 100).await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn connection_made(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// One datagram came. It may be empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{Address, DatagramProtocol, DatagramTransport};
    /// use asyncio_net::{create_datagram_endpoint, sock_recv};
    ///
    /// asyncio_task::run(async {
    ///     struct Echo;
    ///
    ///     impl DatagramProtocol for Echo {
    ///         fn datagram_received(
    ///             &mut self,
    ///             transport: &DatagramTransport,
    ///             data: &[u8],
    ///             sender: &Address,
    ///         ) {
    ///             transport.send_to(data, sender.clone());
    ///         }
    ///     }
    ///
    ///     let transport = create_datagram_endpoint(|| Echo).local_addr("127.0.0.1:0").await?;
    ///     let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    ///     client.set_nonblocking(true)?;
    ///     client.send_to(b"hello", transport.local_addr().unwrap())?;
    ///     assert_eq!(sock_recv(&client, 100).await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], sender: &Address);

    /// Descriptors came with the datagram that is handed to
    /// [`datagram_received`](Self::datagram_received) right after this. They are closed unless they
    /// are kept.
    ///
    /// Called only if the endpoint [wants them](super::CreateDatagramEndpoint::descriptors).
    ///
    /// # Examples
    ///
    /// See [`DatagramTransport::send_descriptors`].
    fn descriptors_received(&mut self, transport: &DatagramTransport, descriptors: Vec<OwnedFd>) {
        let _ = (transport, descriptors);
    }

    /// Sending or receiving failed; the endpoint goes on. Often an earlier datagram could not be
    /// delivered.
    ///
    /// The error of a send is reported in a step of its own. If 1024 errors wait for that already,
    /// it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::io;
    /// use std::rc::Rc;
    /// use asyncio_net::{Address, DatagramProtocol, DatagramTransport};
    /// use asyncio_net::create_datagram_endpoint;
    ///
    /// asyncio_task::run(async {
    ///     #[derive(Clone, Default)]
    ///     struct Errors(Rc<Cell<Option<io::ErrorKind>>>);
    ///
    ///     impl DatagramProtocol for Errors {
    ///         fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
    ///         fn error_received(&mut self, _: &DatagramTransport, error: io::Error) {
    ///             self.0.set(Some(error.kind()));
    ///         }
    ///     }
    ///
    ///     let closed = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    ///     let errors = Errors::default();
    ///     let transport = create_datagram_endpoint(|| errors.clone()).remote_addr(closed).await?;
    ///     transport.send(b"is anybody there?");
    ///     while errors.0.get().is_none() {
    ///         asyncio_task::yield_now().await;
    ///     }
    ///     assert_eq!(errors.0.get(), Some(io::ErrorKind::ConnectionRefused));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn error_received(&mut self, transport: &DatagramTransport, error: io::Error) {
        let _ = (transport, error);
    }

    /// The endpoint has ended: with an error, or without one when it was closed or aborted.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::io;
    /// use std::rc::Rc;
    /// use asyncio_net::{Address, DatagramProtocol, DatagramTransport};
    /// use asyncio_net::create_datagram_endpoint;
    ///
    /// asyncio_task::run(async {
    ///     struct Lost(Rc<Cell<bool>>);
    ///
    ///     impl DatagramProtocol for Lost {
    ///         fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
    ///         fn connection_lost(&mut self, _: &DatagramTransport, error: Option<io::Error>) {
    ///             self.0.set(error.is_none());
    ///         }
    ///     }
    ///
    ///     let lost = Rc::new(Cell::new(false));
    ///     let new = create_datagram_endpoint(|| Lost(lost.clone()));
    ///     let transport = new.local_addr("127.0.0.1:0").await?;
    ///     transport.close();
    ///     while !lost.get() {
    ///         asyncio_task::yield_now().await;
    ///     }
    ///     assert!(transport.is_closing());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    fn connection_lost(&mut self, transport: &DatagramTransport, error: Option<io::Error>) {
        let _ = (transport, error);
    }

    /// More is queued than the high-water mark allows: stop sending.
    fn pause_writing(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// The queue has fallen to the low-water mark: go on sending.
    fn resume_writing(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }
}
