//! What to start, and how.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::process::{self, ExitStatus, Output};

#[cfg(target_os = "linux")]
use asyncio_loop::Signal;
use asyncio_loop::machinery::{AtAwait, at_await};
use asyncio_loop::running_loop;
use asyncio_net::DEFAULT_LIMIT;

#[cfg(target_os = "linux")]
use crate::child::sendable;
use crate::child::{Child, Fate, Owned};
use crate::pipe::{Pipe, Pipes};
use crate::process::Process;
use crate::resource::Resource;
#[cfg(target_os = "linux")]
use crate::setup::OnParentDeath;
use crate::setup::{Limit, Setup};
use crate::stdio::{Kind, Stdio};
use crate::sys;
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
/// also what `.await` does; or run it to its end with [`status`](Self::status), or with
/// [`output`](Self::output), which pipes them.
///
/// # From asyncio
///
/// The keyword arguments are methods. Streams carry bytes only.
///
/// # Examples
///
/// ```
/// use asyncio_process::{Command, Stdio};
///
/// asyncio_task::run(async {
///     let command = Command::new("env").arg("-0").env_clear().env("NAME", "value");
///     let output = command.current_dir("/").stderr(Stdio::null()).output().await?;
///     assert_eq!(output.stdout, b"NAME=value\0");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "create_subprocess_exec")]
#[must_use = "it does nothing until it is started"]
pub struct Command {
    command: process::Command,
    stdin: Option<Kind>,
    stdout: Option<Kind>,
    stderr: Option<Kind>,
    limit: usize,
    group: Option<i32>,
    setup: Setup,
    #[cfg(target_os = "linux")]
    parent_death_signal: Option<Signal>,
    kill_on_drop: bool,
    kill_group: bool,
    watcher: Watcher,
    /// The call that made this; `None` if what it starts has no owner who could end it.
    site: Option<&'static Location<'static>>,
}

impl Command {
    /// Describes a program to be found as `PATH` says, without arguments.
    #[track_caller]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command {
            command: process::Command::new(program),
            stdin: None,
            stdout: None,
            stderr: None,
            limit: DEFAULT_LIMIT,
            group: None,
            setup: Setup::default(),
            #[cfg(target_os = "linux")]
            parent_death_signal: None,
            kill_on_drop: true,
            kill_group: false,
            watcher: Watcher::Auto,
            site: Some(Location::caller()),
        }
    }

    /// Describes a command line for the system's shell, `/bin/sh`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let output = Command::shell("echo one two | wc -w").output().await?;
    ///     assert_eq!(output.stdout.trim_ascii(), b"2");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[track_caller]
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

    /// Sets a variable of the environment; the others are ours. The command does not start, with an
    /// error of the kind [`InvalidInput`](io::ErrorKind::InvalidInput), if the name is empty or has
    /// a `=`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let output = Command::shell("echo $GREETING").env("GREETING", "hello").output().await?;
    ///     assert_eq!(output.stdout, b"hello\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets variables of the environment, as [`env`](Self::env) sets one.
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
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let output = Command::new("pwd").current_dir("/").output().await?;
    ///     assert_eq!(output.stdout, b"/\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "cwd")]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Puts the process into a group, so that it and its children can be signalled as one, and
    /// Ctrl-C in the terminal does not reach them; 0 is a new group of its own.
    ///
    /// With [`new_session`](Self::new_session) or [`kill_group`](Self::kill_group) it has a group
    /// of its own in any case.
    pub fn process_group(mut self, group: i32) -> Self {
        self.group = Some(group);
        self
    }

    /// Has the process lead a session of its own, without a terminal: what a daemon does. It has a
    /// group of its own, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let command = Command::shell("echo > /dev/tty").new_session(true);
    ///     let status = command.stderr(Stdio::null()).await?.wait().await;
    ///     assert!(!status.success(), "there is no terminal");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "start_new_session")]
    #[doc(alias = "setsid")]
    pub fn new_session(mut self, yes: bool) -> Self {
        self.setup.session = yes;
        self
    }

    /// Runs it as another user, by number; needs the privilege. Without [`groups`](Self::groups) it
    /// loses the supplementary groups of the superuser.
    #[doc(alias = "user")]
    pub fn uid(mut self, user: u32) -> Self {
        self.setup.uid = Some(user);
        self
    }

    /// Runs it as another group, by number; needs the privilege.
    #[doc(alias = "group")]
    pub fn gid(mut self, group: u32) -> Self {
        self.setup.gid = Some(group);
        self
    }

    /// Gives it these supplementary groups, by number, in place of ours; needs the privilege.
    #[doc(alias = "extra_groups")]
    pub fn groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.setup.groups = Some(groups.into_iter().collect());
        self
    }

    /// Sets which permissions the files that it makes do *not* get, as `0o077` for all but the
    /// owner's.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let command = Command::shell("umask").umask(0o027).stdout(Stdio::piped());
    ///     let output = command.output().await?;
    ///     assert_eq!(output.stdout, b"0027\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn umask(mut self, mask: u32) -> Self {
        self.setup.umask = Some(mask);
        self
    }

    /// Limits how much of a resource it may use, for good: it can lower the limit but not raise it.
    ///
    /// The units are the resource's; `u64::MAX` is no limit. A limit above ours needs the
    /// privilege, which this process has to have, not the [user](Self::uid) that the other one runs
    /// as. What the process starts in its turn has the same limits, each for itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::{Command, Resource, Stdio};
    ///
    /// asyncio_task::run(async {
    ///     let command = Command::shell("ulimit -n; ulimit -t");
    ///     let command = command.resource_limit(Resource::OpenFiles, 50);
    ///     let command = command.resource_limit(Resource::CpuTime, 7);
    ///     let output = command.stdout(Stdio::piped()).output().await?;
    ///     assert_eq!(output.stdout, b"50\n7\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "setrlimit")]
    pub fn resource_limit(mut self, resource: Resource, limit: u64) -> Self {
        self.setup.limits.push(Limit { resource, soft: limit, hard: Some(limit) });
        self
    }

    /// Limits how much of a resource it may use, as long as it does not raise the limit itself, to
    /// what it could have had: to the "hard" one. See [`resource_limit`](Self::resource_limit).
    #[doc(alias = "setrlimit")]
    pub fn soft_resource_limit(mut self, resource: Resource, limit: u64) -> Self {
        self.setup.limits.push(Limit { resource, soft: limit, hard: None });
        self
    }

    /// Has the system send this signal to the process when the *thread* that starts it has ended,
    /// in whatever way: with [`Signal::KILL`] it does not outlive this program even if that is
    /// killed.
    ///
    /// Nothing else does that: a program that is killed drops nothing. What the process starts in
    /// its turn is not signalled, and a program that changes its user as it starts is not, either.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Signal;
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let command = Command::new("sleep").arg("1000");
    ///     let server = command.parent_death_signal(Signal::KILL).await?;
    ///     assert_eq!(server.exit_status(), None);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[cfg(target_os = "linux")]
    #[doc(alias = "PR_SET_PDEATHSIG")]
    pub fn parent_death_signal(mut self, signal: impl Into<Signal>) -> Self {
        self.parent_death_signal = Some(signal.into());
        self
    }

    /// Sets where standard input comes from.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into().0);
        self
    }

    /// Sets where standard output leads.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into().0);
        self
    }

    /// Sets where standard error leads.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into().0);
        self
    }

    /// Sets within how many bytes the stream readers look for the end of a line.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets whether the process is killed when its [`Process`] is dropped or the loop is closed,
    /// which is the default. With `false` it goes on; it is reaped as long as the loop runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let process = Command::new("true").kill_on_drop(false).await?;
    ///     drop(process); // the process goes on, and is reaped after its end
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn kill_on_drop(mut self, kill: bool) -> Self {
        self.kill_on_drop = kill;
        self
    }

    /// Puts the process into a group of its own and treats that as one: signals go to all of the
    /// group, and when the process has ended, what is left of its group is killed. So a shell takes
    /// what it has started along.
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
    ///     // All writing ends are closed.
    ///     assert_eq!(process.stdout().unwrap().read_to_end().await?, "");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn kill_group(mut self, yes: bool) -> Self {
        self.kill_group = yes;
        self
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
    /// descriptors. Then nothing is left behind. The text names the program and the directory; the
    /// error with the system's number is the [source](std::error::Error::source).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// It does not wait: once polled it is done. Dropping the [`Process`] kills it, and the loop
    /// reaps it.
    pub fn spawn(self) -> impl Future<Output = io::Result<Process>> {
        at_await(async move { self.start() })
    }

    /// Starts the process and waits for its end. Its streams lead where ours do unless told
    /// otherwise.
    ///
    /// A stream that is piped is closed at once, since no code would read or write it; to have what
    /// it writes there is [`output`](Self::output).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping it kills the process, and the loop reaps it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     assert!(Command::new("true").status().await?.success());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn status(mut self) -> impl Future<Output = io::Result<ExitStatus>> {
        at_await(async move {
            self.site = None;
            let mut process = self.start()?;
            drop((process.take_stdin(), process.take_stdout(), process.take_stderr()));
            Ok(process.wait().await)
        })
    }

    /// Starts the process, collects what it writes to the streams that are piped, and waits for its
    /// end. See [`Process::communicate`].
    ///
    /// Here standard output and standard error are piped unless told otherwise, and standard input
    /// is [null](Stdio::null).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and the errors of reading.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping it kills the process, and the loop reaps it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_process::Command;
    ///
    /// asyncio_task::run(async {
    ///     let output = Command::new("echo").arg("hello").output().await?;
    ///     assert_eq!(output.stdout, b"hello\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn output(mut self) -> impl Future<Output = io::Result<Output>> {
        at_await(async move {
            self.site = None;
            self.stdin.get_or_insert(Kind::Null);
            self.stdout.get_or_insert(Kind::Piped);
            self.stderr.get_or_insert(Kind::Piped);
            self.start()?.communicate(None).await
        })
    }

    pub(crate) fn start(self) -> io::Result<Process> {
        let limit = self.limit;
        self.launch().map(|(child, pipes)| Process::new(child, pipes, limit))
    }

    /// Starts the process; it is killed if anything fails afterwards.
    pub(crate) fn launch(mut self) -> io::Result<(Owned, Pipes)> {
        let event_loop = running_loop();
        self.check_environment()?;
        self.set_up()?;
        let merged = self.connect()?;
        let mut process = self.command.spawn().map_err(|error| self.explain(error))?;
        let stdin = process.stdin.take().map(OwnedFd::from);
        let stdout = merged.or_else(|| process.stdout.take().map(OwnedFd::from));
        let stderr = process.stderr.take().map(OwnedFd::from);
        let fate = Fate { orphan: !self.kill_on_drop, group: self.kill_group };
        let child = Owned(Child::adopt(&event_loop, process, self.watcher, fate)?);
        if let Some(site) = self.site.filter(|_| event_loop.is_debug()) {
            child.made_at(self.command.get_program(), site);
        }
        let pipe = |fd: Option<OwnedFd>| fd.map(|fd| Pipe::new(&event_loop, fd)).transpose();
        Ok((child, Pipes { stdin: pipe(stdin)?, stdout: pipe(stdout)?, stderr: pipe(stderr)? }))
    }

    /// Refuses names of variables that the child would read as other names.
    fn check_environment(&self) -> io::Result<()> {
        let set = self.command.get_envs().filter(|(_, value)| value.is_some());
        for (name, _) in set {
            if name.is_empty() || name.as_encoded_bytes().contains(&b'=') {
                let text = format!("{name:?} cannot be the name of an environment variable");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        Ok(())
    }

    /// Which program did not start; and where, since a missing directory gives the same error.
    fn explain(&self, error: io::Error) -> io::Error {
        let program = self.command.get_program();
        let what = match self.command.get_current_dir() {
            Some(directory) => format!("{program:?} in {directory:?}"),
            None => format!("{program:?}"),
        };
        io::Error::new(error.kind(), StartError { what, error })
    }

    /// Tells the standard library what the process is to be.
    fn set_up(&mut self) -> io::Result<()> {
        // The leader of a session cannot join a group, and has one.
        if !self.setup.session {
            let group = if self.kill_group { Some(0) } else { self.group };
            group.map(|group| self.command.process_group(group));
        }
        #[cfg(target_os = "linux")]
        if let Some(signal) = self.parent_death_signal {
            self.setup.on_parent_death = Some(OnParentDeath::new(sendable(signal)?));
        }
        if !self.setup.is_empty() {
            sys::prepare(&mut self.command, std::mem::take(&mut self.setup));
        }
        Ok(())
    }

    /// Tells the standard library where the streams lead; returns our end of a pipe that both
    /// standard output and standard error lead to.
    fn connect(&mut self) -> io::Result<Option<OwnedFd>> {
        let take = |kind: &mut Option<Kind>| kind.take().unwrap_or(Kind::Inherit);
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

/// What did not start, and the system's own error as the source.
#[derive(Debug)]
struct StartError {
    what: String,
    error: io::Error,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start {}: {}", self.what, self.error)
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl IntoFuture for Command {
    type Output = io::Result<Process>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = io::Result<Process>>>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.spawn()))
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
