//! The pool's side of one worker process.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::frame::{self, Reply};
use super::worker::PARENT;
use crate::child::lost_status;
use crate::setup::Setup;
use crate::sys;

/// How long a worker may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    socket: UnixStream,
    process: WorkerProcess,
    jobs: usize,
}

/// The process alone, so that it can be killed while a job runs in it.
#[derive(Clone)]
pub(super) struct WorkerProcess {
    pid: u32,
    child: Arc<Mutex<Child>>,
}

/// The reason why a call gave no reply.
#[derive(Debug)]
pub(super) enum CallError {
    Died(ExitStatus),
    TimeLimit,
    Io(io::Error),
}

impl Worker {
    /// Starts this executable again, with a socket as standard input. It has a process group of its
    /// own, so that only the parent handles Ctrl-C.
    pub(super) fn start(arguments: &[String], setup: &Setup) -> io::Result<Worker> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).env(PARENT, process::id().to_string());
        command.stdin(OwnedFd::from(theirs)).process_group(0);
        if !setup.is_empty() {
            sys::prepare(&mut command, setup.clone());
        }
        if setup.limits_memory() {
            // Writing a backtrace takes memory. If none is left, the standard library gets to the
            // same lock again while it holds it, and the worker would hang instead of ending.
            command.env("RUST_BACKTRACE", "0");
        }
        let child = command.spawn()?;
        let process = WorkerProcess { pid: child.id(), child: Arc::new(Mutex::new(child)) };
        Ok(Worker { socket: ours, process, jobs: 0 })
    }

    pub(super) fn process(&self) -> &WorkerProcess {
        &self.process
    }

    /// The number of calls that it has answered.
    pub(super) fn jobs(&self) -> usize {
        self.jobs
    }

    /// Sends a request and blocks until the reply has come. After an error the worker cannot be
    /// used any more.
    pub(super) fn call(
        &mut self,
        request: &[u8],
        limit: Option<Duration>,
    ) -> Result<Reply, CallError> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut socket = Timed { socket: &self.socket, deadline };
        match exchange(&mut socket, request) {
            Ok(Some(reply)) => {
                self.jobs += 1;
                Ok(reply)
            }
            Ok(None) => Err(self.died()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> CallError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => CallError::TimeLimit,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => {
                self.died()
            }
            _ => CallError::Io(error),
        }
    }

    /// The worker has closed its socket, so it has ended or is about to.
    fn died(&self) -> CallError {
        CallError::Died(self.process.end())
    }
}

impl Drop for Worker {
    /// Asks the worker to end, kills it if it does not, and reaps it.
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let deadline = Instant::now().checked_add(GRACE);
        let _ = Timed { socket: &self.socket, deadline }.read(&mut [0]);
        self.process.end();
    }
}

impl WorkerProcess {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process has ended by itself or was killed; it is reaped then.
    pub(super) fn has_ended(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(child.try_wait(), Ok(None))
    }

    /// Kills the process, unless it has ended, and leaves it to its owner to reap.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).kill()
    }

    /// Makes sure that the process has ended, and reaps it.
    fn end(&self) -> ExitStatus {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = child.try_wait().and_then(|status| match status {
            Some(status) => Ok(status),
            None => child.kill().and_then(|()| child.wait()),
        });
        ended.unwrap_or_else(|error| lost_status(self.pid, &error))
    }
}

fn exchange(socket: &mut Timed<'_>, request: &[u8]) -> io::Result<Option<Reply>> {
    frame::write(socket, request)?;
    frame::read(socket)?.map(Reply::parse).transpose()
}

/// A socket whose reads and writes end at a deadline.
struct Timed<'a> {
    socket: &'a UnixStream,
    deadline: Option<Instant>,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let Some(deadline) = self.deadline else { return Ok(None) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
