//! `Command`: the program to start, with its options.

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
use asyncio_net::machinery::DEFAULT_LIMIT;

#[cfg(target_os = "linux")]
use crate::child::sendable;
use crate::child::{Child, EndOptions, Owned};
use crate::pipe::{Pipe, Pipes};
use crate::process::Process;
use crate::resource::Resource;
#[cfg(target_os = "linux")]
use crate::setup::OnParentDeath;
use crate::setup::{Limit, Setup};
use crate::stdio::{Kind, Stdio};
use crate::sys;
use crate::watcher::Watcher;

/// Describes a program with arguments, without a shell. `.await` starts it.
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

/// Describes a command line for the system's shell. `.await` starts it.
///
/// The shell interprets the whole line, so do not put untrusted text into it.
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

/// A process to start: its program, arguments, environment and standard streams.
///
/// By default the process inherits this program's standard streams. Start it with
/// [`spawn`](Self::spawn), which `.await` calls; or run it to its end with
/// [`status`](Self::status), or with [`output`](Self::output), which collects its output.
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
    /// The place of the call that made this; `None` if the process has no owner that could end it.
    site: Option<&'static Location<'static>>,
}

impl Command {
    /// Describes a program without arguments, which is looked up in `PATH`.
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

    /// Sets the name that the program sees as its own (`argv[0]`), instead of the name by which it
    /// is started.
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.arg0(name);
        self
    }

    /// Sets a variable of the environment; the other variables are inherited. If the name is empty
    /// or has a `=`, starting fails with an error of the kind
    /// [`InvalidInput`](io::ErrorKind::InvalidInput).
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

    /// Removes a variable from the environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Clears the environment: the process gets only variables that are set afterwards.
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

    /// Puts the process into a process group, so that it and its children can be signalled
    /// together, and Ctrl-C in the terminal does not reach them; 0 makes a new group.
    ///
    /// With [`new_session`](Self::new_session) or [`kill_group`](Self::kill_group) it has a group
    /// of its own in any case.
    pub fn process_group(mut self, group: i32) -> Self {
        self.group = Some(group);
        self
    }

    /// Makes the process the leader of a new session without a terminal, as a daemon is
    /// (`setsid(2)`). It has a group of its own too.
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

    /// Runs the process as another user, by ID; needs the privilege. Without
    /// [`groups`](Self::groups) the process loses the supplementary groups of the superuser.
    #[doc(alias = "user")]
    pub fn uid(mut self, user: u32) -> Self {
        self.setup.uid = Some(user);
        self
    }

    /// Runs the process as another group, by ID; needs the privilege.
    #[doc(alias = "group")]
    pub fn gid(mut self, group: u32) -> Self {
        self.setup.gid = Some(group);
        self
    }

    /// Gives the process these supplementary groups, by ID, instead of this program's; needs the
    /// privilege.
    #[doc(alias = "extra_groups")]
    pub fn groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.setup.groups = Some(groups.into_iter().collect());
        self
    }

    /// Sets the umask: the permissions that files which the process makes do *not* get. `0o077`
    /// leaves only the owner's.
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

    /// Limits how much of a resource the process may use (`setrlimit(2)`). The limit is final: the
    /// process can lower it but not raise it.
    ///
    /// The unit depends on the resource; `u64::MAX` stands for no limit. A limit above this
    /// program's own needs the privilege, which this program must have, not the [user](Self::uid)
    /// of the new process. Children of the process have the same limits, each for itself.
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

    /// Sets the "soft" limit of a resource, which the process itself may raise up to the "hard"
    /// limit that it would have otherwise. See [`resource_limit`](Self::resource_limit).
    #[doc(alias = "setrlimit")]
    pub fn soft_resource_limit(mut self, resource: Resource, limit: u64) -> Self {
        self.setup.limits.push(Limit { resource, soft: limit, hard: None });
        self
    }

    /// Makes the system send this signal to the process when the *thread* that starts it ends, in
    /// any way (`prctl(2)`, `PR_SET_PDEATHSIG`). With [`Signal::KILL`], the process does not
    /// outlive this program even if this program is killed.
    ///
    /// Nothing else ensures that, because a program that is killed runs no destructors. Children of
    /// the process are not signalled, nor is a program that changes its user when it starts.
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

    /// Sets the source of standard input.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into().0);
        self
    }

    /// Sets the destination of standard output.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into().0);
        self
    }

    /// Sets the destination of standard error.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into().0);
        self
    }

    /// Sets the limit of the stream readers, in bytes: the longest line that they find.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets whether the process is killed when its [`Process`] is dropped or the loop is closed.
    /// The default is true. With `false` the process goes on, and is reaped by the loop, or after
    /// the end of the loop by a thread.
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

    /// Puts the process into a group of its own and treats the group as a unit: signals go to the
    /// whole group, and when the process has ended, the rest of its group is killed. So the
    /// programs that a shell has started end with the shell.
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

    /// Sets how the end of the process is noticed.
    pub fn watcher(mut self, watcher: Watcher) -> Self {
        self.watcher = watcher;
        self
    }

    /// Starts the process on the running loop.
    ///
    /// # Errors
    ///
    /// The system's error: the program does not exist, may not be run, or no more processes or
    /// descriptors are available. No process is left behind then. The text names the program and
    /// the directory; the system's error is the [source](std::error::Error::source).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// The future does not wait: the first poll completes it. Dropping the [`Process`] kills the
    /// process, and the loop reaps it.
    pub fn spawn(self) -> impl Future<Output = io::Result<Process>> {
        at_await(async move { self.start() })
    }

    /// Starts the process and waits for its end. By default it inherits this program's standard
    /// streams.
    ///
    /// A piped stream is closed at once, since no code would read or write it; to collect the
    /// output, use [`output`](Self::output).
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
    /// Dropping the future kills the process, and the loop reaps it.
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

    /// Starts the process, collects its output from the piped streams, and waits for its end. See
    /// [`Process::communicate`].
    ///
    /// Here the default is that standard output and standard error are piped, and standard input is
    /// [null](Stdio::null).
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
    /// Dropping the future kills the process, and the loop reaps it.
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

    /// Starts the process, which is killed if a later step fails.
    pub(crate) fn launch(mut self) -> io::Result<(Owned, Pipes)> {
        let event_loop = running_loop();
        self.check_environment()?;
        self.set_up()?;
        let merged = self.connect()?;
        let mut process = self.command.spawn().map_err(|error| self.explain(error))?;
        let stdin = process.stdin.take().map(OwnedFd::from);
        let stdout = merged.or_else(|| process.stdout.take().map(OwnedFd::from));
        let stderr = process.stderr.take().map(OwnedFd::from);
        let end = EndOptions { orphan: !self.kill_on_drop, group: self.kill_group };
        let child = Owned(Child::adopt(&event_loop, process, self.watcher, end)?);
        if let Some(site) = self.site.filter(|_| event_loop.is_debug()) {
            child.made_at(self.command.get_program(), site);
        }
        let pipe = |fd: Option<OwnedFd>| fd.map(|fd| Pipe::new(&event_loop, fd)).transpose();
        Ok((child, Pipes { stdin: pipe(stdin)?, stdout: pipe(stdout)?, stderr: pipe(stderr)? }))
    }

    /// Refuses names of variables that the child would parse as other names.
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

    /// The program that did not start, and its directory, since a missing directory gives the same
    /// error.
    fn explain(&self, error: io::Error) -> io::Error {
        let program = self.command.get_program();
        let what = match self.command.get_current_dir() {
            Some(directory) => format!("{program:?} in {directory:?}"),
            None => format!("{program:?}"),
        };
        io::Error::new(error.kind(), StartError { what, error })
    }

    /// Configures the standard library's command.
    fn set_up(&mut self) -> io::Result<()> {
        // The leader of a session cannot join a group, and has its own.
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

    /// Configures the standard streams; returns this program's end of a pipe that both standard
    /// output and standard error write to.
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

/// The error of a program that did not start, with the system's error as the source.
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
