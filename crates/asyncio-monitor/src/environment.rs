//! The monitor of a program that was started with `ASYNCIO_MONITOR`.

use std::env::VarError;
use std::sync::{Arc, Mutex, PoisonError};

use asyncio_loop::LoopRef;

use crate::options::{Options, Place};
use crate::server::ServerThread;
use crate::watched::{Loops, Watched};

/// Tells the runner of this crate before `main`: a program that is only linked with it does not
/// mention it. The function stores a pointer and does nothing else, so it needs nothing of what the
/// standard library sets up for `main`.
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

/// Watches a loop that a runner has made, until it is closed. Starts the monitor if this is the
/// first one.
fn watch(event_loop: &LoopRef) {
    let Ok(value) = std::env::var("ASYNCIO_MONITOR") else { return };
    let Some(place) = Place::of_variable(&value) else { return };
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    // A process that was forked has the monitor of its parent, without its thread.
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
    // The loop ends the observation when it is closed.
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

/// Somebody who sets the variable reads standard error, and may have no logger.
fn say(text: &str) {
    eprintln!("asyncio: {text}");
}

/// Kept by the loop, and dropped when it is closed.
#[derive(Default)]
struct Watch(std::cell::RefCell<Option<Arc<Watched>>>);

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(watched) = self.0.take() else { return };
        let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = server.as_ref().is_some_and(|running| running.loops.remove(&watched));
        let ended = if is_last { server.take() } else { None };
        // Within the lock: a loop that comes now finds the place free.
        drop(ended);
        drop(server);
    }
}
