//! Hosts: loops that run this one.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::marks::RESTING;
use super::{Guest, LoopRef};
use crate::error::LoopRunning;
use crate::kernel::{TaskRef, caught};

/// Another loop, which makes the turns of each run of this one on its thread, and sets up the
/// environment in which code of this loop runs.
///
/// [`set_host`](LoopRef::set_host) gives a loop its host. For a loop inside another one that is
/// running already, see [`Guest`].
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use std::task::Waker;
/// use std::thread;
/// use asyncio_loop::{Burst, EventLoop, Guest, Host};
///
/// /// Makes turns without ever waiting.
/// struct Spin;
///
/// impl Host for Spin {
///     fn drive(&self, guest: Guest) {
///         while guest.burst(Waker::noop(), true) != Ok(Burst::Over) {
///             thread::yield_now();
///         }
///     }
/// }
///
/// let event_loop = EventLoop::new()?;
/// event_loop.set_host(Rc::new(Spin))?;
/// assert_eq!(event_loop.run_until_complete(async { 6 * 7 })?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Host {
    /// Called once, when a loop gets this host. Default: does nothing.
    fn attach(&self, event_loop: &LoopRef) {
        let _ = event_loop;
    }

    /// Makes the turns of a run: calls [`Guest::burst`] until the run is over. A run whose host
    /// returns earlier counts as stopped. A host that panics is not used any more: later runs make
    /// their turns without it, so that the loop can be cleaned up.
    fn drive(&self, guest: Guest);

    /// Whether code of the host itself may wake tasks that nothing in the loop can wake. If false,
    /// debug mode reports tasks that wait forever, as for a loop without a host. Default: true.
    fn may_wake(&self) -> bool {
        true
    }

    /// Calls `code`, once, in the environment that code of the loop expects. It is called around
    /// each run, and when the loop is closed. Default: calls `code`.
    fn enter(&self, code: &mut dyn FnMut()) {
        code();
    }
}

/// The host of a loop, if it has one, and its state.
#[derive(Default)]
pub(super) struct Hosting {
    host: RefCell<Option<Rc<dyn Host>>>,
    /// The host makes the turns of the current run.
    drives: Cell<bool>,
    /// A burst runs.
    in_burst: Cell<bool>,
}

impl LoopRef {
    /// Makes `host` make the turns of this loop's runs from now on. It is dropped when the loop has
    /// been closed. A closed loop ignores this.
    ///
    /// # Errors
    ///
    /// [`LoopRunning`] while the loop runs.
    ///
    /// # Examples
    ///
    /// See [`Host`].
    #[doc(hidden)]
    pub fn set_host(&self, host: Rc<dyn Host>) -> Result<(), LoopRunning> {
        if let Some(site) = super::running::running_site(self) {
            return Err(LoopRunning { site });
        }
        if !self.is_closed() {
            let before = self.0.hosting.host.replace(Some(Rc::clone(&host)));
            drop(before);
            host.attach(self);
        }
        Ok(())
    }

    pub(super) fn host(&self) -> Option<Rc<dyn Host>> {
        self.0.hosting.host.borrow().clone()
    }

    /// Drops the host, because the loop is closed.
    pub(super) fn leave_host(&self) {
        let host = self.0.hosting.host.take();
        caught("the end of a loop's host", move || drop(host));
    }

    /// Calls `f` in the environment of the host, if there is one.
    pub(super) fn with_host<R>(&self, f: impl FnOnce() -> R) -> R {
        let Some(host) = self.host() else { return f() };
        let (mut f, mut result) = (Some(f), None);
        host.enter(&mut || result = f.take().map(|f| f()).or(result.take()));
        // The loop has to be closed even if the host does not call `code`.
        result.or_else(|| f.take().map(|f| f())).expect("called by the host, or here")
    }

    /// Makes the host make the turns of a run.
    pub(super) fn drive_by(
        &self,
        host: &dyn Host,
        site: &'static Location<'static>,
        task: Option<TaskRef>,
    ) {
        let driving = Driving::begin(self);
        host.drive(Guest::new(self.clone(), site, task));
        driving.end();
    }

    /// Whether the host may make turns now.
    pub(super) fn is_driven(&self) -> bool {
        self.0.hosting.drives.get() && !self.0.hosting.in_burst.get()
    }

    /// Calls `turns`, a burst that must not contain another one.
    pub(super) fn in_burst<R>(&self, turns: impl FnOnce() -> R) -> R {
        let _in_burst = Flag::raise(&self.0.hosting.in_burst);
        turns()
    }

    /// Wakes the host of a resting guest, because a timer, a hook or a stop was added.
    #[inline]
    pub(super) fn wake_host(&self) {
        if self.0.marks.has(RESTING) {
            self.0.scheduler.wake_host();
        }
    }

    /// Takes the loop back from its host, which is woken: other code runs or closes the loop.
    pub(super) fn end_rest(&self) {
        self.wake_host();
        self.0.marks.set(RESTING, false);
        self.0.scheduler.come_back(false);
    }
}

/// A host makes the turns of a run.
struct Driving<'a>(&'a LoopRef);

impl<'a> Driving<'a> {
    fn begin(event_loop: &'a LoopRef) -> Self {
        event_loop.0.hosting.drives.set(true);
        Self(event_loop)
    }

    fn end(self) {
        self.0.0.hosting.drives.set(false);
        self.0.end_rest();
        std::mem::forget(self);
    }
}

impl Drop for Driving<'_> {
    /// The host has panicked.
    fn drop(&mut self) {
        let hosting = &self.0.0.hosting;
        hosting.drives.set(false);
        self.0.end_rest();
        // The caller still has a reference to the host.
        drop(hosting.host.take());
    }
}

/// Sets a flag for as long as this exists.
struct Flag<'a>(&'a Cell<bool>);

impl<'a> Flag<'a> {
    fn raise(flag: &'a Cell<bool>) -> Self {
        flag.set(true);
        Self(flag)
    }
}

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl fmt::Debug for dyn Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}
