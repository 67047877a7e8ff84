use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};

use rustix::net::{SocketAddrAny, SocketAddrUnix};
use socket2::SockAddr;

use crate::abstract_names;

/// The address of one end of a connection.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use asyncio_net::Address;
///
/// let address = Address::from(Path::new("/run/app.socket"));
/// assert_eq!(address.as_path(), Some(Path::new("/run/app.socket")));
/// assert_eq!(address.as_inet(), None);
/// assert_eq!(Address::from(Path::new("\0app")).to_string(), "@app");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A host and port.
    Inet(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A Unix socket's name in Linux' abstract namespace, without the leading zero byte. On other
    /// systems, a call that uses it fails with [`Unsupported`](io::ErrorKind::Unsupported).
    Abstract(Vec<u8>),
    /// No address: the connecting end of a Unix socket, a pipe, a stream in memory.
    Unnamed,
}

impl Address {
    /// The host and port, if the address has them.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::Address;
    ///
    /// let address = "127.0.0.1:80".parse()?;
    /// assert_eq!(Address::Inet(address).as_inet(), Some(address));
    /// assert_eq!(Address::Unnamed.as_inet(), None);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            _ => None,
        }
    }

    /// The path, if the address is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    /// use asyncio_net::Address;
    ///
    /// let path = Path::new("/run/app.socket");
    /// assert_eq!(Address::from(path).as_path(), Some(path));
    /// assert_eq!(Address::Unnamed.as_path(), None);
    /// ```
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            _ => None,
        }
    }
}

impl Address {
    /// The host and port; an error if the address has none.
    pub(crate) fn to_inet(&self) -> io::Result<SocketAddr> {
        let error = || io::Error::new(io::ErrorKind::NotConnected, "no internet address");
        self.as_inet().ok_or_else(error)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
            Self::Unnamed => f.write_str("unnamed"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<unix::SocketAddr> for Address {
    fn from(address: unix::SocketAddr) -> Self {
        if let Some(path) = address.as_pathname() {
            return Self::Unix(path.to_owned());
        }
        abstract_names::of_std(&address).map_or(Self::Unnamed, Self::Abstract)
    }
}

/// Makes the address of a path, or a name in Linux' abstract namespace if the path begins with a
/// zero byte, as in Python.
impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        match path.as_os_str().as_bytes().strip_prefix(b"\0") {
            Some(name) => Self::Abstract(name.to_vec()),
            None if path.as_os_str().is_empty() => Self::Unnamed,
            None => Self::Unix(path.to_owned()),
        }
    }
}

impl Address {
    pub(crate) fn from_any(address: Option<SocketAddrAny>) -> Self {
        let Some(address) = address else { return Self::Unnamed };
        if let Ok(address) = SocketAddr::try_from(address.clone()) {
            return Self::Inet(address);
        }
        let Ok(address) = SocketAddrUnix::try_from(address) else { return Self::Unnamed };
        if let Some(path) = address.path_bytes() {
            return Self::Unix(OsStr::from_bytes(path).into());
        }
        abstract_names::of(&address).map_or(Self::Unnamed, Self::Abstract)
    }

    pub(crate) fn to_any(&self) -> io::Result<SocketAddrAny> {
        Ok(match self {
            Self::Inet(address) => (*address).into(),
            Self::Unix(path) => SocketAddrUnix::new(path.as_path())?.into(),
            Self::Abstract(name) => abstract_names::address(name)?.into(),
            Self::Unnamed => return Err(no_address()),
        })
    }

    /// The address in the system's form.
    pub(crate) fn to_sock_addr(&self) -> io::Result<SockAddr> {
        match self {
            Self::Inet(address) => Ok((*address).into()),
            Self::Unix(path) => SockAddr::unix(path),
            Self::Abstract(name) => {
                abstract_names::check()?;
                SockAddr::unix(OsStr::from_bytes(&[b"\0", name.as_slice()].concat()))
            }
            Self::Unnamed => Err(no_address()),
        }
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no address")
}
