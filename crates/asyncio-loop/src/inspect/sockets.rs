//! Names of sockets. The loop knows descriptors; the crate of networks knows what they are.

use std::fmt;
use std::os::fd::RawFd;
use std::sync::OnceLock;

/// The two ends of a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketNames {
    /// The address of this end.
    pub local: Option<String>,
    /// The address of the other end, if it is connected.
    pub peer: Option<String>,
}

impl SocketNames {
    /// The addresses of the two ends.
    #[doc(hidden)]
    #[must_use]
    pub fn new(local: Option<String>, peer: Option<String>) -> Self {
        Self { local, peer }
    }
}

impl fmt::Display for SocketNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.local, &self.peer) {
            (Some(local), Some(peer)) => write!(f, "{local} to {peer}"),
            (Some(local), None) => write!(f, "{local}"),
            (None, Some(peer)) => write!(f, "to {peer}"),
            (None, None) => f.write_str("a socket without a name"),
        }
    }
}

type Name = fn(RawFd) -> Option<SocketNames>;

static NAME: OnceLock<Name> = OnceLock::new();

/// Sets the function that names sockets. Later calls do nothing.
pub fn name_sockets_by(name: Name) {
    let _ = NAME.set(name);
}

/// The names of a socket, if it is one and a function was set.
pub(super) fn names(fd: RawFd) -> Option<SocketNames> {
    NAME.get().and_then(|name| name(fd))
}
