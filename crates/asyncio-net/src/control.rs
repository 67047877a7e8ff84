//! Descriptors and credentials that travel with the bytes of a Unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sendmsg_addr,
};

use crate::address::Address;
use crate::sigpipe::{self, NO_SIGPIPE};

/// The process that sent a message, as the system reports it.
///
/// # Examples
///
/// See [`sock_recvmsg`](crate::sock_recvmsg).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The process ID.
    pub pid: i32,
    /// The ID of its user.
    pub uid: u32,
    /// The ID of its group.
    pub gid: u32,
}

/// The result of one receiving call: the bytes, and the control messages that came with them.
pub(crate) struct Arrived {
    pub(crate) length: usize,
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) sender: Address,
    /// The buffer was too short for the message.
    pub(crate) is_cut: bool,
    /// More descriptors came than there was room for; the system has closed the extra ones.
    pub(crate) lost_descriptors: bool,
}

/// Receives bytes, and up to `most` descriptors, without waiting.
pub(crate) fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    most: usize,
) -> rustix::io::Result<Arrived> {
    let mut space = vec![MaybeUninit::uninit(); control_space(most)];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg(socket, &mut parts, &mut control, receive_flags())?;
    let mut arrived = Arrived {
        length: message.bytes,
        descriptors: Vec::new(),
        credentials: None,
        sender: Address::from_any(message.address),
        is_cut: message.flags.contains(ReturnFlags::TRUNC),
        lost_descriptors: message.flags.contains(ReturnFlags::CTRUNC),
    };
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(descriptors) => {
                arrived.descriptors.extend(descriptors.inspect(close_on_exec));
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            RecvAncillaryMessage::ScmCredentials(credentials) => {
                arrived.credentials = Some(Credentials {
                    pid: credentials.pid.as_raw_nonzero().get(),
                    uid: credentials.uid.as_raw(),
                    gid: credentials.gid.as_raw(),
                });
            }
            _ => {}
        }
    }
    // The room is rounded up, so one more descriptor may come.
    if arrived.descriptors.len() > most {
        arrived.descriptors.truncate(most);
        arrived.lost_descriptors = true;
    }
    Ok(arrived)
}

/// Room for descriptors, and for the credentials that a socket with `SO_PASSCRED` gets with each
/// message.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn control_space(descriptors: usize) -> usize {
    cmsg_space!(ScmRights(descriptors), ScmCredentials(1))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn control_space(descriptors: usize) -> usize {
    cmsg_space!(ScmRights(descriptors))
}

/// With this flag, a child that another thread starts meanwhile does not inherit the descriptors.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
fn receive_flags() -> RecvFlags {
    RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
fn receive_flags() -> RecvFlags {
    RecvFlags::DONTWAIT
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
fn close_on_exec(_: &OwnedFd) {}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
fn close_on_exec(descriptor: &OwnedFd) {
    // The call cannot fail for an open descriptor.
    let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
}

/// Sends bytes, and the descriptors with the first of them, without waiting.
pub(crate) fn send(
    socket: impl AsFd,
    slices: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
    address: Option<&Address>,
) -> io::Result<usize> {
    let mut space = vec![MaybeUninit::uninit(); cmsg_space!(ScmRights(descriptors.len()))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(fits, "the room is made for them");
    }
    sigpipe::never(&socket);
    let flags = SendFlags::DONTWAIT | NO_SIGPIPE;
    Ok(match address {
        None => sendmsg(socket, slices, &mut control, flags)?,
        Some(address) => sendmsg_addr(socket, &address.to_any()?, slices, &mut control, flags)?,
    })
}
