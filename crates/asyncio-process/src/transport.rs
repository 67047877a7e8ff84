//! A subprocess that calls its protocol.

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
use crate::pump::Pump;
use crate::waiters::Waiters;

/// Starts a process that calls the protocol made by `factory`.
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
/// It does not wait: once polled it is done. See [`SubprocessTransport::close`] to end the process.
#[doc(alias = "subprocess_shell")]
pub fn subprocess_exec<P: SubprocessProtocol + 'static>(
    command: Command,
    factory: impl FnOnce() -> P,
) -> impl Future<Output = io::Result<SubprocessTransport>> {
    at_await(async move {
        let (child, pipes) = command.launch()?;
        let transport = SubprocessTransport(Rc::new(Inner::new(child, pipes)));
        let pump = Pump::new(transport.clone(), factory());
        let options = TaskOptions::new().name("subprocess").hidden();
        let pump = running_loop().spawn(pump.work(), options).map_err(io::Error::other)?;
        let _ = transport.0.pump.set(pump.task().clone());
        Ok(transport)
    })
}

/// A process that was started with a [`SubprocessProtocol`]; clones are the same one.
///
/// The process goes on if this is dropped; the loop keeps it, until it is [closed](Self::close) or
/// the loop is.
///
/// # From asyncio
///
/// `get_pipe_transport(0)` is [`stdin`](Self::stdin); reading from descriptors 1 and 2 is paused
/// and resumed here.
#[derive(Clone)]
pub struct SubprocessTransport(pub(crate) Rc<Inner>);

pub(crate) struct Inner {
    pub(crate) child: Owned,
    stdin: Option<StreamWriter>,
    pub(crate) input: Option<Rc<Pipe>>,
    /// Standard output, standard error.
    pub(crate) outputs: [Option<Outlet>; 2],
    closing: Cell<bool>,
    pump: OnceCell<TaskRef>,
    waiters: Waiters,
}

/// A pipe that the process writes to.
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
            pump: OnceCell::new(),
            waiters: Waiters::default(),
        }
    }

    fn outlet(&self, fd: i32) -> Option<&Outlet> {
        let index = usize::try_from(fd).ok()?.checked_sub(1)?;
        self.outputs.get(index)?.as_ref()
    }

    fn wake_pump(&self) {
        if let Some(pump) = self.pump.get() {
            pump.wake();
        }
    }

    /// The transport has ended.
    /// Wakes the futures that wait for the end, which has come.
    pub(crate) fn over(&self) {
        self.closing.set(true);
        self.waiters.wake_all();
    }

    fn is_over(&self) -> Option<()> {
        self.pump.get().is_none_or(TaskRef::is_done).then_some(())
    }
}

impl SubprocessTransport {
    /// Returns the process's number.
    #[doc(alias = "get_pid")]
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.child.pid()
    }

    /// Returns how the process ended; `None` while it runs.
    #[doc(alias = "get_returncode")]
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.0.child.status()
    }

    /// Returns the way to its standard input, if that is piped.
    #[doc(alias = "get_pipe_transport")]
    #[must_use]
    pub fn stdin(&self) -> Option<&Transport> {
        self.0.stdin.as_ref().map(StreamWriter::transport)
    }

    /// Returns true if this descriptor leads here by a pipe.
    #[must_use]
    pub fn is_piped(&self, fd: i32) -> bool {
        (fd == 0 && self.0.stdin.is_some()) || self.0.outlet(fd).is_some()
    }

    /// Stops reading what the process writes to `fd`: it blocks when the pipe is full.
    pub fn pause_reading(&self, fd: i32) {
        if let Some(outlet) = self.0.outlet(fd) {
            outlet.paused.set(true);
        }
    }

    /// Reads again what the process writes to `fd`.
    pub fn resume_reading(&self, fd: i32) {
        if let Some(outlet) = self.0.outlet(fd) {
            outlet.paused.set(false);
            self.0.wake_pump();
        }
    }

    /// Closes our end of descriptor 0, 1 or 2 of the process, if it is piped. The protocol is told
    /// by `pipe_connection_lost`, without an error. What was written to descriptor 0 and has not
    /// left is lost.
    ///
    /// A process that writes to a pipe that is closed gets `SIGPIPE`.
    ///
    /// # From asyncio
    ///
    /// `get_pipe_transport(fd).close()`; for descriptor 0 that is `stdin().close()`, which waits
    /// until what was written has left.
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
            self.0.wake_pump();
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

    /// Closes the pipes, and kills the process if it has not ended. The protocol is told of all
    /// this. A second call does nothing.
    pub fn close(&self) {
        if self.0.closing.replace(true) {
            return;
        }
        let outputs = self.0.outputs.iter().flatten().map(|outlet| &outlet.pipe);
        outputs.chain(&self.0.input).for_each(|pipe| pipe.close());
        self.0.child.kill();
        self.0.wake_pump();
    }

    /// Returns true if [`close`](Self::close) was called, or everything is over.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.closing.get()
    }

    /// Waits until the protocol has been told of the end of everything.
    ///
    /// # Cancel safety
    ///
    /// Dropping it only ends the wait.
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
