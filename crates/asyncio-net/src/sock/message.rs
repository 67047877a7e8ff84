use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;

use asyncio_loop::machinery::{AtAwait, Share, at_await};
use asyncio_loop::{Direction, Pollable};
use bytes::Bytes;
use rustix::net::{SocketType, sockopt};

use super::Operation;
use crate::address::Address;
use crate::control::{self, Credentials};

/// Sends one message, with descriptors if the socket is a Unix one, and returns the number of bytes
/// sent.
///
/// A stream socket may take only a part of the bytes; the descriptors are sent with the first of
/// them.
///
/// # Errors
///
/// The system's errors. An error if a transport uses the socket, and in debug mode, if the socket
/// is blocking. [`InvalidInput`](io::ErrorKind::InvalidInput) for descriptors without a byte on a
/// stream socket, which would be lost.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// A dropped future while it waits has sent nothing.
///
/// # From asyncio
///
/// asyncio has no such function; Python's `socket.sendmsg` would block.
///
/// # Examples
///
/// ```
/// use std::fs::File;
/// use std::io::{Read, Write};
/// use std::os::unix::net::{UnixDatagram, UnixStream};
/// use asyncio_net::{sock_recvmsg, sock_sendmsg};
///
/// asyncio_task::run(async {
///     let (ours, theirs) = UnixDatagram::pair()?;
///     ours.set_nonblocking(true)?;
///     theirs.set_nonblocking(true)?;
///     let (mut reading, writing) = UnixStream::pair()?;
///     sock_sendmsg(&ours, b"a socket for you").descriptor(&writing).await?;
///     drop(writing);
///
///     let message = sock_recvmsg(&theirs, 100).descriptors(1).await?;
///     assert_eq!(message.data, "a socket for you");
///     for descriptor in message.descriptors {
///         File::from(descriptor).write_all(b"thanks")?;
///     }
///     let mut answer = String::new();
///     reading.read_to_string(&mut answer)?;
///     assert_eq!(answer, "thanks");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "SCM_RIGHTS")]
pub fn sock_sendmsg<'a>(socket: &'a impl Pollable, bytes: &'a [u8]) -> SendMessage<'a> {
    SendMessage { socket: socket.as_fd(), bytes, descriptors: Vec::new(), address: None }
}

/// The builder that [`sock_sendmsg`] returns. Awaiting it sends the message.
#[must_use = "nothing is sent before `.await`"]
pub struct SendMessage<'a> {
    socket: BorrowedFd<'a>,
    bytes: &'a [u8],
    descriptors: Vec<BorrowedFd<'a>>,
    address: Option<Address>,
}

impl<'a> SendMessage<'a> {
    /// Adds a descriptor; the receiver gets a copy of it.
    ///
    /// # Examples
    ///
    /// See [`sock_sendmsg`].
    pub fn descriptor(mut self, descriptor: &'a impl AsFd) -> Self {
        self.descriptors.push(descriptor.as_fd());
        self
    }

    /// Sets the receiver's address, for a socket that is not connected.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::UdpSocket;
    /// use asyncio_net::sock_sendmsg;
    ///
    /// asyncio_task::run(async {
    ///     let [one, other] = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    ///     one.set_nonblocking(true)?;
    ///     assert_eq!(sock_sendmsg(&one, b"hello").address(other.local_addr()?).await?, 5);
    ///     assert_eq!(other.recv(&mut [0; 100])?, 5);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn address(mut self, address: impl Into<Address>) -> Self {
        self.address = Some(address.into());
        self
    }

    async fn run(self) -> io::Result<usize> {
        let Self { socket, bytes, descriptors, address } = self;
        let is_lost = bytes.is_empty() && !descriptors.is_empty();
        if is_lost && sockopt::socket_type(socket)? == SocketType::STREAM {
            let text = "descriptors need a byte to travel with on a stream socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut operation = Operation::new(&socket, Direction::Write)?;
        let share = Share::default();
        let slices = [IoSlice::new(bytes)];
        let send = |fd: BorrowedFd<'_>| control::send(fd, &slices, &descriptors, address.as_ref());
        poll_fn(|cx| share.poll(cx, |cx| operation.poll(cx, send))).await
    }
}

impl<'a> IntoFuture for SendMessage<'a> {
    type Output = io::Result<usize>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = io::Result<usize>> + 'a>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.run()))
    }
}

impl fmt::Debug for SendMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendMessage")
            .field("socket", &self.socket)
            .field("bytes", &self.bytes.len())
            .field("descriptors", &self.descriptors)
            .field("address", &self.address)
            .finish()
    }
}

/// Receives one message of up to `count` bytes, with the descriptors and the credentials that come
/// with it.
///
/// Flags in the [`Message`] say if bytes or descriptors did not fit. Credentials come if the socket
/// has `SO_PASSCRED` (`rustix::net::sockopt::set_socket_passcred`), on Linux.
///
/// # Errors
///
/// As [`sock_recv`](crate::sock_recv).
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future loses no message: one that was not received stays in the socket.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::sock_recvmsg;
///
/// asyncio_task::run(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     ours.set_nonblocking(true)?;
///     rustix::net::sockopt::set_socket_passcred(&ours, true)?;
///     std::io::Write::write_all(&mut &theirs, b"hello")?;
///     let message = sock_recvmsg(&ours, 100).await?;
///     assert_eq!(message.data, "hello");
///     assert_eq!(message.credentials.unwrap().pid as u32, std::process::id());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "SCM_RIGHTS")]
#[doc(alias = "SCM_CREDENTIALS")]
pub fn sock_recvmsg(socket: &impl Pollable, count: usize) -> ReceiveMessage<'_> {
    ReceiveMessage { socket: socket.as_fd(), count, most: 0 }
}

/// The builder that [`sock_recvmsg`] returns. Awaiting it receives a message.
#[derive(Debug)]
#[must_use = "nothing is received before `.await`"]
pub struct ReceiveMessage<'a> {
    socket: BorrowedFd<'a>,
    count: usize,
    most: usize,
}

/// A message, with the descriptors and credentials that came with it.
///
/// # Examples
///
/// See [`sock_sendmsg`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Message {
    /// The bytes; empty at the end of a stream.
    pub data: Bytes,
    /// The descriptors. Child processes do not inherit them.
    pub descriptors: Vec<OwnedFd>,
    /// The sending process, if the socket has `SO_PASSCRED`.
    pub credentials: Option<Credentials>,
    /// The sender's address.
    pub sender: Address,
    /// Whether the datagram was longer than `count` bytes, so that its rest is lost.
    pub is_cut: bool,
    /// Whether more descriptors came than were allowed; the system has closed the extra ones.
    pub lost_descriptors: bool,
}

impl<'a> ReceiveMessage<'a> {
    /// Receives up to `most` descriptors. The default is 0: descriptors that come are closed.
    ///
    /// # Examples
    ///
    /// See [`sock_sendmsg`].
    pub fn descriptors(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    async fn run(self) -> io::Result<Message> {
        let mut buffer = vec![0; self.count];
        let mut operation = Operation::new(&self.socket, Direction::Read)?;
        let share = Share::default();
        let mut receive = |fd: BorrowedFd<'_>| Ok(control::receive(fd, &mut buffer, self.most)?);
        let arrived = poll_fn(|cx| share.poll(cx, |cx| operation.poll(cx, &mut receive))).await?;
        buffer.truncate(arrived.length);
        Ok(Message {
            data: buffer.into(),
            descriptors: arrived.descriptors,
            credentials: arrived.credentials,
            sender: arrived.sender,
            is_cut: arrived.is_cut,
            lost_descriptors: arrived.lost_descriptors,
        })
    }
}

impl<'a> IntoFuture for ReceiveMessage<'a> {
    type Output = io::Result<Message>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = io::Result<Message>> + 'a>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.run()))
    }
}
