//! Abstract names of Unix sockets, which are no files. Linux and Android have them.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
mod supported {
    use std::io;
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    use rustix::net::SocketAddrUnix;

    pub(crate) fn of_std(address: &SocketAddr) -> Option<Vec<u8>> {
        address.as_abstract_name().map(<[u8]>::to_vec)
    }

    pub(crate) fn of(address: &SocketAddrUnix) -> Option<Vec<u8>> {
        address.abstract_name().map(<[u8]>::to_vec)
    }

    pub(crate) fn address(name: &[u8]) -> io::Result<SocketAddrUnix> {
        Ok(SocketAddrUnix::new_abstract_name(name)?)
    }

    /// Whether the system has such names.
    pub(crate) fn check() -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
mod unsupported {
    use std::io;
    use std::os::unix::net::SocketAddr;

    use rustix::net::SocketAddrUnix;

    pub(crate) fn of_std(_: &SocketAddr) -> Option<Vec<u8>> {
        None
    }

    pub(crate) fn of(_: &SocketAddrUnix) -> Option<Vec<u8>> {
        None
    }

    pub(crate) fn address(_: &[u8]) -> io::Result<SocketAddrUnix> {
        Err(refusal())
    }

    /// Whether the system has such names.
    pub(crate) fn check() -> io::Result<()> {
        Err(refusal())
    }

    fn refusal() -> io::Error {
        let text = "this system has no abstract names of Unix sockets";
        io::Error::new(io::ErrorKind::Unsupported, text)
    }
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
pub(crate) use self::supported::{address, check, of, of_std};
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
pub(crate) use self::unsupported::{address, check, of, of_std};
