//! TLS for the streams and protocols of asyncio, on rustls: what `ssl=` and `start_tls` are in
//! Python.
//!
//! A [`TlsClient`] holds the roots that a client trusts, a [`TlsServer`] the certificates that a
//! server shows. Both are cheap to clone, and may be used on every loop of a program. They are
//! given to the `.tls(…)` of what connects or serves.
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
//! A connection that is open already begins TLS by [`start_tls`] and [`accept_tls`], one of a
//! protocol by [`start_transport_tls`] and [`accept_transport_tls`].
//!
//! # Checks
//!
//! A client checks the certificate of the server: that a root it trusts has signed it, that it is
//! valid today, and that it is for the name that the client asked for. It has TLS 1.2 and 1.3.
//! A method that switches a check off has `danger` in its name.
//!
//! # Ends
//!
//! A peer that has nothing more to say sends a closing alert, and the reader is at its end. A
//! connection that ends without one was cut, perhaps by an attacker: reading fails with
//! [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof). Closing sends our alert and waits for the
//! peer's; see [`TlsStream`].
//!
//! # Cryptography
//!
//! The feature `ring` (default) or `aws-lc-rs` chooses the crate that computes; no provider of the
//! whole process is asked for or set. With [`TlsClient::from_config`] and
//! [`TlsServer::from_config`] any other provider of rustls can be used.
//!
//! # From asyncio
//!
//! An `SSLContext` is a [`TlsClient`] or a [`TlsServer`]; `ssl_handshake_timeout` and
//! `ssl_shutdown_timeout` are methods of their builders. OpenSSL's cipher strings and files of CAs
//! by directory are not there.

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
