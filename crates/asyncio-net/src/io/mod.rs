//! Bytes under connections: sockets and other streams, and the buffers that they are read into.

mod any;
pub(crate) mod buffer_pool;
mod extra;
pub(crate) mod failure;
mod foreign;
mod lingering;
mod read_buffer;
mod socket;
mod source;

pub(crate) use self::any::Io;
pub use self::extra::Extra;
pub(crate) use self::extra::extra;
pub(crate) use self::foreign::Foreign;
pub(crate) use self::lingering::{Lingering, Owner};
pub(crate) use self::read_buffer::{Buffer, ReadBuffer};
pub(crate) use self::socket::{Received, SocketStream, system_sendfile};
pub use self::source::{ByteSource, ByteStream};
