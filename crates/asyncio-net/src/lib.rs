//! Transports, protocols, streams and servers of `asyncio`.
//!
//! # Where to start
//!
//! | you want | take |
//! |---|---|
//! | a client: one task that reads and writes | [`open_connection`], [`open_unix_connection`] |
//! | a server with a task for each client | [`start_server`], [`start_unix_server`] |
//! | callbacks, with the loop's own buffer: the least work for each byte | [`Protocol`] with [`create_connection`], [`create_server`] |
//! | callbacks with your own buffer | [`BufferedProtocol`] with [`create_buffered_connection`], [`create_buffered_server`] |
//! | datagrams | [`DatagramProtocol`] with [`create_datagram_endpoint`] |
//! | pipes, the program's own input and output | [`open_read_pipe`], [`open_write_pipe`], [`stdin`], [`stdout`] |
//! | a file over a connection | [`sendfile`] |
//! | calls on your own socket | [`sock_recv`], [`sock_sendall`], [`sock_accept`] and their like |
//! | to pass descriptors | [`DescriptorStream`]; [`sock_sendmsg`], [`sock_recvmsg`] |
//! | listening sockets from a service manager | [`listen_fds`] |
//! | another crate's protocol over a connection | [`JoinedStream`] with a feature, [`upgrade_streams`] |
//! | streams over something else that carries bytes | [`ByteStream`] with [`stream_over`], [`transport_over`]; [`memory_pair`], [`feed_reader`] in tests |
//! | a stream under all connections of a client or server: TLS, a tunnel | [`Layer`] with [`Connect::layer`], [`StartServer::layer`] |
//!
//! A [`Server`] ends with [`shutdown`](Server::shutdown). See [`Connect`] for names, several
//! addresses and happy eyeballs, and [`ServerAddress`] and [`StartServer`] for the addresses and
//! options of servers.
//!
//! ```
//! use asyncio_net::{open_connection, start_server};
//!
//! asyncio_task::run(async {
//!     let server = start_server("127.0.0.1:0", async |mut reader, writer| {
//!         while let Some(line) = reader.next_line().await? {
//!             writer.write(&line);
//!             writer.drain().await?;
//!         }
//!         writer.close().await
//!     })
//!     .await?;
//!     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
//!     writeln!(writer, "hello");
//!     assert_eq!(reader.read_line().await?, "hello\n");
//!     std::io::Result::Ok(())
//! }).unwrap();
//! ```
//!
//! # Several cores
//!
//! A loop runs on one thread. Several loops serve one port in one of two ways: each listens on it
//! ([`StartServer::reuse_port`]), or one accepts for all and hands the sockets over
//! ([`create_acceptor`], [`Server::intake`]). `docs/MULTICORE.md` of the repository compares them.
//!
//! # Features
//!
//! All are off by default. Those for other crates bring only the traits.
//!
//! * `futures-core`: the lines of a [`StreamReader`] are a `Stream`.
//! * `futures-io`: [`StreamReader`], [`StreamWriter`] and [`JoinedStream`] have `AsyncRead`,
//!   `AsyncBufRead` and `AsyncWrite` of the crate `futures-io`; `from_futures_io` makes a
//!   [`ByteStream`] of a type that has these traits.
//! * `hyper`: the three types have `Read` and `Write` of `hyper::rt`, so hyper accepts them without
//!   an adapter.
//! * `send`: `ThreadsafeStream`, which can be moved to another thread.
//! * `tokio`: the three types have `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of `tokio::io`;
//!   `from_tokio` makes a [`ByteStream`] of a type that has these traits.
#![deny(unsafe_code)]

mod abstract_names;
#[cfg(any(feature = "futures-io", feature = "tokio"))]
mod adapter;
mod address;
mod connect;
mod connection;
mod control;
mod datagram;
mod descriptor_stream;
mod endpoint;
mod error;
mod fence;
mod inherited;
mod io;
mod layer;
mod memory;
mod message;
mod names;
mod network;
mod outgoing;
mod pipe;
mod protocol;
mod resolve;
mod sendfile;
mod server;
mod sigpipe;
mod sock;
mod socket_file;
mod sockets;
mod stream;
mod transport;
mod unix;
mod waiters;

#[cfg(feature = "futures-io")]
pub use adapter::from_futures_io;
#[cfg(feature = "tokio")]
pub use adapter::from_tokio;
pub use address::Address;
#[doc(no_inline)]
pub use bytes::Bytes;
pub use connect::{
    ClientAddress, Connect, ConnectErrors, ConnectedSocket, connect_accepted_socket,
    create_buffered_connection, create_connection, open_connection,
};
pub use control::Credentials;
pub use datagram::{
    CreateDatagramEndpoint, DatagramAddress, DatagramProtocol, DatagramTransport,
    create_datagram_endpoint,
};
pub use descriptor_stream::DescriptorStream;
pub use endpoint::{Endpoint, Port};
pub use error::{IncompleteReadError, LimitOverrunError, ReadError};
pub use inherited::{InheritedFd, listen_fds};
pub use io::{ByteSource, ByteStream, Extra};
pub use layer::{Accepting, Connecting, Layer, PlainStream, upgrade_streams, upgrade_transport};
pub use memory::{MemoryStream, memory_pair};
pub use pipe::{
    connect_read_pipe, connect_write_pipe, input, open_read_pipe, open_write_pipe, stderr, stdin,
    stdout,
};
pub use protocol::{BufferedProtocol, Protocol};
pub use resolve::{AddrInfo, AddrInfoHints, Family, getaddrinfo, getnameinfo};
pub use sendfile::{SendfileNotAvailableError, SendfileOptions, sendfile, sock_sendfile};
pub use server::{
    HandlerResult, Intake, Server, ServerAddress, StartServer, create_acceptor,
    create_buffered_server, create_server, round_robin, start_server,
};
pub use sock::{
    Message, ReceiveMessage, SendMessage, SockTarget, sock_accept, sock_connect, sock_recv,
    sock_recv_into, sock_recvfrom, sock_recvfrom_into, sock_recvmsg, sock_sendall, sock_sendmsg,
    sock_sendto,
};
#[doc(no_inline)]
pub use socket2::{SockRef, Socket};
#[cfg(feature = "futures-core")]
pub use stream::Lines;
#[cfg(all(
    feature = "send",
    any(feature = "futures-io", feature = "hyper", feature = "tokio")
))]
pub use stream::ThreadsafeStream;
pub use stream::{
    Closed, JoinedStream, StreamFeeder, StreamReader, StreamWriter, feed_reader, stream_over,
};
pub use transport::{Transport, transport_over};
pub use unix::{
    create_unix_connection, create_unix_server, open_unix_connection, start_unix_server,
};

/// Parts for the other crates of this project. Users need none of them, and they may change in any
/// version.
#[doc(hidden)]
pub mod machinery {
    pub use crate::sockets::{
        DatagramOptions, Datagrams, Incoming, ListenOptions, OpeningStream, Sockets, set_sockets,
    };
    pub use crate::stream::{Closer, DEFAULT_LIMIT};
}
