//! Listening Unix sockets.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use socket2::{Domain, Socket, Type};

use super::options::Options;
use crate::address::Address;
use crate::error::explain;
use crate::socket_file::{InUse, SocketFile, bind};

/// Makes a socket that listens at `path`. Returns its file too, if the server has to remove it.
pub(super) fn listen_on(
    address: &Address,
    options: &Options,
) -> io::Result<(UnixListener, Option<SocketFile>)> {
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        bind(&socket, address, InUse::replaced_if(options.replace_socket))?;
        // If `listen` fails, the file is removed.
        let file = SocketFile::of(address)?;
        if let (Some(mode), Some(path)) = (options.socket_mode, address.as_path()) {
            // No client can connect before the socket listens.
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        let file = file.and_then(|file| match options.cleanup_socket {
            Some(false) => file.keep(),
            _ => Some(file),
        });
        Ok((UnixListener::from(socket), file))
    };
    listen().map_err(|error| explain(error, format_args!("cannot listen on {address}")))
}
