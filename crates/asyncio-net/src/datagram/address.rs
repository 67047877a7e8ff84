use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use asyncio_loop::LoopRef;

use super::options::Options;
use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::resolve::{Family, resolve, resolve_passive};

/// The local or remote address of a datagram endpoint: an [`Endpoint`] or a value that converts
/// into one, or a Unix socket's path.
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
    /// An endpoint to resolve.
    Endpoint(Endpoint),
    /// A Unix socket.
    Path(PathBuf),
}

impl<E: Into<Endpoint>> From<E> for DatagramAddress {
    fn from(endpoint: E) -> Self {
        Self::Endpoint(endpoint.into())
    }
}

/// Converts the address of another endpoint.
impl From<Address> for DatagramAddress {
    fn from(address: Address) -> Self {
        match address {
            Address::Inet(address) => address.into(),
            Address::Unix(path) => path.into(),
            Address::Abstract(name) => {
                Self::Path(OsString::from_vec([b"\0", name.as_slice()].concat()).into())
            }
            Address::Unnamed => Self::Path(PathBuf::new()),
        }
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

/// A local and a remote address of the same family.
pub(super) type Pair = (Option<Address>, Option<Address>);

/// All combinations of addresses to try.
pub(super) async fn pairs(event_loop: &LoopRef, options: &Options) -> io::Result<Vec<Pair>> {
    let family = options.family;
    let locals = resolved(event_loop, options.local.as_ref(), family, true).await?;
    let remotes = resolved(event_loop, options.remote.as_ref(), family, false).await?;
    let pairs = locals.iter().flat_map(|local| remotes.iter().map(move |remote| (local, remote)));
    let fitting = pairs.filter(|pair| match pair {
        (Some(Address::Inet(local)), Some(Address::Inet(remote))) => {
            local.is_ipv4() == remote.is_ipv4()
        }
        (Some(Address::Inet(_)), Some(_)) | (Some(_), Some(Address::Inet(_))) => false,
        _ => true,
    });
    Ok(fitting.map(|(local, remote)| (local.clone(), remote.clone())).collect())
}

async fn resolved(
    event_loop: &LoopRef,
    address: Option<&DatagramAddress>,
    family: Option<Family>,
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
    let fits = |address: &_| family.is_none_or(|family| Family::of(address) == family);
    Ok(addresses.into_iter().filter(fits).map(|address| Some(Address::Inet(address))).collect())
}
