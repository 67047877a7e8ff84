//! QUIC by quinn on the loop of `asyncio`, without a second runtime.
//!
//! Most programs use the facade crate `asyncio` with the feature `quinn`, where this is the module
//! `quinn`. The crates `h3` and `h3-quinn` provide HTTP/3 on the same endpoints.
//!
//! Pass a [`LoopRuntime`] to [`quinn::Endpoint::new`] as its runtime: it provides the sockets,
//! timers and tasks of one loop. (`Endpoint::client` and `Endpoint::server` look for a tokio
//! runtime.)
//!
//! ```
//! use std::net::UdpSocket;
//! use std::sync::Arc;
//! use asyncio_quinn::LoopRuntime;
//! use asyncio_task::{create_task, run, running_loop};
//! use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig};
//!
//! # use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
//! # fn configs() -> (ServerConfig, ClientConfig) {
//! #     let rcgen::CertifiedKey { cert, signing_key } =
//! #         rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
//! #     let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
//! #     let chain = vec![CertificateDer::from(cert)];
//! #     let mut roots = rustls::RootCertStore::empty();
//! #     roots.add(chain[0].clone()).unwrap();
//! #     let server = ServerConfig::with_single_cert(chain, key.into()).unwrap();
//! #     (server, ClientConfig::with_root_certificates(Arc::new(roots)).unwrap())
//! # }
//! run(async {
//!     let (server_config, client_config) = configs(); // certificates, as rustls has them
//!     let runtime = Arc::new(LoopRuntime::new(&running_loop()));
//!     let socket = || UdpSocket::bind("127.0.0.1:0");
//!     let config = EndpointConfig::default;
//!     let server = Endpoint::new(config(), Some(server_config), socket()?, runtime.clone())?;
//!     let mut client = Endpoint::new(config(), None, socket()?, runtime)?;
//!     client.set_default_client_config(client_config);
//!     let address = server.local_addr()?;
//!
//!     let serving = create_task(async move {
//!         let connection = server.accept().await.unwrap().await?;
//!         let (mut sending, mut receiving) = connection.accept_bi().await?;
//!         let question = receiving.read_to_end(100).await?;
//!         sending.write_all(&question.to_ascii_uppercase()).await?;
//!         sending.finish()?;
//!         connection.closed().await; // until the client has all
//!         Ok::<_, Box<dyn std::error::Error>>(())
//!     });
//!     let connection = client.connect(address, "localhost")?.await?;
//!     let (mut sending, mut receiving) = connection.open_bi().await?;
//!     sending.write_all(b"hello").await?;
//!     sending.finish()?;
//!     assert_eq!(receiving.read_to_end(100).await?, b"HELLO");
//!     connection.close(0_u8.into(), b"done");
//!     client.wait_idle().await;
//!     serving.await?
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
mod runtime;
mod socket;
mod timer;
mod writers;

pub use runtime::LoopRuntime;
