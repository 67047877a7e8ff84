//! HTTP servers and clients for asyncio, on hyper: the counterpart of Python's aiohttp.
//!
//! | to | use |
//! |---|---|
//! | serve an axum `Router`, or a service of tower or hyper | [`serve`](fn@serve) |
//! | write handlers that share data by `Rc` and await everything of asyncio | [`App`] with [`serve`](fn@serve) |
//! | await [`sleep`](asyncio_task::sleep()) and the like in a handler of axum | [`local`] |
//! | send requests | [`ClientSession`] |
//! | open web sockets | [`websocket::WebSocketUpgrade`], [`ClientSession::ws_connect`] |
//! | test a server without sockets | [`testing::TestClient`] |
//! | run hyper itself on the loop | [`rt`], and the feature `hyper` of asyncio-net |
//!
//! ```
//! use std::cell::Cell;
//! use std::rc::Rc;
//! use std::time::Duration;
//! use asyncio_http::{App, ClientSession, serve};
//!
//! asyncio_task::run(async {
//!     let visits = Rc::new(Cell::new(0));
//!     let app = App::new().get("/", async move || {
//!         visits.set(visits.get() + 1);
//!         format!("visit {}", visits.get())
//!     });
//!     let server = serve("127.0.0.1:0", app).await?;
//!
//!     let session = ClientSession::new();
//!     let url = format!("http://{}/", server.local_addr()?);
//!     assert_eq!(session.get(&url).await?.text().await?, "visit 1");
//!     assert_eq!(session.get(&url).await?.text().await?, "visit 2");
//!     server.shutdown(Duration::from_secs(5)).await;
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! }).unwrap();
//! ```
//!
//! # What handlers get and give
//!
//! `Json`, `Query`, `Form` and `Html` are types of axum. A program that uses them depends on axum,
//! without its default features:
//!
//! ```toml
//! axum = { version = "0.8", default-features = false, features = ["form", "json", "query"] }
//! ```
//!
//! [`Path`], [`Peer`] and [`websocket::WebSocketUpgrade`] are this crate's.
//!
//! # The message of the compiler
//!
//! axum's handlers must be `Send`. If a handler awaits a future of asyncio, or holds an `Rc` while
//! it waits, the compiler says ``the trait bound `…: Handler<_, _>` is not satisfied`` or ``future
//! cannot be sent between threads safely``. Put its body into [`local`], which checks at run time
//! that it stays on its thread, or use an [`App`].
//!
//! ```compile_fail
//! use std::time::Duration;
//! use axum::{Router, routing::get};
//!
//! async fn slow() -> &'static str {
//!     asyncio_task::sleep(Duration::from_millis(1)).await;
//!     "slow"
//! }
//! let router: Router = Router::new().route("/", get(slow)); // `slow` is not a `Handler`
//! ```
//!
//! # Features
//!
//! * `cookies` (on): a session keeps cookies.
//! * `gzip` (on), `brotli`, `zstd`: a session accepts compressed answers.
//! * `websocket` (on): web sockets.
//! * `tls`: HTTPS, by asyncio-tls.

#![forbid(unsafe_code)]

mod body;
mod client;
mod peer;
mod received;
mod requests;
mod router;
pub mod rt;
mod server;
mod service;
pub mod testing;
#[cfg(feature = "websocket")]
pub mod websocket;

/// An error of any type, for bodies and services.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub use asyncio_task::local;
pub use axum_core::body::Body;
pub use axum_core::extract::Request;
pub use axum_core::response::{IntoResponse, Response};
pub use body::local_stream;
pub use bytes::Bytes;
pub use client::{
    ClientError, ClientErrorKind, ClientRequest, ClientResponse, ClientSession,
    ClientSessionBuilder, Content, Multipart, Part, Timeouts,
};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use peer::Peer;
pub use router::{App, Handler, Next, Path, PathRejection};
pub use server::{HttpServer, Serve, serve};
pub use service::{IntoService, Service};
#[doc(hidden)]
pub use service::{Made, OfFunction, OfHyper, OfTower};
