use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use asyncio_loop::LoopRef;
use socket2::SockRef;

use super::endpoint::Endpoint;
use crate::address::Address;
use crate::connection::Limits;

/// The handle of a datagram endpoint, by which its protocol sends and closes.
///
/// Clones are the same transport.
///
/// # Examples
///
/// ```
/// # struct Echo;
/// # impl asyncio_net::DatagramProtocol for Echo {
/// #     fn datagram_received(
/// #         &mut self,
/// #         transport: &asyncio_net::DatagramTransport,
/// #         data: &[u8],
/// #         sender: &asyncio_net::Address,
/// #     ) {
/// #         transport.send_to(data, sender.clone());
/// #     }
/// # }
/// use asyncio_net::{create_datagram_endpoint, sock_recv};
///
/// asyncio_task::run(async {
///     let transport = create_datagram_endpoint(|| Echo).local_addr("127.0.0.1:0").await?;
///     let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     client.set_nonblocking(true)?;
///     transport.send_to(b"hello", client.local_addr()?);
///     assert_eq!(sock_recv(&client, 100).await?, "hello");
///     transport.close();
///     assert!(transport.is_closing());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct DatagramTransport(pub(super) Rc<Endpoint>);

impl DatagramTransport {
    /// Sends one datagram to the endpoint's remote address; never waits. A datagram that the socket
    /// does not take now is copied and sent later, in order.
    ///
    /// Failures are reported to the protocol. On an endpoint that is closing the call does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint, sock_recv};
    ///
    /// asyncio_task::run(async {
    ///     let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    ///     peer.set_nonblocking(true)?;
    ///     let new = create_datagram_endpoint(|| Ignore);
    ///     let transport = new.remote_addr(peer.local_addr()?).await?;
    ///     transport.send(b"hello");
    ///     assert_eq!(sock_recv(&peer, 100).await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn send(&self, data: impl AsRef<[u8]>) {
        self.0.send(data.as_ref(), Vec::new(), None);
    }

    /// Sends one datagram to `address`, as [`send`](Self::send) does.
    ///
    /// # Panics
    ///
    /// If the endpoint is connected to another address.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint, sock_recv};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    ///     peer.set_nonblocking(true)?;
    ///     transport.send_to(b"hello", peer.local_addr()?);
    ///     assert_eq!(sock_recv(&peer, 100).await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "sendto")]
    pub fn send_to(&self, data: impl AsRef<[u8]>, address: impl Into<Address>) {
        self.0.send(data.as_ref(), Vec::new(), self.destination(address.into()));
    }

    /// The address to send to; `None` for the peer that the socket is connected to.
    fn destination(&self, address: Address) -> Option<Address> {
        let Some(peer) = self.0.peer() else { return Some(address) };
        assert!(*peer == address, "the endpoint is connected to {peer}, not {address}");
        None
    }

    /// As [`send`](Self::send), with descriptors, for a Unix socket. This process's copies are
    /// closed when they have been sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::{Read, Write};
    /// use std::os::fd::OwnedFd;
    /// use std::os::unix::net::{UnixDatagram, UnixStream};
    /// use asyncio_net::{Address, DatagramProtocol, DatagramTransport, create_datagram_endpoint};
    ///
    /// /// Writes to each file that it is given.
    /// struct Writer;
    ///
    /// impl DatagramProtocol for Writer {
    ///     fn descriptors_received(&mut self, _: &DatagramTransport, descriptors: Vec<OwnedFd>) {
    ///         for descriptor in descriptors {
    ///             File::from(descriptor).write_all(b"hello").unwrap();
    ///         }
    ///     }
    ///     fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
    /// }
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixDatagram::pair()?;
    ///     let _theirs = create_datagram_endpoint(|| Writer).socket(theirs).descriptors(1).await?;
    ///     let ours = create_datagram_endpoint(|| Writer).socket(ours).await?;
    ///     let (mut reading, writing) = UnixStream::pair()?;
    ///     ours.send_descriptors(b"a file", [writing]);
    ///     asyncio_task::to_thread(move || {
    ///         let mut text = String::new();
    ///         reading.read_to_string(&mut text).unwrap();
    ///         assert_eq!(text, "hello");
    ///     })
    ///     .await
    ///     .unwrap();
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "SCM_RIGHTS")]
    pub fn send_descriptors<D: Into<OwnedFd>>(
        &self,
        data: &[u8],
        descriptors: impl IntoIterator<Item = D>,
    ) {
        let descriptors = descriptors.into_iter().map(Into::into).collect();
        self.0.send(data, descriptors, None);
    }

    /// As [`send_to`](Self::send_to), with descriptors; see
    /// [`send_descriptors`](Self::send_descriptors).
    ///
    /// # Panics
    ///
    /// If the endpoint is connected to another address.
    ///
    /// # Examples
    ///
    /// See [`send_descriptors`](Self::send_descriptors).
    pub fn send_descriptors_to<D: Into<OwnedFd>>(
        &self,
        data: &[u8],
        descriptors: impl IntoIterator<Item = D>,
        address: impl Into<Address>,
    ) {
        let descriptors = descriptors.into_iter().map(Into::into).collect();
        self.0.send(data, descriptors, self.destination(address.into()));
    }

    /// Receives no more, sends what is queued, then ends the endpoint.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     transport.close();
    ///     assert!(transport.is_closing());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn close(&self) {
        self.0.close();
    }

    /// Ends the endpoint without sending what is still queued.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     transport.abort();
    ///     assert!(transport.is_closing());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the endpoint is closed or closing.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     assert!(!transport.is_closing());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    /// As [`Transport::set_write_buffer_limits`](crate::Transport::set_write_buffer_limits).
    ///
    /// # Panics
    ///
    /// If `low` is greater than `high`.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     transport.set_write_buffer_limits(Some(4096), Some(0));
    ///     assert_eq!(transport.write_buffer_limits(), (0, 4096));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn set_write_buffer_limits(&self, high: Option<usize>, low: Option<usize>) {
        self.0.set_limits(Limits::new(high, low));
    }

    /// The marks, low and high.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     assert_eq!(transport.write_buffer_limits(), (16 * 1024, 64 * 1024));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn write_buffer_limits(&self) -> (usize, usize) {
        let limits = self.0.outgoing().limits();
        (limits.low, limits.high)
    }

    /// The size of the queue: the bytes of the datagrams in it, and 8 more for each, so that empty
    /// ones count too.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    ///     let new = create_datagram_endpoint(|| Ignore);
    ///     let transport = new.remote_addr(peer.local_addr()?).await?;
    ///     transport.send(b"the socket takes it");
    ///     assert_eq!(transport.write_buffer_size(), 0);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn write_buffer_size(&self) -> usize {
        self.0.outgoing().size()
    }

    /// The host and port that the endpoint receives at.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) for a socket that has no host and port.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     assert_ne!(transport.local_addr().unwrap().port(), 0);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_address().to_inet()
    }

    /// The host and port that the endpoint is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the endpoint is not connected, or not to a
    /// host and port.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    ///     let new = create_datagram_endpoint(|| Ignore);
    ///     let transport = new.remote_addr(peer.local_addr()?).await?;
    ///     assert_eq!(transport.peer_addr()?, peer.local_addr()?);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer_address().to_inet()
    }

    /// The address that the endpoint receives at.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     assert_eq!(transport.local_address(), transport.local_addr()?.into());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn local_address(&self) -> Address {
        self.0.local().cloned().unwrap_or(Address::Unnamed)
    }

    /// The address that the endpoint is connected to.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{Address, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     assert_eq!(transport.peer_address(), Address::Unnamed, "it is not connected");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn peer_address(&self) -> Address {
        self.0.peer().cloned().unwrap_or(Address::Unnamed)
    }

    /// Calls `look` with the socket, for example to set options. `None` once the socket is closed,
    /// and on a simulated network.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let transport = create_datagram_endpoint(|| Ignore).local_addr("127.0.0.1:0").await?;
    ///     transport.with_socket(|socket| {
    ///         assert!(socket.recv_buffer_size().unwrap() > 0);
    ///     });
    ///     transport.abort();
    ///     asyncio_task::yield_now().await;
    ///     assert!(transport.with_socket(|_| ()).is_none());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn with_socket<R>(&self, look: impl FnOnce(SockRef<'_>) -> R) -> Option<R> {
        self.0.with_medium(|medium| medium.with_socket(look)).flatten()
    }

    pub(super) fn event_loop(&self) -> &LoopRef {
        self.0.event_loop()
    }
}

impl fmt::Debug for DatagramTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramTransport")
            .field("local", &format_args!("{}", self.local_address()))
            .field("peer", &format_args!("{}", self.peer_address()))
            .field("closing", &self.is_closing())
            .field("queued", &self.write_buffer_size())
            .finish()
    }
}
