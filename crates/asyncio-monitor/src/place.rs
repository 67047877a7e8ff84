//! Where a monitor listens: directories, files and addresses.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::options::Place;

/// A resolved and permitted place to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Path(PathBuf),
    Address(SocketAddr),
}

impl Place {
    /// The place that `ASYNCIO_MONITOR` names; `None` if it disables the monitor.
    pub(crate) fn of_variable(value: &str) -> Option<Self> {
        match value {
            "" | "0" => None,
            "1" => Some(Self::RuntimeDirectory),
            path if path.contains('/') => Some(Self::Path(path.into())),
            address => Some(Self::Address(address.to_owned())),
        }
    }

    /// Resolves the place, and creates the user's runtime directory if the socket is in it.
    pub(crate) fn look_up(&self, has_token: bool) -> io::Result<Bound> {
        match self {
            Self::RuntimeDirectory => {
                let directory = runtime_directory()?;
                Ok(Bound::Path(directory.join(format!("{}.sock", std::process::id()))))
            }
            Self::Path(path) => Ok(Bound::Path(std::path::absolute(path)?)),
            Self::Address(address) => resolve(address, has_token).map(Bound::Address),
        }
    }
}

fn resolve(address: &str, has_token: bool) -> io::Result<SocketAddr> {
    let error = |kind, text: &str| io::Error::new(kind, format!("{address:?} {text}"));
    let mut found = address
        .to_socket_addrs()
        .map_err(|why| error(why.kind(), &format!("is no address to listen on: {why}")))?;
    let found = found
        .next()
        .ok_or_else(|| error(io::ErrorKind::AddrNotAvailable, "is no address to listen on"))?;
    if !found.ip().is_loopback() && !has_token {
        let text = "can be reached from other machines: it needs a token";
        return Err(error(io::ErrorKind::PermissionDenied, text));
    }
    Ok(found)
}

/// The directory of the sockets, which is created if necessary: `asyncio` in `$XDG_RUNTIME_DIR`, or
/// `asyncio-UID` in the directory for temporary files if that variable is not set.
fn runtime_directory() -> io::Result<PathBuf> {
    let user = geteuid().as_raw();
    let given = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let directory = match given {
        Some(given) => Path::new(&given).join("asyncio"),
        None => std::env::temp_dir().join(format!("asyncio-{user}")),
    };
    make_private(&directory, user)?;
    Ok(directory)
}

/// Creates a directory that only the user can enter, or checks that an existing one is.
fn make_private(directory: &Path, user: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The check does not follow a symbolic link, which another user may have created.
    match why_not_private(&fs::symlink_metadata(directory)?, user) {
        None => Ok(()),
        Some(why) => {
            let text = format!("{}: {why}", directory.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        }
    }
}

fn why_not_private(found: &Metadata, user: u32) -> Option<&'static str> {
    if !found.is_dir() {
        return Some("not a directory");
    }
    if found.uid() != user {
        return Some("it belongs to another user");
    }
    (found.permissions().mode() & 0o077 != 0).then_some("other users can enter it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_a_place() {
        assert_eq!(Place::of_variable(""), None);
        assert_eq!(Place::of_variable("0"), None);
        assert_eq!(Place::of_variable("1"), Some(Place::RuntimeDirectory));
        assert_eq!(Place::of_variable("./x.sock"), Some(Place::Path("./x.sock".into())));
        let address = Place::Address("127.0.0.1:0".into());
        assert_eq!(Place::of_variable("127.0.0.1:0"), Some(address));
    }

    #[test]
    fn addresses_beyond_the_machine_need_a_token() {
        let place = |text: &str| Place::Address(text.to_owned());
        let error = place("0.0.0.0:0").look_up(false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(place("[::]:0").look_up(false).is_err());
        assert!(place("0.0.0.0:0").look_up(true).is_ok());
        assert!(place("127.0.0.1:0").look_up(false).is_ok());
        assert!(place("[::1]:0").look_up(false).is_ok());
        assert!(place("nonsense").look_up(true).is_err());
    }

    #[test]
    fn a_directory_is_private_or_refused() {
        let user = geteuid().as_raw();
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("asyncio");
        make_private(&directory, user).unwrap();
        make_private(&directory, user).unwrap();
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);

        assert!(make_private(&directory, user + 1).is_err(), "of another user");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(make_private(&directory, user).is_err(), "others can enter it");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        assert!(make_private(&link, user).is_err(), "a link");
    }
}
