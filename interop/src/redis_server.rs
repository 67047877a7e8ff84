use std::io;
use std::net::SocketAddr;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::server::{Server, command, log_to};

/// A Redis server without persistence.
#[derive(Debug)]
pub struct RedisServer {
    server: Server,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts the server, and waits until it listens.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(Signal::TERM, |port| {
            let mut command = command("redis-server")?;
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.args(["--port", &port.to_string()]).arg("--dir").arg(folder.path());
            log_to(&mut command, folder.path())?;
            Ok(command)
        })?;
        Ok(Self { server, _folder: folder })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The server's URL, as clients take it.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }
}
