//! A process that listens on a port of loopback.

use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A server that does not answer within this time has failed.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A server that has not ended by then is killed.
const GOODBYE: Duration = Duration::from_secs(20);

/// A started server; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// The signal at which the server ends its own children, too.
    signal: Signal,
    address: SocketAddr,
}

impl Server {
    /// Starts a server on a free port, which `command` puts into its arguments.
    pub(crate) fn start(
        signal: Signal,
        command: impl Fn(u16) -> io::Result<Command>,
    ) -> io::Result<Self> {
        let mut result = Err(io::ErrorKind::AddrInUse.into());
        // Another program may take the port between the search for a free one and the server's
        // start.
        for _ in 0..3 {
            let port = free_port()?;
            result = Self::start_on(port, signal, command(port)?);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn start_on(port: u16, signal: Signal, mut command: Command) -> io::Result<Self> {
        // The server stays in this process group, so that Ctrl-C and a time limit end it, too.
        let child = command.stdin(Stdio::null()).spawn()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { child, signal, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("{command:?} has ended: {status}")));
            }
            if start.elapsed() > TIMEOUT {
                return Err(io::Error::other(format!("{command:?} does not listen on {address}")));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let told = kill_process(Pid::from_child(&self.child), self.signal);
        let start = Instant::now();
        // SIGKILL would leave the server's own children running.
        while told.is_ok() && start.elapsed() < GOODBYE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The path of a program: in `PATH`, in Debian's folder of daemons, or in Debian's folder of
/// PostgreSQL.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

pub(crate) fn command(program: &str) -> io::Result<Command> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{program} is missing"));
    Ok(Command::new(find(program).ok_or_else(missing)?))
}

/// Redirects a command's output to a file in the folder, for inspection if it fails.
pub(crate) fn log_to(command: &mut Command, folder: &Path) -> io::Result<()> {
    let log = fs::File::options().create(true).append(true).open(folder.join("log"))?;
    command.stdout(log.try_clone()?).stderr(log);
    Ok(())
}
