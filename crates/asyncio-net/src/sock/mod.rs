//! Operations on the caller's own sockets: `loop.sock_*`.
//!
//! Each operation tries its system call at once, and waits with the poller only if the call would
//! have blocked. The socket has to be non-blocking. A descriptor that a transport uses is refused.
//! Several operations may wait for one socket; all are completed in the end.

mod connect;
mod line;
mod message;
mod operation;
mod receive;
mod send;

pub use self::connect::{SockTarget, sock_accept, sock_connect};

pub use self::message::{Message, ReceiveMessage, SendMessage, sock_recvmsg, sock_sendmsg};
pub use self::receive::{sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into};
pub use self::send::{sock_sendall, sock_sendto};

pub(crate) use self::operation::Operation;
pub(crate) use self::send::send_some;
