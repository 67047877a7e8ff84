//! Streams, protocols and transports, servers, datagrams, pipes, and calls on sockets.
//!
//! The names that most programs use are at the root as well.
//!
//! ```
//! use asyncio::net::{AddrInfoHints, getaddrinfo};
//!
//! asyncio::run(async {
//!     let hints = AddrInfoHints::new().numeric_host(true);
//!     let found = getaddrinfo(Some("127.0.0.1"), 80, hints).await?;
//!     assert_eq!(found[0].address, "127.0.0.1:80".parse().unwrap());
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(feature = "futures-core")]
pub use asyncio_net::Lines;
#[cfg(all(
    feature = "send",
    any(feature = "futures-io", feature = "http", feature = "hyper", feature = "tokio")
))]
pub use asyncio_net::ThreadsafeStream;
#[cfg(feature = "futures-io")]
pub use asyncio_net::from_futures_io;
#[cfg(feature = "tokio")]
pub use asyncio_net::from_tokio;
pub use asyncio_net::{
    Accepting, AddrInfo, AddrInfoHints, Address, BufferedProtocol, ByteSource, ByteStream, Bytes,
    ClientAddress, Closed, Connect, ConnectErrors, ConnectedSocket, Connecting,
    CreateDatagramEndpoint, Credentials, DatagramAddress, DatagramProtocol, DatagramTransport,
    DescriptorStream, Endpoint, Extra, Family, HandlerResult, IncompleteReadError, InheritedFd,
    Intake, JoinedStream, Layer, LimitOverrunError, MemoryStream, Message, PlainStream, Port,
    Protocol, ReadError, ReceiveMessage, SendMessage, SendfileNotAvailableError, SendfileOptions,
    Server, ServerAddress, SockRef, SockTarget, Socket, StartServer, StreamFeeder, StreamReader,
    StreamWriter, Transport, connect_accepted_socket, connect_read_pipe, connect_write_pipe,
    create_acceptor, create_buffered_connection, create_buffered_server, create_connection,
    create_datagram_endpoint, create_server, create_unix_connection, create_unix_server,
    feed_reader, getaddrinfo, getnameinfo, input, listen_fds, memory_pair, open_connection,
    open_read_pipe, open_unix_connection, open_write_pipe, round_robin, sendfile, sock_accept,
    sock_connect, sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into, sock_recvmsg,
    sock_sendall, sock_sendfile, sock_sendmsg, sock_sendto, start_server, start_unix_server,
    stderr, stdin, stdout, stream_over, transport_over, upgrade_streams, upgrade_transport,
};
