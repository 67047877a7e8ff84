//! `Process`: a started process.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::Signal;
use asyncio_loop::machinery::at_await;
use asyncio_net::{StreamReader, StreamWriter, stream_over};
use asyncio_task::timeout;

use crate::child::Owned;
use crate::communicate::{Communication, ProcessInput};
use crate::pipe::{Input, Pipe, Pipes};

/// The handle of a child process: its piped standard streams, its signals and its end.
///
/// Dropping the handle kills the process, unless
/// [`kill_on_drop(false)`](crate::Command::kill_on_drop) was set. The loop reaps the process as
/// soon as it has ended, whether or not a task waits, so there are no zombies.
///
/// # From asyncio
///
/// Dropping the handle kills the process. [`wait`](Self::wait) returns when the process has ended,
/// even if a grandchild keeps its pipes open (as in Python 3.15); the contents of the pipes can
/// still be read.
///
/// # Examples
///
/// ```
/// use asyncio_process::{Command, Stdio};
///
/// asyncio_task::run(async {
///     let command = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
///     let mut process = command.await?;
///     let output = process.communicate(b"meow").await?;
///     assert_eq!(output.stdout, b"meow");
///     assert!(output.status.success());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub struct Process {
    child: Owned,
    stdin: Option<(StreamWriter, Rc<Pipe>)>,
    stdout: Option<(StreamReader, Rc<Pipe>)>,
    stderr: Option<(StreamReader, Rc<Pipe>)>,
}

impl Process {
    pub(crate) fn new(child: Owned, pipes: Pipes, limit: usize) -> Self {
        let reader = |pipe: Rc<Pipe>| {
            let mut reader = StreamReader::new(pipe.clone());
            reader.set_limit(limit);
            (reader, pipe)
        };
        Process {
            child,
            stdin: pipes.stdin.map(|pipe| (stream_over(Input(pipe.clone())).1, pipe)),
            stdout: pipes.stdout.map(reader),
            stderr: pipes.stderr.map(reader),
        }
    }

    /// Returns the process ID.
    #[doc(alias = "pid")]
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.pid()
    }

    /// Returns the status with which the process has ended; `None` while it runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let process = Command::new("false").await?;
    ///     let status = process.wait().await;
    ///     assert_eq!(process.exit_status(), Some(status));
    ///     assert_eq!(status.code(), Some(1));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child.status()
    }

    /// Returns Python's form of the status: the exit code, or the negative number of the signal
    /// that ended the process; `None` while it runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let process = Command::new("sleep").arg("1000").await?;
    ///     assert_eq!(process.returncode(), None);
    ///     process.kill()?;
    ///     process.wait().await;
    ///     assert_eq!(process.returncode(), Some(-9));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn returncode(&self) -> Option<i32> {
        let status = self.exit_status()?;
        status.code().or_else(|| status.signal().map(|signal| -signal))
    }

    /// Returns the writer of the process's standard input, if that is piped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let command = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
    ///     let mut process = command.await?;
    ///     process.stdin().unwrap().write("hello\n");
    ///     assert_eq!(process.stdout().unwrap().read_line().await?, "hello\n");
    ///     process.take_stdin(); // the end of its input
    ///     assert!(process.wait().await.success());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn stdin(&self) -> Option<&StreamWriter> {
        self.stdin.as_ref().map(|(writer, _)| writer)
    }

    /// Returns the reader of the process's standard output, if that is piped.
    #[must_use]
    pub fn stdout(&mut self) -> Option<&mut StreamReader> {
        self.stdout.as_mut().map(|(reader, _)| reader)
    }

    /// Returns the reader of the process's standard error, if that is piped.
    #[must_use]
    pub fn stderr(&mut self) -> Option<&mut StreamReader> {
        self.stderr.as_mut().map(|(reader, _)| reader)
    }

    /// Takes the writer of standard input, for use elsewhere. Dropping the writer closes the pipe.
    pub fn take_stdin(&mut self) -> Option<StreamWriter> {
        self.stdin.take().map(|(writer, _)| writer)
    }

    /// Takes the reader of standard output, for use elsewhere.
    pub fn take_stdout(&mut self) -> Option<StreamReader> {
        self.stdout.take().map(|(reader, _)| reader)
    }

    /// Takes the reader of standard error, for use elsewhere.
    pub fn take_stderr(&mut self) -> Option<StreamReader> {
        self.stderr.take().map(|(reader, _)| reader)
    }

    /// Takes the descriptor of standard output, for use as another process's standard input.
    ///
    /// `None` if standard output is not piped, or was taken. Bytes that the stream reader had
    /// buffered are lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let mut words = Command::new("echo").arg("one two").stdout(Stdio::piped()).await?;
    ///     let count = Command::new("wc").arg("-w").stdout(Stdio::piped());
    ///     let output = count.stdin(words.take_stdout_fd().unwrap()).output().await?;
    ///     assert_eq!(output.stdout.trim_ascii(), b"2");
    ///     assert!(words.wait().await.success());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn take_stdout_fd(&mut self) -> Option<OwnedFd> {
        let (_, pipe) = self.stdout.take()?;
        pipe.into_fd()
    }

    /// Waits until the process has ended.
    ///
    /// Any number of callers may wait, even after the end; all get the same status. If other code
    /// of this program has reaped the process, its status is lost: then the result is 255, and a
    /// warning is logged.
    ///
    /// A process that writes more into a pipe than fits blocks until the pipe is read: use
    /// [`communicate`](Self::communicate).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only ends the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let process = Command::new("true").await?;
    ///     assert!(process.wait().await.success());
    ///     assert!(process.wait().await.success(), "as often as one likes");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    ///
    /// Waiting cannot fail, so the result is not a `Result`; an exit code other than 0 is a status
    /// like any other:
    ///
    /// ```compile_fail,E0277
    /// # async fn f(process: asyncio_process::Process) -> std::io::Result<()> {
    /// process.wait().await?;
    /// # Ok(()) }
    /// ```
    pub fn wait(&self) -> impl Future<Output = ExitStatus> {
        at_await(async move { self.child.wait().await })
    }

    /// Sends a signal to the process, or to its whole group with
    /// [`kill_group(true)`](crate::Command::kill_group).
    ///
    /// # Errors
    ///
    /// "No such process" if the process has ended, as [`exit_status`](Self::exit_status) shows.
    /// Between the death of the process and the moment at which the loop learns of it, this does
    /// nothing. "Invalid input" for a number that is no signal.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    /// use asyncio_loop::Signal;
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let process = Command::new("sleep").arg("1000").await?;
    ///     process.send_signal(Signal::TERM)?;
    ///     assert_eq!(process.wait().await.signal(), Some(15));
    ///     assert!(process.send_signal(Signal::TERM).is_err(), "there is no such process");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn send_signal(&self, signal: impl Into<Signal>) -> io::Result<()> {
        self.child.send_signal(signal.into())
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

    /// Ends the process: sends `SIGTERM`, waits at most for `grace`, then sends `SIGKILL` and
    /// waits. Returns the status, even if the process had ended before.
    ///
    /// # Errors
    ///
    /// The system's error if the process may not be signalled.
    ///
    /// # Cancel safety
    ///
    /// A signal that was sent stays sent. A dropped future sends no further signal.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    /// use std::{os::unix::process::ExitStatusExt, time::Duration};
    ///
    /// asyncio_task::run(async {
    ///     let process = Command::new("sleep").arg("1000").await?;
    ///     let status = process.stop(Duration::from_secs(5)).await?;
    ///     assert_eq!(status.signal(), Some(15));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn stop(&self, grace: Duration) -> impl Future<Output = io::Result<ExitStatus>> {
        at_await(async move {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            self.terminate()?;
            if let Ok(status) = timeout(grace, self.wait()).await {
                return Ok(status);
            }
            // The process may have ended in the very turn in which its time was over.
            if self.exit_status().is_none() {
                self.kill()?;
            }
            Ok(self.wait().await)
        })
    }

    /// Writes `input` to standard input and closes it, reads standard output and standard error to
    /// their end, and waits for the end of the process.
    ///
    /// All three happen at the same time, so no pipe blocks, however many bytes there are. It is no
    /// error if the process does not read all its input. Streams that are not piped, or were taken,
    /// are empty in the output. `communicate(None)` gives no input.
    ///
    /// A stream ends when all its writing ends are closed. A process that the child has started in
    /// the background may hold one. This waits for that process too, unless it is [killed with the
    /// child](crate::Command::kill_group).
    ///
    /// # Errors
    ///
    /// The errors of reading.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the output that was read so far. The process goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let command = Command::new("tr").args(["a-z", "A-Z"]);
    ///     let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).await?;
    ///     let output = process.communicate("hello").await?;
    ///     assert_eq!(output.stdout, b"HELLO");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    ///
    /// Input is text or bytes, borrowed or owned, or `None`:
    ///
    /// ```compile_fail,E0277
    /// # async fn f(mut process: asyncio_process::Process) -> std::io::Result<()> {
    /// process.communicate(42).await?;
    /// # Ok(()) }
    /// ```
    pub fn communicate(
        &mut self,
        input: impl ProcessInput,
    ) -> impl Future<Output = io::Result<Output>> {
        at_await(async move { self.communicate_within(input, usize::MAX).await })
    }

    /// [`communicate`](Self::communicate) with at most `limit` bytes from each stream.
    ///
    /// # Errors
    ///
    /// [`FileTooLarge`](io::ErrorKind::FileTooLarge) if a stream has more bytes; the process goes
    /// on, and the streams are closed. The errors of reading.
    ///
    /// # Cancel safety
    ///
    /// As [`communicate`](Self::communicate).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let mut process = Command::new("yes").stdout(Stdio::piped()).await?;
    ///     let error = process.communicate_within(None, 1_000_000).await.unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn communicate_within(
        &mut self,
        input: impl ProcessInput,
        limit: usize,
    ) -> impl Future<Output = io::Result<Output>> {
        at_await(async move {
            let communication = Communication::new(
                input.bytes(),
                self.stdin.take(),
                self.stdout.take(),
                self.stderr.take(),
                limit,
            );
            let (stdout, stderr) = communication.run().await?;
            Ok(Output { status: self.wait().await, stdout, stderr })
        })
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id())
            .field("exit_status", &self.exit_status())
            .finish_non_exhaustive()
    }
}
