//! Starting and stopping.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use asyncio_loop::LoopRef;

use crate::commands;
use crate::observer::Observation;
use crate::options::Options;
use crate::server::ServerThread;
use crate::watched::{Loops, Watched};

/// Starts a monitor of a loop, on a thread of its own. Clients can connect when this returns.
///
/// Call this on the loop's thread, before or while the loop runs. While there is a monitor, the
/// loop is [measured](LoopRef::measure), and its tasks have [hooks](LoopRef::add_task_hooks).
///
/// # Errors
///
/// If the socket cannot be bound, or if the loop is closed.
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for an address that other machines can
/// reach without a [token](Options::token), and for a directory that other users can enter.
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for an empty token, and for a command whose name
/// contains blanks or is a built-in command's.
///
/// # From asyncio
///
/// `aiomonitor.start_monitor`. The console and the page share one socket.
///
/// # Examples
///
/// ```
/// use asyncio_loop::running_loop;
/// use asyncio_monitor::Options;
///
/// asyncio_task::run(async {
///     let options = Options::new().address("127.0.0.1:0");
///     let monitor = asyncio_monitor::start(&running_loop(), options)?;
///     println!("http://{}/", monitor.local_addr().unwrap());
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub fn start(event_loop: &LoopRef, mut options: Options) -> io::Result<Monitor> {
    if event_loop.is_closed() {
        return Err(io::Error::other("the loop is closed"));
    }
    for command in &options.commands {
        let is_bad = command.name.is_empty() || command.name.contains(char::is_whitespace);
        if is_bad || commands::is_builtin(&command.name) {
            let text = format!("a command cannot have the name {:?}", command.name);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    let loops = Arc::new(Loops::default());
    let commands = std::mem::take(&mut options.commands);
    let server = ServerThread::start(&options, &loops)?;
    let (watched, observation) = loops.add(event_loop, options.history, commands);
    let running = Running { server, observation };
    Ok(Monitor { running: Some(running), loops, watched, event_loop: event_loop.clone() })
}

/// A running monitor. Dropping it stops it, as [`close`](Self::close) does.
pub struct Monitor {
    running: Option<Running>,
    loops: Arc<Loops>,
    watched: Arc<Watched>,
    event_loop: LoopRef,
}

struct Running {
    server: ServerThread,
    observation: Observation,
}

impl Monitor {
    /// The address that the monitor listens on; `None` for a Unix socket, and after it was closed.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.running.as_ref()?.server.local_addr()
    }

    /// The path of the monitor's Unix socket; `None` for an address, and after it was closed.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.running.as_ref()?.server.path().map(|path| path.as_path())
    }

    /// Stops the monitor: disconnects its clients, cancels running commands, ends its thread, and
    /// removes the file of its socket. A second call does nothing.
    ///
    /// This blocks until the monitor's thread has ended, which takes a moment at most.
    pub fn close(&mut self) {
        let Some(Running { server, observation }) = self.running.take() else { return };
        drop(server);
        observation.stop(&self.event_loop);
        self.loops.remove(&self.watched);
        self.watched.forget_commands(&self.event_loop);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("local_addr", &self.local_addr())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
