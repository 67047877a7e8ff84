use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::server::{Server, command, log_to};

/// A PostgreSQL server with one database, `postgres`, and one user, `postgres`, who needs no
/// password.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a database cluster, starts the server, and waits until it listens.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let user = unprivileged(folder.path())?;
        let command = |program: &str| {
            let mut command = command(program)?;
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command.current_dir(folder.path()).env("HOME", folder.path());
            log_to(&mut command, folder.path())?;
            command.arg("-D").arg(&data);
            Ok::<Command, io::Error>(command)
        };
        let mut make = command("initdb")?;
        make.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]);
        if !make.status()?.success() {
            let log = fs::read_to_string(folder.path().join("log"))?;
            return Err(io::Error::other(format!("initdb has failed:\n{log}")));
        }
        let server = Server::start(Signal::QUIT, |port| {
            let mut command = command("postgres")?;
            command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
            command.args(["-c", "fsync=off", "-c", "max_connections=30"]);
            command.args(["-p", &port.to_string()]);
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
        format!("postgres://postgres@{}/postgres", self.address())
    }
}

/// PostgreSQL refuses to run as root. For root, returns the ids of another user and its group,
/// which then own the folder.
fn unprivileged(folder: &Path) -> io::Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let numbers = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|number| number.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    let (user, group) = numbers("postgres").or_else(|| numbers("nobody")).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "no user postgres, and no user nobody")
    })?;
    chown(folder, Some(user), Some(group))?;
    Ok(Some((user, group)))
}
