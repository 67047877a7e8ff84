//! One loop's share of the signals: handlers, and tasks that listen.

use std::any::type_name;
use std::cell::RefCell;
use std::ffi::c_int;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use slab::Slab;

use super::by_signal::BySignal;
use super::listen::Mailbox;
use super::registry::{self, Listener};
use super::sys::Claim;
use crate::context::Context;
use crate::event_loop::LoopRef;
use crate::event_loop::running::with_running;
use crate::kernel::RawTask;
use crate::kernel::TaskControl;
use crate::report;
use crate::spawn::TaskOptions;
use crate::{Direction, Source};

/// Dropped when the loop closes, which ends all its interest.
#[derive(Default)]
pub(super) struct SignalTable {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    signals: BySignal<Interest>,
}

/// The loop's entry in the registry, while it wants any signal.
struct Connection {
    listener: Listener,
    /// Watches the pipe.
    watch: RawTask<()>,
}

/// The handler and the listeners of one signal.
#[derive(Default)]
struct Interest {
    handler: Option<Rc<Handler>>,
    mailboxes: Slab<Rc<Mailbox>>,
}

pub(super) struct Handler {
    /// `None` once it is dropped.
    callback: RefCell<Option<Box<dyn FnMut()>>>,
    type_name: &'static str,
    context: Context,
    _claim: Option<Claim>,
    is_internal: bool,
}

impl Handler {
    /// A handler of the program.
    pub(super) fn new<F: FnMut() + 'static>(signal: c_int, callback: F) -> Rc<Self> {
        Self::with(callback, Claim::of(signal), false)
    }

    /// A handler of this project.
    pub(super) fn internal<F: FnMut() + 'static>(callback: F) -> Rc<Self> {
        Self::with(callback, None, true)
    }

    fn with<F: FnMut() + 'static>(
        callback: F,
        claim: Option<Claim>,
        is_internal: bool,
    ) -> Rc<Self> {
        let callback: RefCell<Option<Box<dyn FnMut()>>> = RefCell::new(Some(Box::new(callback)));
        let context = crate::copy_context();
        Rc::new(Handler {
            callback,
            type_name: type_name::<F>(),
            context,
            _claim: claim,
            is_internal,
        })
    }

    fn call(&self) {
        // Only the loop calls this, one step at a time, so neither is in use.
        let mut callback = self.callback.borrow_mut();
        if let Some(callback) = &mut *callback {
            report::caught(self.type_name, || self.context.run(callback));
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let callback = self.callback.take();
        report::caught(self.type_name, || drop(callback));
    }
}

impl SignalTable {
    pub(super) fn set_handler(
        &self,
        event_loop: &LoopRef,
        signal: c_int,
        handler: Rc<Handler>,
    ) -> io::Result<()> {
        let before = {
            let mut state = self.state.borrow_mut();
            state.interest(event_loop, signal)?.handler.replace(handler)
        };
        drop(before);
        Ok(())
    }

    pub(super) fn remove_handler(&self, signal: c_int) -> io::Result<bool> {
        let mut state = self.state.borrow_mut();
        let Some(interest) = state.signals.get_mut(signal) else { return Ok(false) };
        let handler = interest.handler.take();
        let result = state.tidy(signal);
        drop(state);
        result.map(|()| handler.is_some())
    }

    pub(super) fn add_mailbox(
        &self,
        event_loop: &LoopRef,
        signal: c_int,
        mailbox: &Rc<Mailbox>,
    ) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        Ok(state.interest(event_loop, signal)?.mailboxes.insert(Rc::clone(mailbox)))
    }

    /// Removes the mailbox that `add_mailbox` put at `place`.
    pub(super) fn remove_mailbox(&self, signal: c_int, place: usize) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        if let Some(interest) = state.signals.get_mut(signal) {
            interest.mailboxes.try_remove(place);
        }
        state.tidy(signal)
    }

    pub(super) fn has_mailbox(&self, signal: c_int) -> bool {
        let state = self.state.borrow();
        state.signals.get(signal).is_some_and(|interest| !interest.mailboxes.is_empty())
    }

    /// Notifies the handler and the listeners of this loop. A signal that none of them wants is
    /// dropped. The number of signals for which only this project's own code listens, which then
    /// holds a handle of the loop for each, and watches one descriptor; `None` if the user's code
    /// listens as well.
    pub(super) fn internal(&self) -> Option<usize> {
        let state = self.state.borrow();
        let is_internal = |interest: &Interest| {
            interest.mailboxes.is_empty()
                && interest.handler.as_ref().is_none_or(|handler| handler.is_internal)
        };
        let all = state.signals.iter().all(|(_, interest)| is_internal(interest));
        all.then(|| state.signals.iter().count())
    }

    fn deliver(&self, signal: c_int) {
        let (handler, mailboxes) = match self.state.borrow().signals.get(signal) {
            Some(interest) => (interest.handler.clone(), interest.mailboxes.clone()),
            None => return,
        };
        mailboxes.iter().for_each(|(_, mailbox)| mailbox.put(signal.into()));
        if let Some(handler) = handler {
            handler.call();
        }
    }
}

impl State {
    fn interest(&mut self, event_loop: &LoopRef, signal: c_int) -> io::Result<&mut Interest> {
        let listener = self.connect(event_loop)?;
        if self.signals.get(signal).is_none() {
            if let Err(error) = register(event_loop, signal, listener) {
                self.disconnect_if_idle();
                return Err(error);
            }
        }
        self.signals.get_or_try_insert(signal, || Ok(Interest::default()))
    }

    fn connect(&mut self, event_loop: &LoopRef) -> io::Result<Listener> {
        if let Some(connection) = &self.connection {
            return Ok(connection.listener);
        }
        let (listener, pipe) = registry::join()?;
        let watching = watch(Source::new(event_loop, pipe));
        let watch = event_loop
            .spawn(watching, TaskOptions::new().name("signals").hidden())
            .map_err(io::Error::other)?;
        self.connection = Some(Connection { listener, watch });
        Ok(listener)
    }

    /// Gives up a signal without a handler and listeners.
    fn tidy(&mut self, signal: c_int) -> io::Result<()> {
        let idle = self.signals.get(signal).is_some_and(Interest::is_empty);
        if !idle {
            return Ok(());
        }
        self.signals.remove(signal);
        let result = match &self.connection {
            Some(connection) => registry::remove(signal, connection.listener),
            None => Ok(()),
        };
        self.disconnect_if_idle();
        result
    }

    fn disconnect_if_idle(&mut self) {
        if self.signals.is_empty() {
            if let Some(connection) = self.connection.take() {
                connection.watch.task().request_cancel();
            }
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let Some(connection) = &self.connection else { return };
        for (signal, _) in self.signals.iter() {
            if let Err(error) = registry::remove(signal, connection.listener) {
                log::error!(target: "asyncio", "cannot restore signal {signal}: {error}");
            }
        }
    }
}

impl Interest {
    fn is_empty(&self) -> bool {
        self.handler.is_none() && self.mailboxes.is_empty()
    }
}

fn register(event_loop: &LoopRef, signal: c_int, listener: Listener) -> io::Result<()> {
    let event_loop = event_loop.handle();
    let tell = move |signal| {
        // Refused by a loop that is closed, which is about to drop its table.
        let _ = event_loop.call_soon_threadsafe(move || {
            let _ = with_running(|event_loop| event_loop.local::<SignalTable>().deliver(signal));
        });
    };
    registry::add(signal, listener, Box::new(tell))
}

/// Passes on the signals that come through the pipe, until it is dropped.
async fn watch(pipe: Source<UnixStream>) {
    while pipe.ready(Direction::Read).await.is_ok() {
        // Cleared first, so that a signal that comes while the pipe is being emptied is noticed.
        pipe.clear_ready(Direction::Read);
        registry::dispatch(pipe.get_ref());
    }
}
