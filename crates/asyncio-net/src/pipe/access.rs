//! Chooses the way to read from or write to a descriptor without blocking the loop, and without
//! changing an open file that other processes may share.

use std::io::{self, IsTerminal};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::io::Errno;

use super::End;
use super::file::PlainFile;
use super::stream::PipeStream;
use super::threaded::ThreadedStream;
use crate::connection::Connection;
use crate::network::Network;

/// A descriptor, and the way to read and write it.
#[derive(Debug)]
pub(super) enum Access {
    /// A pipe or a terminal whose open file is non-blocking.
    NonBlocking(OwnedFd),
    /// A socket: each call has a flag not to wait.
    Socket(OwnedFd),
    /// A file or device that is always ready.
    Ready(OwnedFd),
    /// A blocking open file that other processes share: a thread makes the calls.
    Threaded(OwnedFd),
}

impl Access {
    /// Access to a descriptor of the caller. If there is no other way, its open file is made
    /// non-blocking.
    pub(super) fn to_owned(fd: OwnedFd, end: End) -> io::Result<Self> {
        let refused = || {
            let text = "only pipes, sockets and character devices can be waited for";
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        check_mode(&fd, end)?;
        match kind(&fd)? {
            Kind::Socket => Ok(Self::Socket(fd)),
            Kind::Waits if is_nonblocking(&fd)? => Ok(Self::NonBlocking(fd)),
            Kind::Waits => {
                if let Some(own) = reopen(&fd) {
                    return Ok(Self::NonBlocking(own));
                }
                rustix::io::ioctl_fionbio(&fd, true)?;
                Ok(Self::NonBlocking(fd))
            }
            Kind::ReadyDevice => Ok(Self::Ready(fd)),
            Kind::File | Kind::Other => Err(refused()),
        }
    }

    /// Access to a descriptor whose open file must not be changed.
    pub(super) fn to_shared(fd: OwnedFd, end: End) -> io::Result<Self> {
        let refused = || {
            let text = "the descriptor is neither a pipe, a socket, a device nor a file";
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        check_mode(&fd, end)?;
        match kind(&fd)? {
            Kind::Socket => Ok(Self::Socket(fd)),
            // This holds even if the open file is non-blocking now: another program may make it
            // blocking at any time.
            Kind::Waits => Ok(reopen(&fd).map_or(Self::Threaded(fd), Self::NonBlocking)),
            Kind::File | Kind::ReadyDevice => Ok(Self::Ready(fd)),
            Kind::Other => Err(refused()),
        }
    }

    pub(super) fn open(self, network: &Rc<Network>, end: End) -> io::Result<Rc<Connection>> {
        let event_loop = network.event_loop();
        Ok(match self {
            Self::NonBlocking(fd) => {
                Connection::over(network, PipeStream::pipe(event_loop, fd, end)?)
            }
            Self::Socket(fd) => Connection::over(network, PipeStream::socket(event_loop, fd, end)?),
            Self::Ready(fd) => Connection::over(network, PlainFile::new(fd.into(), end)),
            Self::Threaded(fd) => {
                Connection::over(network, ThreadedStream::new(event_loop, fd, end))
            }
        })
    }
}

enum Kind {
    Socket,
    /// A pipe, a terminal, or another device that may have no bytes for now.
    Waits,
    /// A device that is always ready, `/dev/null` for one.
    ReadyDevice,
    File,
    Other,
}

fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Socket => Kind::Socket,
        FileType::Fifo => Kind::Waits,
        FileType::CharacterDevice if is_pollable(fd)? => Kind::Waits,
        FileType::CharacterDevice => Kind::ReadyDevice,
        FileType::RegularFile | FileType::BlockDevice => Kind::File,
        _ => Kind::Other,
    })
}

/// Whether the descriptor can be waited for: the poller refuses a device that is always ready.
fn is_pollable(fd: &OwnedFd) -> io::Result<bool> {
    if fd.is_terminal() {
        return Ok(true);
    }
    let poll = mio::Poll::new()?;
    let both = Interest::READABLE | Interest::WRITABLE;
    match poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(0), both) {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the poller's error says that the descriptor cannot be waited for. The codes are those of
/// epoll, and of kqueue on several systems.
fn is_refusal(error: &io::Error) -> bool {
    let refusals: &[Errno] = if cfg!(any(target_os = "linux", target_os = "android")) {
        &[Errno::PERM]
    } else {
        &[Errno::PERM, Errno::INVAL, Errno::NODEV, Errno::OPNOTSUPP]
    };
    refusals.iter().any(|refusal| error.raw_os_error() == Some(refusal.raw_os_error()))
}

fn check_mode(fd: &OwnedFd, end: End) -> io::Result<()> {
    let mode = fcntl_getfl(fd)? & OFlags::ACCMODE;
    let (one_way, what) = match end {
        End::Reading => (OFlags::RDONLY, "reading"),
        End::Writing => (OFlags::WRONLY, "writing"),
    };
    if mode == one_way || mode == OFlags::RDWR {
        return Ok(());
    }
    let text = format!("the descriptor is not open for {what}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn is_nonblocking(fd: &OwnedFd) -> io::Result<bool> {
    Ok(fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

/// Opens the same pipe or terminal once more, non-blocking. `None` if that is not possible: without
/// `/proc`, for lack of permission, and for a device where each opening makes a new one.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
fn reopen(fd: &OwnedFd) -> Option<OwnedFd> {
    use rustix::fs::{Mode, fcntl_setfl};
    if !is_reopenable(fd) {
        return None;
    }
    let flags = fcntl_getfl(fd).ok()?;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // With the same access mode: the reading end of a named pipe that is also open for writing
    // never ends.
    let wanted = flags & OFlags::ACCMODE | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let own = rustix::fs::open(path, wanted, Mode::empty()).ok()?;
    if flags.contains(OFlags::DIRECT) {
        // A pipe that keeps the boundaries of writes.
        fcntl_setfl(&own, OFlags::NONBLOCK | OFlags::DIRECT).ok()?;
    }
    let is_same = identity(&own)? == identity(fd)?;
    is_same.then_some(own)
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
fn reopen(_: &OwnedFd) -> Option<OwnedFd> {
    None
}

/// Pipes, and terminals except for their controlling side: opening that side makes a new terminal.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
fn is_reopenable(fd: &OwnedFd) -> bool {
    if fd.is_terminal() {
        return rustix::pty::ptsname(fd, Vec::new()).is_err();
    }
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
fn identity(fd: &OwnedFd) -> Option<(u64, u64, u64)> {
    let stat = fstat(fd).ok()?;
    Some((stat.st_dev as u64, stat.st_ino as u64, stat.st_rdev as u64))
}
