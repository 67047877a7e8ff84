//! The table of signals and the loops that want them. There is one for the process, since
//! dispositions belong to it.
//!
//! The handler's pipe has one reading end. Every loop that wants signals watches a copy of it. The
//! loop that wakes first empties the pipe and notifies *all* loops. So the order of the loops does
//! not matter, and a busy loop delays only itself.

use std::ffi::c_int;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::by_signal::BySignal;
use super::sys::{self, Disposition};

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// Notifies a loop of a signal, from any thread.
pub(super) type Notify = Box<dyn Fn(c_int) + Send>;

/// The number of a loop that wants signals.
pub(super) type Listener = u64;

struct Registry {
    /// The reading end of the handler's pipe.
    pipe: Option<UnixStream>,
    signals: BySignal<Entry>,
    last_listener: Listener,
}

struct Entry {
    previous: Disposition,
    listeners: Vec<(Listener, Notify)>,
}

fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new number for a loop, and its copy of the pipe's reading end.
pub(super) fn join() -> io::Result<(Listener, UnixStream)> {
    let mut registry = lock();
    registry.last_listener += 1;
    Ok((registry.last_listener, registry.pipe()?.try_clone()?))
}

/// Begins to notify a loop of a signal. Installs the handler for the first loop.
pub(super) fn add(signal: c_int, listener: Listener, tell: Notify) -> io::Result<()> {
    let mut registry = lock();
    let install = || Ok(Entry { previous: sys::install(signal)?, listeners: Vec::new() });
    let entry = registry.signals.get_or_try_insert::<io::Error>(signal, install)?;
    entry.listeners.push((listener, tell));
    Ok(())
}

/// Stops notifying a loop of a signal. Restores the disposition after the last loop.
pub(super) fn remove(signal: c_int, listener: Listener) -> io::Result<()> {
    let mut registry = lock();
    let Some(entry) = registry.signals.get_mut(signal) else { return Ok(()) };
    entry.listeners.retain(|(other, _)| *other != listener);
    if !entry.listeners.is_empty() {
        return Ok(());
    }
    let entry = registry.signals.remove(signal);
    entry.map_or(Ok(()), |entry| sys::restore(signal, &entry.previous))
}

/// Empties the pipe, then notifies every loop of the pending signals.
pub(super) fn dispatch(mut pipe: &UnixStream) {
    // The pipe is emptied before the marks are read, because the handler marks its signal before it
    // writes.
    let mut bytes = [0; 64];
    while matches!(pipe.read(&mut bytes), Ok(1..)) {}

    for (signal, entry) in lock().signals.iter() {
        if sys::take_pending(signal) {
            entry.listeners.iter().for_each(|(_, tell)| tell(signal));
        }
    }
}

impl Registry {
    const fn new() -> Self {
        Registry { pipe: None, signals: BySignal::new(), last_listener: 0 }
    }

    fn pipe(&mut self) -> io::Result<&UnixStream> {
        let pipe = match self.pipe.take() {
            Some(pipe) => pipe,
            None => open_pipe()?,
        };
        Ok(self.pipe.insert(pipe))
    }
}

fn open_pipe() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    sys::set_pipe(writer);
    Ok(reader)
}
