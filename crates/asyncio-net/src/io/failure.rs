//! Finds out whether a descriptor has failed, without reading or writing.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

/// The error of a socket that has failed. The system reports it once.
///
/// Even without an error, a Unix socket whose peer has closed it is broken. For a TCP socket this
/// cannot be distinguished from the end of the peer's stream. `said_end` says that our output has
/// ended too: then the system reports the two ends as it reports a peer that has gone.
pub(crate) fn of_socket(socket: &OwnedFd, said_end: bool) -> Option<io::Error> {
    if let Ok(Err(error)) = sockopt::socket_error(socket) {
        return Some(error.into());
    }
    (!said_end && shows(socket, PollFlags::HUP)).then(|| io::ErrorKind::BrokenPipe.into())
}

/// The error of the writing end of a pipe without readers, or of a terminal that has hung up.
pub(crate) fn of_pipe(fd: &OwnedFd) -> Option<io::Error> {
    shows(fd, PollFlags::ERR | PollFlags::HUP).then(|| io::ErrorKind::BrokenPipe.into())
}

fn shows(fd: &OwnedFd, any_of: PollFlags) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::default())).is_ok() && polled[0].revents().intersects(any_of)
}
