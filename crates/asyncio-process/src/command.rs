//! What to start, and how.

use std::ffi::OsStr;
use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::pin::Pin;
use std::process;

use asyncio_loop::running_loop;
use asyncio_net::DEFAULT_LIMIT;

use crate::child::{Child, Fate, Owned};
use crate::communicate::Output;
use crate::pipe::{Pipe, Pipes};
use crate::process::Process;
use crate::stdio::{Kind, Stdio};
use crate::watcher::Watcher;

/// Describes a program to start with these arguments, without a shell: `.await` it to start it.
///
/// # Examples
///
/// ```
/// use asyncio_process::{Stdio, create_subprocess_exec};
///
/// asyncio_task::run(async {
///     let mut process = create_subprocess_exec("echo", ["hello"]).stdout(Stdio::piped()).await?;
///     assert_eq!(process.stdout().unwrap().read_line().await?, "hello\n");
///     assert!(process.wait().await.success());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn create_subprocess_exec<I>(program: impl AsRef<OsStr>, arguments: I) -> Command
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    Command::new(program).args(arguments)
}

/// Describes a command line for the system's shell: `.await` it to start it.
///
/// Mind what gets into the line: the shell interprets all of it.
///
/// # Examples
///
/// ```
/// use asyncio_process::create_subprocess_shell;
///
/// let status = asyncio_task::run(async {
///     std::io::Result::Ok(create_subprocess_shell("exit 7").await?.wait().await)
/// });
/// assert_eq!(status.unwrap().code(), Some(7));
/// ```
pub fn create_subprocess_shell(line: impl AsRef<OsStr>) -> Command {
    Command::shell(line)
}

/// A process to be started: program, arguments, environment, and where its streams lead.
///
/// Streams lead where ours do unless told otherwise. Start it with [`spawn`](Self::spawn), which is
/// also what `.await` does; or run it to its end with [`output`](Self::output).
///
/// # From asyncio
///
/// The keyword arguments are methods. Streams carry bytes only.
#[doc(alias = "create_subprocess_exec")]
#[must_use = "it does nothing until it is started"]
pub struct Command {
    command: process::Command,
    stdin: Kind,
    stdout: Kind,
    stderr: Kind,
    limit: usize,
    kill_on_drop: bool,
    kill_group: bool,
    watcher: Watcher,
}

impl Command {
    /// Describes a program to be found as `PATH` says, without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command {
            command: process::Command::new(program),
            stdin: Kind::Inherit,
            stdout: Kind::Inherit,
            stderr: Kind::Inherit,
            limit: DEFAULT_LIMIT,
            kill_on_drop: true,
            kill_group: false,
            watcher: Watcher::Auto,
        }
    }

    /// Describes a command line for the system's shell, `/bin/sh`.
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        Command::new("/bin/sh").arg("-c").arg(line)
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<I>(mut self, arguments: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        self.command.args(arguments);
        self
    }

    /// Sets the name that the program sees as its own, in place of the one it is started by.
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.arg0(name);
        self
    }

    /// Sets a variable of the environment; the others are ours.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs<I, N, V>(mut self, variables: I) -> Self
    where
        I: IntoIterator<Item = (N, V)>,
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.command.envs(variables);
        self
    }

    /// Takes a variable out of the environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Starts with an empty environment; what is set afterwards is all there is.
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Sets the working directory.
    #[doc(alias = "cwd")]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Puts the process into a group, so that it and its children can be signalled as one, and Ctrl-C in the
    /// terminal does not reach them; 0 is a new group of its own.
    pub fn process_group(mut self, group: i32) -> Self {
        self.command.process_group(group);
        self
    }

    /// Runs it as another user, by number; needs the privilege.
    #[doc(alias = "user")]
    pub fn uid(mut self, user: u32) -> Self {
        self.command.uid(user);
        self
    }

    /// Runs it as another group, by number; needs the privilege.
    #[doc(alias = "group")]
    pub fn gid(mut self, group: u32) -> Self {
        self.command.gid(group);
        self
    }

    /// Sets where standard input comes from.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into().0;
        self
    }

    /// Sets where standard output leads.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = stdout.into().0;
        self
    }

    /// Sets where standard error leads.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = stderr.into().0;
        self
    }

    /// Sets within how many bytes the stream readers look for the end of a line.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets whether the process is killed when its [`Process`] is dropped or the loop is closed, which is
    /// the default. With `false` it goes on; it is reaped as long as the loop runs.
    pub fn kill_on_drop(mut self, kill: bool) -> Self {
        self.kill_on_drop = kill;
        self
    }

    /// Puts the process into a group of its own and treats that as one: signals go to all of the group, and
    /// when the process has ended, what is left of its group is killed. So a shell takes what it has started
    /// along.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let line = "sleep 1000 & sleep 1000 & wait";
    ///     let command = Command::shell(line).kill_group(true).stdout(Stdio::piped());
    ///     let mut process = command.await?;
    ///     process.terminate()?;
    ///     // Nobody is left who could write.
    ///     assert_eq!(process.stdout().unwrap().read_to_end().await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn kill_group(mut self, yes: bool) -> Self {
        self.kill_group = yes;
        if yes { self.process_group(0) } else { self }
    }

    /// Sets how its end is noticed.
    pub fn watcher(mut self, watcher: Watcher) -> Self {
        self.watcher = watcher;
        self
    }

    /// Starts the process on the running loop.
    ///
    /// # Errors
    ///
    /// The system's: there is no such program, or no right to run it, or no more processes or
    /// descriptors. Then nothing is left behind.
    ///
    /// # Panics
    ///
    /// Where no loop runs.
    ///
    /// # Cancel safety
    ///
    /// It does not wait: once polled it is done. Dropping the [`Process`] kills it, and the loop reaps it.
    pub async fn spawn(self) -> io::Result<Process> {
        self.start()
    }

    /// Starts the process, collects what it writes to the streams that are piped, and waits for its
    /// end. See [`Process::communicate`].
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and those of reading.
    ///
    /// # Panics
    ///
    /// Where no loop runs.
    ///
    /// # Cancel safety
    ///
    /// Dropping it kills the process, and the loop reaps it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let output = Command::new("echo").arg("hello").stdout(Stdio::piped()).output().await?;
    ///     assert_eq!(output.stdout.unwrap(), b"hello\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub async fn output(self) -> io::Result<Output> {
        self.start()?.communicate(None).await
    }

    pub(crate) fn start(self) -> io::Result<Process> {
        let limit = self.limit;
        self.launch().map(|(child, pipes)| Process::new(child, pipes, limit))
    }

    /// Starts the process; it is killed if anything fails afterwards.
    pub(crate) fn launch(mut self) -> io::Result<(Owned, Pipes)> {
        let event_loop = running_loop();
        let merged = self.connect()?;
        let mut process = self.command.spawn()?;
        let stdin = process.stdin.take().map(OwnedFd::from);
        let stdout = merged.or_else(|| process.stdout.take().map(OwnedFd::from));
        let stderr = process.stderr.take().map(OwnedFd::from);
        let fate = Fate { orphan: !self.kill_on_drop, group: self.kill_group };
        let child = Child::adopt(&event_loop, process, self.watcher, fate)?;
        let child = Owned(child);
        let pipe = |fd: Option<OwnedFd>| fd.map(|fd| Pipe::new(&event_loop, fd)).transpose();
        Ok((child, Pipes { stdin: pipe(stdin)?, stdout: pipe(stdout)?, stderr: pipe(stderr)? }))
    }

    /// Tells the standard library where the streams lead; returns our end of a pipe that both standard
    /// output and standard error lead to.
    fn connect(&mut self) -> io::Result<Option<OwnedFd>> {
        let take = |kind: &mut Kind| std::mem::replace(kind, Kind::Inherit);
        let (stdin, stdout, stderr) =
            (take(&mut self.stdin), take(&mut self.stdout), take(&mut self.stderr));
        self.command.stdin(stdin.into_std());
        if matches!(stderr, Kind::Merged) {
            let (stdout, stderr, ours) = stdout.merge()?;
            self.command.stdout(stdout).stderr(stderr);
            return Ok(ours);
        }
        self.command.stdout(stdout.into_std()).stderr(stderr.into_std());
        Ok(None)
    }
}

impl IntoFuture for Command {
    type Output = io::Result<Process>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<Process>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.spawn())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("command", &self.command)
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
