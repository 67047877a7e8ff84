//! Transports, protocols, streams and servers of `asyncio`.
#![forbid(unsafe_code)]

mod address;
mod connect;
mod connection;
mod endpoint;
mod error;
mod network;
mod pool;
mod protocol;
mod queue;
mod read_buffer;
mod resolve;
mod server;
mod server_address;
mod socket;
mod source;
mod stream;
mod transport;

pub use address::Address;
pub use connect::{create_connection, open_connection};
pub use endpoint::{Endpoint, Port};
pub use error::{IncompleteReadError, LimitOverrunError, ReadError};
pub use protocol::{BufferedProtocol, Protocol};
pub use server::{Server, ServerOptions, create_server, create_server_with};
pub use server_address::ServerAddress;
pub use source::{ByteSource, ByteStream};
pub use stream::{
    Closed, DEFAULT_LIMIT, HandlerResult, StreamFeeder, StreamReader, StreamWriter, feed_reader,
    feed_reader_with_limit, start_server, start_server_with, stream_over,
};
pub use transport::Transport;
