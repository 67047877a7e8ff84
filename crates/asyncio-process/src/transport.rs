//! Subprocesses with a protocol.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;

use asyncio_loop::machinery::{Share, Wait, at_await};
use asyncio_loop::{Signal, TaskOptions, TaskRef, running_loop};
use asyncio_net::{StreamWriter, Transport, stream_over};

use crate::child::Owned;
use crate::command::Command;
use crate::pipe::{Input, Pipe, Pipes};
use crate::protocol::SubprocessProtocol;
use crate::protocol_task::ProtocolTask;
use crate::waiters::Waiters;

/// Starts a process, and calls the protocol that `factory` makes with its events.
///
/// # Errors
///
/// As [`Command::spawn`]; `factory` is not called then.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// The future does not wait: the first poll completes it. See [`SubprocessTransport::close`] to end
/// the process.
#[doc(alias = "subprocess_shell")]
pub fn subprocess_exec<P: SubprocessProtocol + 'static>(
    command: Command,
    factory: impl FnOnce() -> P,
) -> impl Future<Output = io::Result<SubprocessTransport>> {
    at_await(async move {
        let (child, pipes) = command.launch()?;
        let transport = SubprocessTransport(Rc::new(Inner::new(child, pipes)));
        let protocol_task = ProtocolTask::new(transport.clone(), factory());
        let options = TaskOptions::new().name("subprocess").hidden();
        let protocol_task =
            running_loop().spawn(protocol_task.work(), options).map_err(io::Error::other)?;
        let _ = transport.0.protocol_task.set(protocol_task.task().clone());
        Ok(transport)
    })
}

/// The handle of a process with a [`SubprocessProtocol`]. Clones are handles to the same process.
///
/// The process goes on if all handles are dropped; the loop keeps it until it is
/// [closed](Self::close), or until the loop is closed.
///
/// # From asyncio
///
/// `get_pipe_transport(0)` is [`stdin`](Self::stdin). Reading from descriptors 1 and 2 is paused
/// and resumed by methods of this type.
#[derive(Clone)]
pub struct SubprocessTransport(pub(crate) Rc<Inner>);

pub(crate) struct Inner {
    pub(crate) child: Owned,
    stdin: Option<StreamWriter>,
    pub(crate) input: Option<Rc<Pipe>>,
    /// Standard output, standard error.
    pub(crate) outputs: [Option<Outlet>; 2],
    closing: Cell<bool>,
    protocol_task: OnceCell<TaskRef>,
    waiters: Waiters,
}

/// The state of a pipe that the process writes to.
pub(crate) struct Outlet {
    pub(crate) pipe: Rc<Pipe>,
    pub(crate) paused: Cell<bool>,
    pub(crate) share: Share,
}

impl Inner {
    fn new(child: Owned, pipes: Pipes) -> Self {
        let outlet = |pipe| Outlet { pipe, paused: Cell::new(false), share: Share::default() };
        Inner {
            child,
            stdin: pipes.stdin.clone().map(|pipe| stream_over(Input(pipe)).1),
            input: pipes.stdin,
            outputs: [pipes.stdout.map(outlet), pipes.stderr.map(outlet)],
            closing: Cell::new(false),
            protocol_task: OnceCell::new(),
            waiters: Waiters::default(),
        }
    }

    fn outlet(&self, fd: i32) -> Option<&Outlet> {
        let index = usize::try_from(fd).ok()?.checked_sub(1)?;
        self.outputs.get(index)?.as_ref()
    }

    fn wake_protocol_task(&self) {
        if let Some(protocol_task) = self.protocol_task.get() {
            protocol_task.wake();
        }
    }

    /// Notes that the transport has ended, and wakes the futures that wait for that.
    pub(crate) fn over(&self) {
        self.closing.set(true);
        self.waiters.wake_all();
    }

    fn is_over(&self) -> Option<()> {
        self.protocol_task.get().is_none_or(TaskRef::is_done).then_some(())
    }
}

impl SubprocessTransport {
    /// Returns the process ID.
    #[doc(alias = "get_pid")]
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.child.pid()
    }

    /// Returns the status with which the process has ended; `None` while it runs.
    #[doc(alias = "get_returncode")]
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.0.child.status()
    }

    /// Returns the transport of the process's standard input, if that is piped.
    #[doc(alias = "get_pipe_transport")]
    #[must_use]
    pub fn stdin(&self) -> Option<&Transport> {
        self.0.stdin.as_ref().map(StreamWriter::transport)
    }

    /// Returns true if this descriptor of the process is a pipe to this program.
    #[must_use]
    pub fn is_piped(&self, fd: i32) -> bool {
        (fd == 0 && self.0.stdin.is_some()) || self.0.outlet(fd).is_some()
    }

    /// Stops reading the output of the process to `fd`: the process blocks when the pipe is full.
    pub fn pause_reading(&self, fd: i32) {
        if let Some(outlet) = self.0.outlet(fd) {
            outlet.paused.set(true);
        }
    }

    /// Reads the output of the process to `fd` again.
    pub fn resume_reading(&self, fd: i32) {
        if let Some(outlet) = self.0.outlet(fd) {
            outlet.paused.set(false);
            self.0.wake_protocol_task();
        }
    }

    /// Closes this program's end of descriptor 0, 1 or 2 of the process, if it is piped.
    /// `pipe_connection_lost` is called, without an error. Bytes that were written to descriptor 0
    /// and not sent yet are lost.
    ///
    /// A process that writes to a closed pipe gets `SIGPIPE`.
    ///
    /// # From asyncio
    ///
    /// `get_pipe_transport(fd).close()`. For descriptor 0 use `stdin().close()`, which sends
    /// written bytes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio, SubprocessProtocol, subprocess_exec};
    ///
    /// struct Ignore;
    /// impl SubprocessProtocol for Ignore {}
    ///
    /// asyncio_task::run(async {
    ///     let command = Command::new("yes").stdout(Stdio::piped());
    ///     let transport = subprocess_exec(command, || Ignore).await?;
    ///     transport.close_pipe(1);
    ///     transport.wait_closed().await;
    ///     assert!(!transport.exit_status().unwrap().success());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn close_pipe(&self, fd: i32) {
        let input = self.0.input.as_ref().filter(|_| fd == 0);
        if let Some(pipe) = input.or_else(|| self.0.outlet(fd).map(|outlet| &outlet.pipe)) {
            pipe.close();
            self.0.wake_protocol_task();
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// As [`Process::send_signal`](crate::Process::send_signal).
    pub fn send_signal(&self, signal: impl Into<Signal>) -> io::Result<()> {
        self.0.child.send_signal(signal.into())
    }

    /// Asks the process to end: sends `SIGTERM`.
    ///
    /// # Errors
    ///
    /// As [`send_signal`](Self::send_signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(Signal::TERM)
    }

    /// Ends the process: sends `SIGKILL`.
    ///
    /// # Errors
    ///
    /// As [`send_signal`](Self::send_signal).
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(Signal::KILL)
    }

    /// Closes the pipes, and kills the process if it has not ended. The protocol's methods are
    /// called for each of these events. A second call does nothing.
    pub fn close(&self) {
        if self.0.closing.replace(true) {
            return;
        }
        let outputs = self.0.outputs.iter().flatten().map(|outlet| &outlet.pipe);
        outputs.chain(&self.0.input).for_each(|pipe| pipe.close());
        self.0.child.kill();
        self.0.wake_protocol_task();
    }

    /// Returns true if [`close`](Self::close) was called, or the process has ended and all pipes
    /// are closed.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.closing.get()
    }

    /// Waits until `connection_lost` has been called.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only ends the wait.
    pub fn wait_closed(&self) -> impl Future<Output = ()> {
        at_await(async move {
            let wait = Wait::process(self.0.child.pid());
            self.0.waiters.until(wait, || self.0.is_over()).await;
        })
    }
}

impl fmt::Debug for SubprocessTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubprocessTransport")
            .field("id", &self.id())
            .field("exit_status", &self.exit_status())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}
