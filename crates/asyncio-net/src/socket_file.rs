//! The files of Unix sockets. The file of a socket in use stays; a file that a dead socket left
//! behind is replaced.
//!
//! A `connect` finds out whether a file is in use. Two programs that replace the same dead file at
//! once would remove each other's, so the directory is locked meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::address::Address;

/// The number of tries to lock a directory, and the pause between two of them. A starting or ending
/// program of ours holds the lock for less time. Another program may hold it forever, so the wait
/// is limited.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(1);

/// The treatment of the file of a socket in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InUse {
    /// The file stays, and binding fails.
    Refuse,
    /// The file is replaced, and the other socket goes on without new clients.
    Replace,
}

impl InUse {
    pub(crate) fn replaced_if(yes: bool) -> Self {
        if yes { Self::Replace } else { Self::Refuse }
    }
}

/// Binds `socket` to `address`, and replaces the file that a dead socket left there.
pub(crate) fn bind(socket: &Socket, address: &Address, in_use: InUse) -> io::Result<()> {
    let system_address = address.to_sock_addr()?;
    match (socket.bind(&system_address), address.as_path()) {
        (Err(error), Some(path)) if error.kind() == io::ErrorKind::AddrInUse => {
            if !is_socket(path) {
                return Err(error);
            }
            let _lock = lock_directory(path);
            make_way(path, address, in_use)?;
            socket.bind(&system_address)
        }
        (bound, _) => bound,
    }
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

fn make_way(path: &Path, address: &Address, in_use: InUse) -> io::Result<()> {
    if in_use == InUse::Refuse && is_alive(address)? {
        let text = "the socket there is in use";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a socket is bound to the file.
///
/// The test connects a datagram socket. Connecting it to a stream socket fails, but with an error
/// that shows that the socket exists, listening or not.
fn is_alive(address: &Address) -> io::Result<bool> {
    let probe = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    let Err(error) = probe.connect(&address.to_sock_addr()?) else { return Ok(true) };
    match Errno::from_io_error(&error) {
        Some(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Some(Errno::ACCESS) => {
            let text = format!("cannot tell whether the socket there is in use: {error}");
            Err(io::Error::new(error.kind(), text))
        }
        // The socket is of another kind, is connected to another one, or has a full backlog.
        _ => Ok(true),
    }
}

/// Locks the directory of `path` against others that replace or remove sockets, until the file is
/// dropped. `None` if that is not possible, or if another program holds the lock for long.
fn lock_directory(path: &Path) -> Option<File> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = File::open(directory.unwrap_or(Path::new("."))).ok()?;
    for _ in 0..TRIES {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
            Err(_) => return None,
        }
    }
    None
}

/// The file of a bound socket. It is removed when this is dropped, unless another file has taken
/// its place. Drop this before the socket is closed: until then no other file can have its
/// identity.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// The path is absolute, because the program may change its directory.
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// The file of a socket with this address; `None` if the socket has no file, or its file is
    /// gone.
    pub(crate) fn of(address: &Address) -> io::Result<Option<Self>> {
        let Some(path) = address.as_path() else { return Ok(None) };
        let path = std::path::absolute(path)?;
        match identity(&path) {
            Ok(identity) => Ok(Some(Self { path, identity })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves the file in place, so that dropping removes nothing.
    pub(crate) fn keep(mut self) -> Option<Self> {
        self.path.clear();
        None
    }

    fn is_ours(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours() {
            let _lock = lock_directory(&self.path);
            if self.is_ours() {
                // A destructor cannot report the error.
                let _ = fs::remove_file(&self.path);
            }
        }
    }
}
