//! Options of a monitor.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::command::{Command, CommandOutput, Handler};

/// Options of [`start`](crate::start).
///
/// # Examples
///
/// ```
/// use asyncio_monitor::Options;
///
/// let options = Options::new().address("127.0.0.1:0").token("a secret").max_clients(4);
/// ```
#[must_use]
pub struct Options {
    pub(crate) place: Place,
    pub(crate) access: AccessOptions,
    pub(crate) max_clients: usize,
    pub(crate) history: usize,
    pub(crate) answer_timeout: Duration,
    pub(crate) commands: Vec<Command>,
}

/// Where a monitor listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `asyncio/PID.sock` in the user's runtime directory.
    RuntimeDirectory,
    Path(PathBuf),
    Address(String),
}

/// The access control.
#[derive(Clone, Default)]
pub(crate) struct AccessOptions {
    pub(crate) token: Option<String>,
    pub(crate) hosts: Vec<String>,
}

impl Options {
    /// The defaults: a Unix socket in the user's runtime directory, where `asyncio-ps` finds it,
    /// and no token.
    pub fn new() -> Self {
        Self {
            place: Place::RuntimeDirectory,
            access: AccessOptions::default(),
            max_clients: 32,
            history: 1000,
            answer_timeout: Duration::from_secs(1),
            commands: Vec::new(),
        }
    }

    /// Listens on this address, such as `127.0.0.1:0`. An address that other machines can reach
    /// needs a [`token`](Self::token).
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.place = Place::Address(address.into());
        self
    }

    /// Listens on a Unix socket at this path, which only the user can open. The file of a dead
    /// socket is replaced. Closing the monitor removes the file.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.place = Place::Path(path.into());
        self
    }

    /// Requires a token. Consoles send a line `token …` first, and requests have a header
    /// `Authorization: Bearer …`. The page asks the user for it.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.access.token = Some(token.into());
        self
    }

    /// Accepts requests for this host name (without a port), under which browsers reach a monitor
    /// on another machine. Addresses and `localhost` are always accepted.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.access.hosts.push(name.into());
        self
    }

    /// How many clients may be connected at the same time. Default: 32.
    pub fn max_clients(mut self, count: usize) -> Self {
        self.max_clients = count;
        self
    }

    /// How many ended tasks are remembered. Default: 1000.
    pub fn history(mut self, tasks: usize) -> Self {
        self.history = tasks;
        self
    }

    /// How long the loop may take to answer before the monitor reports it as blocked. Default: 1
    /// second.
    pub fn answer_timeout(mut self, limit: Duration) -> Self {
        self.answer_timeout = limit;
        self
    }

    /// Adds a command to the console. `FromStr` parses the command's words as the arguments of
    /// `handler`, which runs as a task on the loop. The console prints the handler's result. If the
    /// client disconnects, the task is cancelled; a console that only ends its input may wait a
    /// minute for the answer.
    ///
    /// [`start`](crate::start) fails if the name contains blanks or is a built-in command's.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_loop::running_loop;
    /// use asyncio_monitor::Options;
    ///
    /// asyncio_task::run(async {
    ///     let limit = Rc::new(Cell::new(10));
    ///     let shown = Rc::clone(&limit);
    ///     let options = Options::new()
    ///         .address("127.0.0.1:0")
    ///         .command("limit", "sets the limit: limit NUMBER", async move |new: u32| {
    ///             format!("it was {}, and is {new}", limit.replace(new))
    ///         })
    ///         .command("show", "shows the limit", async move || shown.get().to_string());
    ///     let _monitor = asyncio_monitor::start(&running_loop(), options)?;
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn command<A, R: CommandOutput>(
        mut self,
        name: impl Into<String>,
        help: impl Into<String>,
        handler: impl Handler<A, R>,
    ) -> Self {
        self.commands.push(Command::new(name.into(), help.into(), handler));
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commands: Vec<&str> = self.commands.iter().map(|command| &*command.name).collect();
        f.debug_struct("Options")
            .field("place", &self.place)
            .field("has_token", &self.access.token.is_some())
            .field("max_clients", &self.max_clients)
            .field("history", &self.history)
            .field("answer_timeout", &self.answer_timeout)
            .field("commands", &commands)
            .finish()
    }
}
