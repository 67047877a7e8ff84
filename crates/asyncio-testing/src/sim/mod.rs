//! A network of hosts in one thread, on one virtual clock.
//!
//! `agenda` and `link` know nothing of hosts; `wire` has both and the hosts' addresses; `endpoint`,
//! `tcp` and `udp` are sockets over it; `sockets` gives them to asyncio-net; a `machine` runs the
//! program of a host, and the `fleet` all of them. `network` is what tests use.

mod agenda;
mod endpoint;
mod fleet;
mod link;
mod machine;
mod network;
mod sockets;
mod tcp;
mod udp;
mod wire;

pub use self::network::{Host, Link, Network};
