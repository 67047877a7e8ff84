use std::io;
use std::net::SocketAddr;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::server::{Server, command, log_to};

/// A NATS server with JetStream.
#[derive(Debug)]
pub struct Nats {
    server: Server,
    _folder: TempDir,
}

impl Nats {
    /// Starts the server, and waits until it listens.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(Signal::TERM, |port| {
            let mut command = command("nats-server")?;
            command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream"]);
            command.arg("--store_dir").arg(folder.path());
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
        format!("nats://{}", self.address())
    }
}
