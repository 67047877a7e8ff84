//! A client: [`ClientSession`].

mod builder;
mod connect;
mod content;
#[cfg(feature = "cookies")]
mod cookies;
mod decode;
mod error;
mod exchange;
mod header;
mod multipart;
mod pool;
mod redirect;
mod request;
mod response;
mod session;
mod shared;
mod timeouts;

pub use builder::ClientSessionBuilder;
pub use content::Content;
pub use error::{ClientError, ClientErrorKind};
pub use multipart::{Multipart, Part};
#[cfg(feature = "websocket")]
pub(crate) use pool::Lease;
pub use request::ClientRequest;
pub use response::ClientResponse;
pub use session::ClientSession;
pub use timeouts::Timeouts;
