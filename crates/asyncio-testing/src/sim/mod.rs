//! A network of hosts in one thread, on one virtual clock.
//!
//! `agenda` and `link` do not depend on hosts. `wire` combines them with the hosts' addresses.
//! `endpoint`, `tcp` and `udp` are sockets over the wire, and `sockets` provides them to
//! asyncio-net. A `machine` runs the program of a host, and the `fleet` runs all machines.
//! `network` is the public interface for tests.

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
