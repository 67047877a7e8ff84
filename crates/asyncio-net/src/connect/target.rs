use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::connection::Opened;
use crate::endpoint::Endpoint;
use crate::network::Network;
use crate::socket::SocketStream;

/// What a client connects to: an [`Endpoint`] (and whatever can be one), or a socket that is connected already.
#[derive(Debug)]
pub enum ClientAddress {
    /// To be resolved and connected to.
    Endpoint(Endpoint),
    /// Connected already.
    Socket(ConnectedSocket),
}

/// A stream socket that is connected.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectedSocket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl<E: Into<Endpoint>> From<E> for ClientAddress {
    fn from(endpoint: E) -> Self {
        Self::Endpoint(endpoint.into())
    }
}

impl From<TcpStream> for ClientAddress {
    fn from(socket: TcpStream) -> Self {
        Self::Socket(socket.into())
    }
}

impl From<UnixStream> for ClientAddress {
    fn from(socket: UnixStream) -> Self {
        Self::Socket(socket.into())
    }
}

impl From<TcpStream> for ConnectedSocket {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for ConnectedSocket {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

impl ConnectedSocket {
    pub(crate) fn open(self, network: &Rc<Network>) -> io::Result<Opened> {
        let event_loop = network.event_loop();
        match self {
            Self::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                let socket = mio::net::TcpStream::from_std(socket);
                Ok(Opened::new(network, SocketStream::new(event_loop, socket, None)))
            }
            Self::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let socket = mio::net::UnixStream::from_std(socket);
                Ok(Opened::new(network, SocketStream::new(event_loop, socket, None)))
            }
        }
    }
}
