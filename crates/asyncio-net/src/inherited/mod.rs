//! Sockets that a service manager opened before it started the program.

mod sys;

use std::env;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::process;

pub(crate) use sys::with_descriptor;

/// More descriptors than a system lets a process have.
const MOST: RawFd = 1 << 20;

/// A descriptor that a service manager passed to the program, and its name.
///
/// # Examples
///
/// See [`listen_fds`].
#[derive(Debug)]
#[non_exhaustive]
pub struct InheritedFd {
    /// The name from the unit of the service (`FileDescriptorName=`), or `unknown` if no names were
    /// passed.
    pub name: String,
    /// The descriptor, usually a listening socket.
    pub fd: OwnedFd,
}

/// Takes the sockets that a service manager opened for this program: socket activation, as systemd
/// and other managers do it (`sd_listen_fds(3)`).
///
/// The first call returns all of them, with names, and every later call returns none. The result is
/// empty, too, if the program was not started that way, or if the sockets are meant for another
/// process (`LISTEN_PID`). Child processes do not inherit the sockets.
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) if `LISTEN_FDS` is no sensible number; the system's
/// error if a descriptor is not open.
///
/// # Examples
///
/// ```no_run
/// use asyncio_net::{Server, ServerAddress, listen_fds, start_server};
///
/// async fn serve() -> std::io::Result<Vec<Server>> {
///     let mut servers = Vec::new();
///     for inherited in listen_fds()? {
///         let address = ServerAddress::try_from(inherited.fd)?;
///         servers.push(start_server(address, async |_, writer| writer.write("hello\n")).await?);
///     }
///     if servers.is_empty() {
///         // Started by hand.
///         servers.push(start_server("127.0.0.1:8080", async |_, _| ()).await?);
///     }
///     Ok(servers)
/// }
/// ```
#[doc(alias = "sd_listen_fds")]
#[doc(alias = "LISTEN_FDS")]
pub fn listen_fds() -> io::Result<Vec<InheritedFd>> {
    let is_ours = env::var("LISTEN_PID").is_ok_and(|pid| pid == process::id().to_string());
    let Some(count) = env::var_os("LISTEN_FDS").filter(|_| is_ours) else { return Ok(Vec::new()) };
    let count: Option<RawFd> = count.to_str().and_then(|count| count.parse().ok());
    let count = count.filter(|count| (0..=MOST).contains(count)).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "LISTEN_FDS is no number of descriptors")
    })?;
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').filter(|name| !name.is_empty());
    let named = |fd| InheritedFd { name: names.next().unwrap_or("unknown").to_owned(), fd };
    Ok(sys::take_once(count)?.into_iter().map(named).collect())
}
