use std::fs;
use std::io;
use std::net::SocketAddr;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::server::{Server, command, log_to};

/// A broker of MQTT without persistence.
#[derive(Debug)]
pub struct Mosquitto {
    server: Server,
    _folder: TempDir,
}

impl Mosquitto {
    /// Starts the broker, and waits until it listens.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(Signal::TERM, |port| {
            let settings = folder.path().join("mosquitto.conf");
            let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
            fs::write(&settings, text)?;
            let mut command = command("mosquitto")?;
            command.arg("-c").arg(settings);
            log_to(&mut command, folder.path())?;
            Ok(command)
        })?;
        Ok(Self { server, _folder: folder })
    }

    /// The address that the broker listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}
