use std::future::poll_fn;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::task::{Context, Poll};

use asyncio_loop::machinery::{Share, at_await};
use asyncio_loop::{Direction, Pollable, running_loop};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, getsockname, sockopt};
use socket2::Socket;

use super::operation::{Operation, operate};
use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::error::explain;
use crate::resolve::{Family, resolve};

/// The address that [`sock_connect`] connects to: an [`Endpoint`] or a value that converts into
/// one, or any [`Address`].
///
/// # Examples
///
/// ```
/// use asyncio_net::{Address, SockTarget};
///
/// assert!(matches!(SockTarget::from("localhost:80"), SockTarget::Endpoint(_)));
/// assert!(matches!(SockTarget::from(Address::Abstract(b"app".to_vec())), SockTarget::Address(_)));
/// ```
#[derive(Debug)]
pub enum SockTarget {
    /// An endpoint to resolve.
    Endpoint(Endpoint),
    /// A known address.
    Address(Address),
}

impl<E: Into<Endpoint>> From<E> for SockTarget {
    fn from(endpoint: E) -> Self {
        Self::Endpoint(endpoint.into())
    }
}

impl From<Address> for SockTarget {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

impl From<&Path> for SockTarget {
    fn from(path: &Path) -> Self {
        Self::Address(path.into())
    }
}

/// Connects `socket`.
///
/// A name is resolved to the first address of the socket's own family.
///
/// # Errors
///
/// The system's error, with the address. An error if a transport uses the socket, and in debug
/// mode, if the socket is blocking.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping the future leaves the socket usable: the system goes on connecting, and a second call
/// waits for that.
///
/// # Examples
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use asyncio_net::{sock_accept, sock_connect};
///
/// asyncio_task::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     listener.set_nonblocking(true)?;
///     let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
///     socket.set_nonblocking(true)?;
///     sock_connect(&socket, listener.local_addr()?).await?;
///     let (accepted, peer) = sock_accept(&listener).await?;
///     assert_eq!(TcpStream::from(accepted).peer_addr()?, peer.as_inet().unwrap());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn sock_connect(
    socket: &impl Pollable,
    target: impl Into<SockTarget>,
) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let address = match target.into() {
            SockTarget::Address(address) => address,
            SockTarget::Endpoint(endpoint) => Address::Inet(resolve_for(socket, &endpoint).await?),
        };
        let connected = async { connect(socket, &address.to_any()?).await };
        let name = |error| explain(error, format_args!("cannot connect to {address}"));
        connected.await.map_err(name)
    })
}

async fn resolve_for(
    socket: &impl Pollable,
    endpoint: &Endpoint,
) -> io::Result<std::net::SocketAddr> {
    let family = match getsockname(socket)?.address_family() {
        AddressFamily::INET => Family::Inet,
        AddressFamily::INET6 => Family::Inet6,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an internet socket")),
    };
    let addresses = resolve(&running_loop(), endpoint).await?;
    let fitting = addresses.into_iter().find(|address| Family::of(address) == family);
    fitting.ok_or_else(|| {
        let text = format!("{endpoint} has no address of the socket's family");
        io::Error::new(io::ErrorKind::AddrNotAvailable, text)
    })
}

async fn connect(socket: &impl Pollable, address: &SocketAddrAny) -> io::Result<()> {
    let mut operation = Operation::new(socket, Direction::Write)?;
    let share = Share::default();
    let attempt = |_: &mut Context<'_>| Poll::Ready(rustix::net::connect(socket, address));
    match poll_fn(|cx| share.poll(cx, attempt)).await {
        Ok(()) => return Ok(()),
        // The socket is connecting already, because an earlier call was dropped.
        Err(Errno::INPROGRESS | Errno::ALREADY) => {}
        Err(error) => return Err(error.into()),
    }
    operation.writable().await?;
    Ok(sockopt::socket_error(socket)??)
}

/// Accepts a connection. Returns its socket, which is non-blocking, and the peer's address.
///
/// Convert the socket into its type, for example by `TcpStream::from`.
///
/// # Errors
///
/// The system's errors. An error if a transport uses the socket, and in debug mode, if the socket
/// is blocking.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping the future loses no connection: one that was not accepted stays with the listener.
///
/// # Examples
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use asyncio_net::sock_accept;
///
/// asyncio_task::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     listener.set_nonblocking(true)?;
///     let client = TcpStream::connect(listener.local_addr()?)?;
///     let (_accepted, peer) = sock_accept(&listener).await?;
///     assert_eq!(peer.as_inet(), client.local_addr().ok());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn sock_accept(socket: &impl Pollable) -> impl Future<Output = io::Result<(Socket, Address)>> {
    at_await(async move {
        operate(socket, Direction::Read, |fd| {
            let (accepted, peer) = accept(fd)?;
            Ok((Socket::from(accepted), Address::from_any(peer)))
        })
        .await
    })
}

/// The flags are set in the same step, so that a child that another thread starts meanwhile does
/// not inherit the socket.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
fn accept(socket: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::SocketFlags;
    rustix::net::acceptfrom_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
fn accept(socket: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (accepted, peer) = rustix::net::acceptfrom(socket)?;
    rustix::io::fcntl_setfd(&accepted, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&accepted, true)?;
    Ok((accepted, peer))
}
