use std::io;
use std::path::{Path, PathBuf};

use asyncio_loop::LoopRef;
use socket2::Domain;

use super::fit;
use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::pool;
use crate::resolve::{Family, resolve, resolve_passive};

/// Options of a new datagram endpoint.
///
/// # Examples
///
/// ```
/// let options = asyncio_net::DatagramOptions::new().local_addr("127.0.0.1:0").allow_broadcast(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct DatagramOptions {
    pub(super) local: Option<DatagramAddress>,
    pub(super) remote: Option<DatagramAddress>,
    pub(super) family: Option<Family>,
    pub(super) reuse_port: bool,
    pub(super) allow_broadcast: bool,
    pub(super) cleanup_socket: bool,
    pub(super) replace_socket: bool,
    pub(super) limit: usize,
}

/// An end of a datagram endpoint: an [`Endpoint`] (and whatever can be one), or a Unix socket's path.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use asyncio_net::DatagramAddress;
///
/// assert!(matches!(DatagramAddress::from("127.0.0.1:53"), DatagramAddress::Endpoint(_)));
/// assert!(matches!(DatagramAddress::from(Path::new("/run/log")), DatagramAddress::Path(_)));
/// ```
#[derive(Clone, Debug)]
pub enum DatagramAddress {
    /// To be resolved.
    Endpoint(Endpoint),
    /// A Unix socket.
    Path(PathBuf),
}

impl<E: Into<Endpoint>> From<E> for DatagramAddress {
    fn from(endpoint: E) -> Self {
        Self::Endpoint(endpoint.into())
    }
}

impl From<&Path> for DatagramAddress {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<PathBuf> for DatagramAddress {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&PathBuf> for DatagramAddress {
    fn from(path: &PathBuf) -> Self {
        Self::Path(path.clone())
    }
}

/// A local and a remote address that fit.
type Pair = (Option<Address>, Option<Address>);

impl DatagramOptions {
    /// Nothing yet: at least an address or a family is needed.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(&mut self, _: &asyncio_net::DatagramTransport, _: &[u8], _: &asyncio_net::Address) {}
    /// # }
    /// use std::io::ErrorKind;
    /// use asyncio_net::{DatagramOptions, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let options = DatagramOptions::new();
    ///     let error = create_datagram_endpoint(|| Ignore, options).await.unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// });
    /// ```
    pub fn new() -> Self {
        Self {
            local: None,
            remote: None,
            family: None,
            reuse_port: false,
            allow_broadcast: false,
            cleanup_socket: true,
            replace_socket: false,
            limit: pool::LENGTH,
        }
    }

    /// Where to receive.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(&mut self, _: &asyncio_net::DatagramTransport, _: &[u8], _: &asyncio_net::Address) {}
    /// # }
    /// use asyncio_net::{DatagramOptions, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let options = DatagramOptions::new().local_addr("127.0.0.1:0");
    ///     let transport = create_datagram_endpoint(|| Ignore, options).await?;
    ///     assert!(transport.local_addr().unwrap().ip().is_loopback());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn local_addr(mut self, address: impl Into<DatagramAddress>) -> Self {
        self.local = Some(address.into());
        self
    }

    /// The address that [`send`](super::DatagramTransport::send) sends to. The socket is connected to it, and receives only
    /// datagrams from there, unless the endpoint is [allowed to broadcast](Self::allow_broadcast).
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(&mut self, _: &asyncio_net::DatagramTransport, _: &[u8], _: &asyncio_net::Address) {}
    /// # }
    /// use asyncio_net::{DatagramOptions, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    ///     let options = DatagramOptions::new().remote_addr(peer.local_addr()?);
    ///     let transport = create_datagram_endpoint(|| Ignore, options).await?;
    ///     assert_eq!(transport.peer_addr(), peer.local_addr().ok());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn remote_addr(mut self, address: impl Into<DatagramAddress>) -> Self {
        self.remote = Some(address.into());
        self
    }

    /// Uses addresses of one family only; without any address, the family of the socket.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(&mut self, _: &asyncio_net::DatagramTransport, _: &[u8], _: &asyncio_net::Address) {}
    /// # }
    /// use asyncio_net::{DatagramOptions, Family, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let options = DatagramOptions::new().local_addr("127.0.0.1:0").family(Family::Inet6);
    ///     assert!(create_datagram_endpoint(|| Ignore, options).await.is_err());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = Some(family);
        self
    }

    /// Whether other sockets may receive at the same address. False, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(&mut self, _: &asyncio_net::DatagramTransport, _: &[u8], _: &asyncio_net::Address) {}
    /// # }
    /// use asyncio_net::{DatagramOptions, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let options = DatagramOptions::new().local_addr("127.0.0.1:0").reuse_port(true);
    ///     let first = create_datagram_endpoint(|| Ignore, options).await?;
    ///     let options = DatagramOptions::new().local_addr(first.local_addr().unwrap()).reuse_port(true);
    ///     let second = create_datagram_endpoint(|| Ignore, options).await?;
    ///     assert_eq!(second.local_addr(), first.local_addr());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.reuse_port = yes;
        self
    }

    /// Whether datagrams may be sent to everybody. False, unless told.
    ///
    /// The socket is then not connected to the remote address, so that answers from all hosts arrive.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(&mut self, _: &asyncio_net::DatagramTransport, _: &[u8], _: &asyncio_net::Address) {}
    /// # }
    /// use asyncio_net::{DatagramOptions, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let options = DatagramOptions::new().local_addr("127.0.0.1:0").allow_broadcast(true);
    ///     let transport = create_datagram_endpoint(|| Ignore, options).await?;
    ///     let allowed = transport.with_socket(|socket| socket2::SockRef::from(&socket).broadcast());
    ///     assert!(allowed.unwrap()?);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn allow_broadcast(mut self, yes: bool) -> Self {
        self.allow_broadcast = yes;
        self
    }

    /// Whether the file of a Unix socket's local address is removed in the end. True, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(&mut self, _: &asyncio_net::DatagramTransport, _: &[u8], _: &asyncio_net::Address) {}
    /// # }
    /// use asyncio_net::{DatagramOptions, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let path = std::env::temp_dir().join(format!("asyncio-example-{}.datagrams", std::process::id()));
    ///     let options = DatagramOptions::new().local_addr(&path).cleanup_socket(false);
    ///     create_datagram_endpoint(|| Ignore, options).await?.abort();
    ///     asyncio_task::yield_now().await;
    ///     assert!(path.exists());
    ///     std::fs::remove_file(&path)?;
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn cleanup_socket(mut self, yes: bool) -> Self {
        self.cleanup_socket = yes;
        self
    }

    /// Whether a Unix socket takes the place of a living one at the same path, which then receives
    /// nothing more. False, unless told: the path of a socket in use is an error, and only the file of a
    /// dead socket is replaced.
    #[must_use]
    pub fn replace_socket(mut self, yes: bool) -> Self {
        self.replace_socket = yes;
        self
    }

    /// The length of the longest datagram that is received. 256 KiB, unless told; no internet datagram is longer.
    ///
    /// A longer one is dropped, and told as an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(&mut self, _: &asyncio_net::DatagramTransport, _: &[u8], _: &asyncio_net::Address) {}
    /// # }
    /// use asyncio_net::{DatagramOptions, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let options = DatagramOptions::new().local_addr("127.0.0.1:0").limit(512);
    ///     let transport = create_datagram_endpoint(|| Ignore, options).await?;
    ///     assert!(!transport.is_closing());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    pub(super) fn domain(&self) -> Domain {
        if self.family == Some(Family::Inet6) { Domain::IPV6 } else { Domain::IPV4 }
    }

    /// All combinations of addresses to try.
    pub(super) async fn pairs(&self, event_loop: &LoopRef) -> io::Result<Vec<Pair>> {
        if self.local.is_none() && self.remote.is_none() && self.family.is_none() {
            let text = "a datagram endpoint needs an address or a family";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let locals = self.resolve(event_loop, self.local.as_ref(), true).await?;
        let remotes = self.resolve(event_loop, self.remote.as_ref(), false).await?;
        let pairs =
            locals.iter().flat_map(|local| remotes.iter().map(move |remote| (local, remote)));
        let fitting = pairs.filter(|pair| match pair {
            (Some(Address::Inet(local)), Some(Address::Inet(remote))) => fit(local, remote),
            (Some(Address::Inet(_)), Some(_)) | (Some(_), Some(Address::Inet(_))) => false,
            _ => true,
        });
        Ok(fitting.map(|(local, remote)| (local.clone(), remote.clone())).collect())
    }

    async fn resolve(
        &self,
        event_loop: &LoopRef,
        address: Option<&DatagramAddress>,
        passive: bool,
    ) -> io::Result<Vec<Option<Address>>> {
        let addresses = match address {
            None => return Ok(vec![None]),
            Some(DatagramAddress::Path(path)) => return Ok(vec![Some(path.as_path().into())]),
            Some(DatagramAddress::Endpoint(endpoint)) if passive => {
                resolve_passive(event_loop, endpoint).await?
            }
            Some(DatagramAddress::Endpoint(endpoint)) => resolve(event_loop, endpoint).await?,
        };
        let fitting = addresses
            .into_iter()
            .filter(|address| self.family.is_none_or(|family| Family::of(address) == family));
        Ok(fitting.map(|address| Some(Address::Inet(address))).collect())
    }
}

impl Default for DatagramOptions {
    fn default() -> Self {
        Self::new()
    }
}
