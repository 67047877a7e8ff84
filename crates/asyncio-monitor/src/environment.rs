//! The monitor of a program that was started with `ASYNCIO_MONITOR`.

use std::env::VarError;
use std::sync::{Arc, Mutex, PoisonError};

use asyncio_loop::LoopRef;

use crate::options::{Options, Place};
use crate::server::ServerThread;
use crate::watched::{Loops, Watched};

/// Registers this crate with the runner before `main`, since a program that is only linked with the
/// crate never calls it. The function only stores a pointer, so it does not need the standard
/// library's setup for `main`.
mod before_main {
    #![allow(unsafe_code)]

    ctor::declarative::ctor! {
        #[ctor(unsafe)]
        fn register() {
            asyncio_task::machinery::set_loop_hook(super::watch);
        }
    }
}

/// The monitor of the process, while it has loops.
static SERVER: Mutex<Option<Running>> = Mutex::new(None);

struct Running {
    loops: Arc<Loops>,
    history: usize,
    /// Ends the monitor when it is dropped.
    thread: ServerThread,
}

/// Watches a runner's loop until it is closed. Starts the monitor if this is the first loop.
fn watch(event_loop: &LoopRef) {
    let Ok(value) = std::env::var("ASYNCIO_MONITOR") else { return };
    let Some(place) = Place::of_variable(&value) else { return };
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    // A forked process has its parent's monitor, but not the monitor's thread.
    let running = match server.take().filter(|running| running.thread.is_of_this_process()) {
        Some(running) => running,
        None => match start(place) {
            Ok(running) => running,
            Err(error) => {
                say(&format!("no monitor at ASYNCIO_MONITOR={value}: {error}"));
                return;
            }
        },
    };
    // Closing the loop ends the observation.
    let (watched, _) = running.loops.add(event_loop, running.history, Vec::new());
    *server = Some(running);
    drop(server);
    event_loop.local::<Watch>().0.replace(Some(watched));
}

fn start(place: Place) -> std::io::Result<Running> {
    let mut options = Options::new();
    options.place = place;
    options.access.token = match std::env::var("ASYNCIO_MONITOR_TOKEN") {
        Ok(token) => Some(token).filter(|token| !token.is_empty()),
        Err(VarError::NotPresent) => None,
        Err(error) => return Err(std::io::Error::other(format!("ASYNCIO_MONITOR_TOKEN: {error}"))),
    };
    let loops = Arc::new(Loops::default());
    let thread = ServerThread::start(&options, &loops)?;
    match (thread.local_addr(), thread.path()) {
        (Some(address), _) => say(&format!("a monitor is at http://{address}/")),
        (None, path) => {
            let path = path.map(|path| path.display().to_string()).unwrap_or_default();
            say(&format!("a monitor is at {path}"));
        }
    }
    Ok(Running { loops, history: options.history, thread })
}

/// A person who sets the variable reads standard error, and the program may have no logger.
fn say(text: &str) {
    eprintln!("asyncio: {text}");
}

/// The loop keeps this, and drops it when it is closed.
#[derive(Default)]
struct Watch(std::cell::RefCell<Option<Arc<Watched>>>);

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(watched) = self.0.take() else { return };
        let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = server.as_ref().is_some_and(|running| running.loops.remove(&watched));
        let ended = if is_last { server.take() } else { None };
        // This is done while holding the lock, so that a loop that starts now can bind the address.
        drop(ended);
        drop(server);
    }
}
