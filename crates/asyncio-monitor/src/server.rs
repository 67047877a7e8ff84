//! The monitor's thread: a loop of its own, with a server.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use asyncio_loop::{EventLoop, ThreadFuture, ThreadPromise};
use asyncio_net::{Server, start_server, start_unix_server};
use asyncio_task::shutdown_loop;

use crate::client;
use crate::options::Options;
use crate::place::Bound;
use crate::state::State;
use crate::walks::Walks;
use crate::watched::Loops;

/// The maximum length of a line of a console and of a request.
const LINE_LIMIT: usize = 8 * 1024;

/// Only the user may connect.
const PRIVATE: u32 = 0o600;

/// How long the monitor's own tasks may take to end.
const GRACE: Duration = Duration::from_millis(500);

/// The thread of a monitor. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct ServerThread {
    place: Bound,
    stop: Option<ThreadPromise<()>>,
    thread: Option<JoinHandle<()>>,
    /// The process that owns the thread. A process that was forked from it has no such thread.
    process: u32,
}

impl ServerThread {
    /// Listens, and returns when clients can connect.
    pub(crate) fn start(options: &Options, loops: &Arc<Loops>) -> io::Result<Self> {
        if options.access.token.as_deref() == Some("") {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty token is none"));
        }
        let place = options.place.look_up(options.access.token.is_some())?;
        let (stop, stopped) = ThreadPromise::new();
        let (started, told) = ThreadPromise::new();
        let make_state = {
            let (loops, access) = (Arc::clone(loops), options.access.clone());
            let (answer_timeout, max_clients) = (options.answer_timeout, options.max_clients);
            let is_unix = matches!(place, Bound::Path(_));
            move || State {
                loops,
                walks: Walks::default(),
                access,
                answer_timeout,
                max_clients,
                clients: Cell::new(0),
                started: Instant::now(),
                is_unix,
            }
        };
        let thread = thread::Builder::new()
            .name("asyncio-monitor".to_owned())
            .spawn(move || run(&place, make_state(), stopped, started))?;
        let place = match told.result(None) {
            Ok(Ok(place)) => place,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::Error::other("the monitor's thread panicked")),
        };
        let process = std::process::id();
        Ok(Self { place, stop: Some(stop), thread: Some(thread), process })
    }

    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self.place {
            Bound::Address(address) => Some(address),
            Bound::Path(_) => None,
        }
    }

    pub(crate) fn path(&self) -> Option<&PathBuf> {
        match &self.place {
            Bound::Address(_) => None,
            Bound::Path(path) => Some(path),
        }
    }
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        if !self.is_of_this_process() {
            // It would wake the parent's thread, and join a thread that does not exist here.
            std::mem::forget(self.stop.take());
            return;
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The panic hook has printed a panic of the thread.
            let _ = thread.join();
        }
    }
}

/// The main function of the thread. Its loop has no runner, so it handles no signals and has no
/// monitor of its own.
fn run(
    place: &Bound,
    state: State,
    stopped: ThreadFuture<()>,
    started: ThreadPromise<io::Result<Bound>>,
) {
    let event_loop = match EventLoop::builder().debug(false).build() {
        Ok(event_loop) => event_loop,
        Err(error) => return started.set_result(Err(error)),
    };
    let serve = async {
        let server = match listen(place, Rc::new(state)).await {
            Ok((server, place)) => {
                started.set_result(Ok(place));
                server
            }
            Err(error) => return started.set_result(Err(error)),
        };
        // The channel never carries a value; dropping the sender ends the wait.
        let _ = stopped.await;
        server.close();
        server.abort_clients();
        shutdown_loop(&asyncio_loop::running_loop()).grace_period(GRACE).await;
    };
    // This fails only if the loop is stopped, which the monitor never does.
    let _ = event_loop.run_until_complete(serve);
}

async fn listen(place: &Bound, state: Rc<State>) -> io::Result<(Server, Bound)> {
    let serve = async move |reader, writer| client::serve(&state, reader, writer).await;
    match place {
        Bound::Path(path) => {
            let server = start_unix_server(path, serve).limit(LINE_LIMIT);
            let server = server.socket_mode(PRIVATE).await?;
            Ok((server, place.clone()))
        }
        Bound::Address(address) => {
            let server = start_server(*address, serve).limit(LINE_LIMIT).await?;
            let address = server.local_addr()?;
            Ok((server, Bound::Address(address)))
        }
    }
}
