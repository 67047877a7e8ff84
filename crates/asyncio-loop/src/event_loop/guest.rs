//! A loop inside another one: bursts of turns.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::LoopRef;
use super::marks::{DEBUG, GUIDED, MEASURED, RECORDED, RESTING, STOPPING, VIRTUAL};
use crate::clock::{LoopTime, system_nanos};
use crate::driver::Wait;
use crate::error::RunError;
use crate::kernel::{TaskRef, What, cause};
use crate::watchdog;

/// The default time limit of a burst.
const BUDGET: Duration = Duration::from_micros(50);
/// The number of further polls in a row that are worth their cost after one that found events.
const EXTRA_POLLS: i8 = 4;
/// The number of further polls that are skipped after polls without events.
const SKIPPED_POLLS: i8 = 16;

/// The result of a burst of turns.
///
/// # Examples
///
/// ```
/// use std::task::Waker;
/// use asyncio_loop::{Burst, EventLoop};
///
/// let event_loop = EventLoop::new()?;
/// let guest = event_loop.guest();
/// while guest.burst(Waker::noop(), true)? == Burst::Busy {}
/// event_loop.stop();
/// assert_eq!(guest.burst(Waker::noop(), true)?, Burst::Over);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// The run is over: the loop was stopped, or the task of [`Guest::until`] is done.
    Over,
    /// There is more to run: the next burst is due after a turn of the host.
    Busy,
    /// There is nothing to run. The next burst is due when the poller's descriptor is readable,
    /// when the waker was woken, or when the time that [`Guest::timeout`] said is over.
    Idle,
}

/// A run of a loop whose turns are made by another loop, the *host*, on the same thread.
///
/// A host watches the [poller](Self::poller) for readability, beside its own descriptors, and
/// calls [`burst`](Self::burst): once at the beginning, and then as each [`Burst`] says. Between
/// two bursts this loop is not the running one of the thread.
///
/// Dropping the guest ends the run: unfinished tasks wait for another run, or for `close`.
///
/// # Examples
///
/// A host with a hand-written loop around `poll(2)`. `wake` notes that the guest has to run, so
/// that the host does not wait:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::task::{Wake, Waker};
/// use std::time::Duration;
/// use asyncio_loop::{Burst, EventLoop, TaskOptions};
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
///
/// struct Woken(AtomicBool);
///
/// impl Wake for Woken {
///     fn wake(self: Arc<Self>) {
///         self.0.store(true, Ordering::Relaxed);
///     }
/// }
///
/// let event_loop = EventLoop::new()?;
/// let this = event_loop.loop_ref();
/// event_loop.call_later(Duration::from_millis(5), move || this.stop());
///
/// let woken = Arc::new(Woken(AtomicBool::new(false)));
/// let waker = Waker::from(Arc::clone(&woken));
/// let guest = event_loop.guest();
/// let poller = guest.poller()?;
/// let mut readable = true;
/// loop {
///     woken.0.store(false, Ordering::Relaxed);
///     let timeout = match guest.burst(&waker, readable)? {
///         Burst::Over => break,
///         Burst::Busy => Some(Duration::ZERO),
///         Burst::Idle => guest.timeout(),
///     };
///     // The host's own work goes here; it may use the loop.
///     let timeout = if woken.0.load(Ordering::Relaxed) { Some(Duration::ZERO) } else { timeout };
///     let timeout = timeout.map(Timespec::try_from).transpose()?;
///     let mut descriptors = [PollFd::new(&poller, PollFlags::IN)];
///     poll(&mut descriptors, timeout.as_ref())?;
///     readable = descriptors[0].revents().contains(PollFlags::IN);
/// }
/// assert_eq!(event_loop.timer_count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "call burst"]
pub struct Guest {
    event_loop: LoopRef,
    site: &'static Location<'static>,
    task: Option<TaskRef>,
    budget: u64,
    /// The number of steps still to run of the turn that a burst has interrupted.
    left: Cell<usize>,
    /// The number of steps of that turn that have run.
    ran: Cell<usize>,
    /// The poller may have events that were not taken.
    unread: Cell<bool>,
    /// Tasks that the host wakes go first. Not twice in a row if there was no time for others.
    overtake: Cell<bool>,
    /// How many of those are still to run.
    at_front: Cell<usize>,
    /// Whether another poll before a rest pays: the number of polls to make, or (below 0) to skip.
    extra_polls: Cell<i8>,
    /// The waker of the last rest.
    host: RefCell<Option<Rc<Waker>>>,
}

impl LoopRef {
    /// Begins a run whose turns the caller makes, as a host.
    ///
    /// A loop is the guest of one host at a time.
    ///
    /// # Examples
    ///
    /// See [`Guest`].
    #[track_caller]
    pub fn guest(&self) -> Guest {
        Guest::new(self.clone(), Location::caller(), None)
    }
}

impl Guest {
    pub(super) fn new(
        event_loop: LoopRef,
        site: &'static Location<'static>,
        task: Option<TaskRef>,
    ) -> Self {
        Self {
            event_loop,
            site,
            task,
            budget: BUDGET.as_nanos() as u64,
            left: Cell::new(0),
            ran: Cell::new(0),
            unread: Cell::new(true),
            overtake: Cell::new(true),
            at_front: Cell::new(0),
            extra_polls: Cell::new(0),
            host: RefCell::new(None),
        }
    }

    /// Makes the run end when `task` is done too.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::Waker;
    /// use asyncio_loop::{Burst, EventLoop, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut task = event_loop.spawn(async { 6 * 7 }, TaskOptions::new())?;
    /// let guest = event_loop.guest().until(task.task());
    /// while guest.burst(Waker::noop(), true)? != Burst::Over {}
    /// assert!(matches!(task.take(), Some(Outcome::Value(42))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn until(mut self, task: &TaskRef) -> Self {
        self.task = Some(task.clone());
        self
    }

    /// Sets the time limit of a burst: then it ends as [`Burst::Busy`], even in the middle of a
    /// turn. A single callback or poll that takes longer makes the burst longer. Default: 50 µs.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let _guest = event_loop.guest().budget(Duration::from_millis(1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// The loop whose run this is.
    #[must_use]
    pub fn event_loop(&self) -> &LoopRef {
        &self.event_loop
    }

    /// A duplicate of the descriptor of the loop's poller. It is readable when a descriptor of the
    /// loop is ready, when another thread calls, and on Linux when a timer is due.
    ///
    /// A host that watches it edge-triggered (as epoll can) consumes an edge before it calls
    /// [`burst`](Self::burst), not after.
    ///
    /// # Errors
    ///
    /// The operating system's error if it has no descriptors left; an error if the loop is closed.
    pub fn poller(&self) -> io::Result<OwnedFd> {
        self.event_loop.driver().duplicate_poller()
    }

    /// The time until the next timer is due; `None` without timers. Zero when it is due already.
    ///
    /// On Linux a host need not call this: the poller's descriptor becomes readable then, to the
    /// microsecond. On other systems the host has to call [`burst`](Self::burst) after this time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let guest = event_loop.guest();
    /// assert_eq!(guest.timeout(), None);
    /// event_loop.call_later(Duration::from_secs(60), || {});
    /// assert!(guest.timeout().unwrap() <= Duration::from_secs(60));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let inner = &*self.event_loop.0;
        let moment = inner.wake_for(inner.next_deadline()?);
        Some(Duration::from_nanos(moment.saturating_sub(system_nanos())))
    }

    /// Makes turns of the loop for a bounded time.
    ///
    /// `readable` says whether the poller's descriptor was readable. A host that does not know
    /// passes true, which costs a system call.
    ///
    /// `waker` is woken once after [`Burst::Idle`] if code of the host schedules something on the
    /// loop. It is woken on this thread, outside bursts, inside the call that schedules. So it must
    /// not use the loop; it only notes that a burst is due. Other threads and descriptors make the
    /// poller readable instead.
    ///
    /// Tasks that the host wakes between two bursts run first in the next one, so that they need
    /// not wait for the end of a long turn. Callbacks keep their order.
    ///
    /// With virtual time, each burst makes one turn. A burst that finds nothing to run moves the
    /// clock to the next deadline. Pending work of the host does not stop the clock, as sockets and
    /// threads do not.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] inside a burst, or inside a run of any loop on this thread;
    /// [`RunError::Closed`] if the loop is closed.
    ///
    /// # Panics
    ///
    /// As [`run_forever`](LoopRef::run_forever).
    ///
    /// # Examples
    ///
    /// See [`Guest`].
    pub fn burst(&self, waker: &Waker, readable: bool) -> Result<Burst, RunError> {
        let burst = || self.event_loop.in_burst(|| self.turns(waker, readable));
        if self.event_loop.is_driven() {
            return Ok(burst());
        }
        self.event_loop.within(self.site, burst)
    }

    fn turns(&self, waker: &Waker, readable: bool) -> Burst {
        let inner = &*self.event_loop.0;
        self.come_back(readable);
        let burst = if inner.marks.has(GUIDED) {
            self.guided_turn()
        } else {
            self.make_turns(waker, readable)
        };
        match burst {
            Burst::Over => inner.marks.set(STOPPING, false),
            Burst::Busy => inner.scheduler.leave_to_host(None),
            Burst::Idle => {}
        }
        burst
    }

    /// Makes one turn, in which a director may also wait.
    #[cold]
    fn guided_turn(&self) -> Burst {
        let inner = &*self.event_loop.0;
        if !self.is_done() {
            inner.guided_turn().expect("the poller of a running loop works");
        }
        inner.restore_candidates();
        if self.is_done() || inner.marks.has(STOPPING) { Burst::Over } else { Burst::Busy }
    }

    /// Makes turns until the time is over or there is nothing to run.
    fn make_turns(&self, waker: &Waker, readable: bool) -> Burst {
        let inner = &*self.event_loop.0;
        loop {
            if self.left.get() == 0 {
                if self.is_done() {
                    return Burst::Over;
                }
                if inner.is_idle() {
                    match self.rest(waker, readable) {
                        Some(burst) => return burst,
                        None => continue,
                    }
                }
                self.ran.set(0);
                self.left.set(inner.scheduler.ready());
            }
            let is_time = self.run_turn();
            // What follows may be hooks, or code of the host.
            inner.scheduler.pause_recording();
            if self.left.get() == 0 {
                inner.end_turn();
                if inner.marks.has(STOPPING) {
                    return Burst::Over;
                }
            }
            if is_time {
                return if self.left.get() == 0 && self.is_done() {
                    Burst::Over
                } else {
                    Burst::Busy
                };
            }
            inner.short_turns(&|| self.is_done());
        }
    }

    /// Begins a burst: takes everything that the host, other threads, timers and descriptors have
    /// scheduled.
    fn come_back(&self, readable: bool) {
        let inner = &*self.event_loop.0;
        inner.marks.set(RESTING, false);
        let at_front = inner.scheduler.come_back(self.overtake.get());
        self.overtake.set(at_front == 0);
        self.at_front.set(at_front);
        if self.left.get() > 0 {
            // Another run may have finished the turn.
            self.left.set((self.left.get() + at_front).min(inner.scheduler.ready()));
        }
        if inner.marks.has(GUIDED) {
            return;
        }
        watchdog::wake();
        inner.record_look(Some(What::PollBegins), cause::THREAD);
        inner.scheduler.unparked();
        inner.scheduler.take_remote();
        inner.record_look(None, cause::DESCRIPTOR);
        if readable || self.unread.get() || inner.marks.has(VIRTUAL) {
            self.poll();
        }
        inner.advance_virtual_time(Wait::Now);
        let now = inner.clock.now();
        inner.scheduler.set_time(LoopTime::from_nanos(now));
        if inner.marks.has(MEASURED) {
            inner.measure_poll(false);
        }
        inner.record_look(None, cause::TIMER);
        inner.expire(now);
        inner.record_look(Some(What::PollEnds), cause::NONE);
        inner.pace.polled_until(now, now.saturating_add(self.budget));
    }

    /// Runs the rest of the turn, or a part of it. Returns whether the time of the burst is over.
    fn run_turn(&self) -> bool {
        let inner = &*self.event_loop.0;
        let timed = inner.marks.has(DEBUG | MEASURED | RECORDED);
        while self.left.get() > 0 {
            let count = self.left.get().min(inner.pace.allowance());
            if timed {
                inner.run_watched(count);
            } else {
                inner.scheduler.run(count);
            }
            self.left.set(self.left.get() - count);
            self.ran.set(self.ran.get() + count);
            let at_front = self.at_front.get();
            self.overtake.set(self.overtake.get() || count > at_front);
            self.at_front.set(at_front.saturating_sub(count));
            if inner.pace.took(count, || inner.clock.now()) {
                return true;
            }
        }
        // A virtual clock stands still while there is work, so it cannot say when to end.
        inner.marks.has(VIRTUAL)
    }

    /// Ends a burst that has nothing to run. Returns `None` if something has become ready
    /// meanwhile.
    fn rest(&self, waker: &Waker, readable: bool) -> Option<Burst> {
        let inner = &*self.event_loop.0;
        if self.unread.get() {
            self.poll();
            return None;
        }
        if readable && self.poll_again() {
            return None;
        }
        if inner.marks.has(VIRTUAL) && inner.next_deadline().is_some() {
            return Some(Burst::Busy);
        }
        if inner.marks.has(DEBUG) && self.event_loop.host().is_some_and(|host| !host.may_wake()) {
            inner.report_deadlock();
            if !inner.is_idle() {
                return None;
            }
        }
        let wait = inner.wait();
        if wait == Wait::Now {
            inner.scheduler.take_remote();
            return None;
        }
        inner.driver.arm(wait).expect("the timer of a running loop works");
        inner.scheduler.leave_to_host(Some(&self.waker(waker)));
        inner.marks.set(RESTING, true);
        Some(Burst::Idle)
    }

    /// Polls the driver, unless the tasks that were woken by the last poll have not run yet. A full
    /// batch has left some.
    fn poll(&self) {
        let (inner, ran) = (&*self.event_loop.0, self.ran.get());
        if inner.has_to_serve(ran) {
            self.unread.set(true);
            return;
        }
        let polled = inner.poll_driver(Wait::Now, ran, self.left.get());
        polled.expect("the poller of a running loop works");
        self.unread.set(inner.driver.was_batch_full());
    }

    /// Polls once more before the host waits, as long as that finds events, which saves a wait of
    /// the host and another burst.
    fn poll_again(&self) -> bool {
        let extra_polls = self.extra_polls.get();
        if extra_polls < 0 {
            self.extra_polls.set(extra_polls + 1);
            return false;
        }
        self.poll();
        let found = self.event_loop.0.scheduler.ready() > 0;
        self.extra_polls.set(match extra_polls {
            _ if found => EXTRA_POLLS,
            0 => -SKIPPED_POLLS,
            _ => extra_polls - 1,
        });
        found
    }

    fn is_done(&self) -> bool {
        self.task.as_ref().is_some_and(TaskRef::is_done)
    }

    /// The host's waker, counted.
    fn waker(&self, waker: &Waker) -> Rc<Waker> {
        let known = self.host.borrow().clone();
        if let Some(known) = known.filter(|known| known.will_wake(waker)) {
            return known;
        }
        let new = Rc::new(waker.clone());
        let old = self.host.replace(Some(Rc::clone(&new)));
        drop(old);
        new
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("event_loop", &self.event_loop)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}
