//! Servers.

mod builder;
mod connection;
mod hooks;
mod limits;
mod request;
mod running;
mod workers;

pub use builder::{Serve, serve};
pub use running::HttpServer;

pub(crate) use builder::serve_nothing;
pub(crate) use connection::Site;
