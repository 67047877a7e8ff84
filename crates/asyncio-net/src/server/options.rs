//! The keyword arguments of a server.

use crate::stream::DEFAULT_LIMIT;

/// The options that the methods of [`StartServer`](super::StartServer) set.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) backlog: u32,
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    pub(super) keep_alive: bool,
    pub(super) ipv6_only: bool,
    pub(super) start_serving: bool,
    /// By default only the file of a socket that the server made is removed.
    pub(super) cleanup_socket: Option<bool>,
    pub(super) replace_socket: bool,
    /// Permissions of the file of a Unix socket.
    pub(super) socket_mode: Option<u32>,
    pub(super) limit: usize,
    /// The maximum number of connected clients.
    pub(super) max_connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backlog: 100,
            reuse_address: cfg!(unix),
            reuse_port: false,
            keep_alive: false,
            ipv6_only: true,
            start_serving: true,
            cleanup_socket: None,
            replace_socket: false,
            socket_mode: None,
            limit: DEFAULT_LIMIT,
            max_connections: usize::MAX,
        }
    }
}
