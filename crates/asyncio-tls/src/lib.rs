//! TLS for the streams and protocols of asyncio, on rustls: what `ssl=` and `start_tls` are in
//! Python.
//!
//! A [`TlsClient`] holds the roots that a client trusts, a [`TlsServer`] the certificates that a
//! server presents. Both are cheap to clone, and may be used on every loop of a program. Pass them
//! to the method `.tls(…)` of the builders that connect or serve.
//!
//! ```no_run
//! use asyncio_net::open_connection;
//! use asyncio_tls::TlsClient;
//!
//! # async fn example() -> std::io::Result<()> {
//! let tls = TlsClient::new()?;
//! let (mut reader, writer) = open_connection("example.org:443").tls(&tls).await?;
//! writer.write(b"HEAD / HTTP/1.0\r\nHost: example.org\r\n\r\n");
//! println!("{:?}", reader.read_line().await?);
//! # Ok(())
//! # }
//! ```
//!
//! [`start_tls`] and [`accept_tls`] begin TLS on an open connection. [`start_transport_tls`] and
//! [`accept_transport_tls`] do that for the connection of a protocol.
//!
//! # Checks
//!
//! A client checks that the server's certificate is signed by a trusted root, is valid today, and
//! is for the name that the client asked for. It supports TLS 1.2 and 1.3. Each method that
//! disables a check has `danger` in its name.
//!
//! # Ends
//!
//! A peer that closes its side sends a closing alert, and the reader reads the end of the stream. A
//! connection that ends without a closing alert was cut, perhaps by an attacker: reading fails with
//! [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof). Closing sends a closing alert and waits
//! for the peer's; see [`TlsStream`].
//!
//! # Cryptography
//!
//! The feature `ring` (default) or `aws-lc-rs` chooses the cryptography crate. rustls's
//! process-wide default provider is neither used nor set. [`TlsClient::from_config`] and
//! [`TlsServer::from_config`] accept configurations with any other rustls provider.
//!
//! # From asyncio
//!
//! An `SSLContext` is a [`TlsClient`] or a [`TlsServer`]; `ssl_handshake_timeout` and
//! `ssl_shutdown_timeout` are methods of their builders. OpenSSL's cipher strings and CA
//! directories (`capath`) are not supported.

#![forbid(unsafe_code)]

mod buffers;
mod client;
mod danger;
mod handshake;
mod identity;
mod info;
mod layer;
mod provider;
mod server;
mod session;
mod start;
mod stream;

pub use rustls;

pub use client::{TlsClient, TlsClientBuilder};
pub use identity::Identity;
pub use info::TlsInfo;
pub use server::{TlsServer, TlsServerBuilder};
pub use start::{accept_tls, accept_transport_tls, start_tls, start_transport_tls};
pub use stream::TlsStream;
