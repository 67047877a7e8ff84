//! Unix sockets and their files.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};

use super::options::Options;
use crate::address::Address;

/// A socket at `path`, in the place of one that is there.
pub(super) fn listen_on(path: &Path, options: &Options) -> io::Result<UnixListener> {
    let address = Address::from(path);
    let listen = || {
        remove_stale(&address)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&address.to_sock_addr()?)?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(UnixListener::from(socket))
    };
    listen().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Removes the file that an earlier socket left behind; any other file is in the way.
pub(crate) fn remove_stale(address: &Address) -> io::Result<()> {
    let Some(path) = address.as_path() else { return Ok(()) };
    match fs::metadata(path) {
        Ok(file) if file.file_type().is_socket() => fs::remove_file(path),
        _ => Ok(()),
    }
}

/// The file of a socket, removed when this is dropped, unless another one has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// That of a socket with this address; `None` if it has none, or none any more.
    pub(crate) fn of(address: &Address) -> io::Result<Option<Self>> {
        let Some(path) = address.as_path() else { return Ok(None) };
        match identity(path) {
            Ok(identity) => Ok(Some(Self { path: path.to_owned(), identity })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves the file where it is.
    pub(super) fn keep(mut self) {
        self.path.clear();
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // Nobody is there to be told.
            let _ = fs::remove_file(&self.path);
        }
    }
}
