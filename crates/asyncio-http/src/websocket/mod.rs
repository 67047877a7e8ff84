//! Web sockets (RFC 6455), on both sides.

mod accept;
mod connect;
mod heartbeat;
mod io;
mod message;
mod socket;

pub use accept::{WebSocketRejection, WebSocketUpgrade};
pub use connect::WebSocketConnect;
pub use message::Message;
pub use socket::WebSocket;
