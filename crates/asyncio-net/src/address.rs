use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The name of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A host and port.
    Inet(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A Unix socket's name in Linux' abstract namespace, without the zero in front.
    Abstract(Vec<u8>),
    /// None: the calling end of a Unix socket, a pipe, memory.
    Unnamed,
}

impl Address {
    /// Host and port, if it has them.
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            _ => None,
        }
    }

    /// The path, if it has one.
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            _ => None,
        }
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
