//! The loop: its parts, and its turn.

mod children;
mod deadline;
mod deadlock;
mod director;
mod driven;
mod guest;
#[cfg(guest)]
mod guest_check;
mod guided;
mod handle;
mod hooks;
mod host;
mod marks;
mod measure;
mod open;
mod recording;
mod reports;
mod run;
pub(crate) mod running;
mod schedule;
mod slow_cancel;
mod sources;
mod tasks;
mod unclosed;
mod watch;

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::ops::Deref;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

pub use self::children::Children;
pub use self::deadline::Deadline;
pub use self::director::{Director, Rest, Step, random};
pub use self::guest::{Burst, Guest};
use self::guided::Guided;
pub use self::handle::{Handle, TimerHandle};
use self::hooks::Hooks;
pub use self::hooks::TaskHooks;
pub use self::host::Host;
use self::host::Hosting;
use self::marks::{DEBUG, GUIDED, HOOKS, MEASURED, Marks, RECORDED, STOPPING, VIRTUAL};
use self::measure::Measure;
pub use self::unclosed::report_unclosed;
use crate::budget::StepBudget;
use crate::clock::{Clock, LoopTime};
use crate::driver::{Driver, Wait};
use crate::kernel::{LocalScheduler, LoopWaker, What, caught, cause};
use crate::pace::Pace;
use crate::report::ErrorContext;
use crate::spawn::TaskOptions;
use crate::timers::Timers;
use crate::watchdog::{self, Watched};

/// The number of turns without rest after which a virtual clock moves anyway, so that tasks which
/// only yield do not stop it forever.
const RESTLESS_TURNS: u64 = 10_000;

/// A task factory: it gets the options of each new task, and may change them.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use asyncio_loop::{EventLoop, TaskFactory, TaskOptions};
///
/// let anonymous: TaskFactory = Rc::new(|_, options| *options = options.clone().name("anonymous"));
/// let event_loop = EventLoop::new()?;
/// event_loop.set_task_factory(Some(anonymous));
/// let task = event_loop.spawn(async {}, TaskOptions::new())?;
/// assert_eq!(&*task.task().name(), "anonymous");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type TaskFactory = Rc<dyn Fn(&LoopRef, &mut TaskOptions)>;

/// An exception handler, for [`LoopRef::set_exception_handler`].
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use asyncio_loop::{EventLoop, ExceptionHandler};
///
/// // Checks the report, then calls the default handler.
/// let handler: ExceptionHandler = Rc::new(|event_loop, context| {
///     assert!(!context.message().is_empty());
///     event_loop.default_exception_handler(context);
/// });
/// let event_loop = EventLoop::new()?;
/// event_loop.set_exception_handler(Some(Rc::clone(&handler)));
/// assert!(Rc::ptr_eq(&event_loop.exception_handler().unwrap(), &handler));
/// # Ok::<(), std::io::Error>(())
/// ```
pub type ExceptionHandler = Rc<dyn Fn(&LoopRef, &ErrorContext)>;

/// An event loop: callbacks, timers, readiness and tasks of one thread.
///
/// It dereferences to [`LoopRef`], which has the methods. Dropping it closes the loop. In debug
/// mode that is reported: call [`close`](LoopRef::close), which returns an error inside a run.
///
/// # Examples
///
/// ```
/// use asyncio_loop::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// assert_eq!(event_loop.run_until_complete(async { 6 * 7 })?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventLoop(LoopRef);

impl EventLoop {
    /// Returns another handle to this loop, for example for callbacks.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let this = event_loop.loop_ref();
    /// event_loop.call_soon(move || this.stop());
    /// event_loop.run_forever()?;
    /// assert!(!event_loop.is_running());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn loop_ref(&self) -> LoopRef {
        self.0.clone()
    }
}

impl Deref for EventLoop {
    type Target = LoopRef;

    fn deref(&self) -> &LoopRef {
        &self.0
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if !self.0.is_closed() {
            let message = "an event loop was dropped without being closed";
            self.0.report_unclosed(message, Some(self.0.0.made_at), |context| context);
        }
        // Refused only inside a run of this very loop, which is closed at the end of that run.
        if self.0.close().is_err() {
            self.0.0.orphan.set(true);
        }
    }
}

/// A handle to an [`EventLoop`] on its own thread: cheap to clone, neither `Send` nor `Sync`.
///
/// It does not keep the loop open. On a closed loop each method fails or does nothing, as its
/// documentation says.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, LoopRef, running_loop};
///
/// let event_loop = EventLoop::new()?;
/// let kept: LoopRef = event_loop.run_until_complete(async { running_loop() })?;
/// assert_eq!(kept, *event_loop);
/// drop(event_loop);
/// assert!(kept.is_closed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LoopRef(Rc<Inner>);

pub(crate) struct Inner {
    /// The director of a loop under test. Declared before `scheduler`, so that it is dropped first.
    guided: RefCell<Option<Guided>>,
    scheduler: LocalScheduler,
    clock: Clock,
    timers: RefCell<Timers<LoopWaker>>,
    /// The time of the last wake for a timer.
    timer_wake: Cell<u64>,
    /// Nanoseconds between two wakes for timers, at least: the timers that fall due in between
    /// share one wake. A single timer is not delayed.
    timer_gap: u64,
    driver: Driver,
    pace: Pace,
    step_budget: StepBudget,
    marks: Marks,
    /// The place of the call that made the loop.
    made_at: &'static Location<'static>,
    /// The `EventLoop` was dropped inside a run.
    orphan: Cell<bool>,
    /// Position (turn, runs in it) up to which the tasks woken by the last poll have run.
    served: Cell<(u64, usize)>,
    /// The turn in which a virtual clock last moved.
    rested: Cell<u64>,
    turn_end: RefCell<Vec<Rc<dyn Fn()>>>,
    slow_callback: Cell<Duration>,
    handler: RefCell<Option<ExceptionHandler>>,
    factory: RefCell<Option<TaskFactory>>,
    /// Whether `factory` is set.
    has_factory: Cell<bool>,
    /// Whether outputs of some types are checked for errors.
    looks_for_errors: Cell<bool>,
    /// Values that other crates keep for each loop, by type.
    locals: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
    hosting: Hosting,
    measure: Measure,
    hooks: Hooks,
    watched: RefCell<Option<Watched>>,
    /// Whether it was reported since the last step that nothing can wake the loop.
    deadlock_told: Cell<bool>,
}

/// The turn.
impl Inner {
    /// Makes one turn: polls for events, then runs everything that is ready now. Callbacks and
    /// tasks that are scheduled meanwhile wait for the next turn. Returns whether the next turn has
    /// to poll.
    ///
    /// While there is work, polls are skipped until a bounded time has gone by (see [`Pace`]).
    #[inline]
    fn turn(&self, poll: bool) -> io::Result<bool> {
        if self.marks.has(DEBUG | GUIDED | MEASURED | RECORDED) {
            return self.watched_turn(poll);
        }
        if poll || self.scheduler.ready() == 0 {
            self.poll_events::<false>(0, 0)?;
        }
        let poll = self.run_ready::<false>()?;
        self.end_turn();
        Ok(poll)
    }

    /// A turn in debug mode, of a loop that is measured or recorded, or of one with a director.
    #[cold]
    fn watched_turn(&self, poll: bool) -> io::Result<bool> {
        if self.marks.has(GUIDED) {
            return self.guided_turn();
        }
        if poll || self.scheduler.ready() == 0 {
            self.poll_events::<true>(0, 0)?;
        }
        let poll = self.run_ready::<true>()? || self.marks.has(DEBUG);
        if self.marks.has(HOOKS) {
            self.scheduler.pause_recording();
        }
        self.end_turn();
        Ok(poll)
    }

    /// Makes turns until `done`, as long as no flag is set and the clock need not be read. Most
    /// turns of tasks that wake each other are made here.
    #[inline]
    fn short_turns(&self, done: &impl Fn() -> bool) {
        while !done() && !self.marks.any() {
            let ready = self.scheduler.ready();
            if ready == 0 || !self.pace.allows(ready) {
                return;
            }
            self.scheduler.run(ready);
            self.end_turn();
        }
    }

    /// Takes the remote queue, polls the driver, and moves due timers to the ready queue, in order
    /// of deadline. `ran`, `left`: runs of this turn that are done, and still to do.
    ///
    /// `WATCHED`: the loop is measured or recorded, or in debug mode.
    fn poll_events<const WATCHED: bool>(&self, ran: usize, left: usize) -> io::Result<()> {
        let measured = WATCHED && self.marks.has(MEASURED);
        if WATCHED && self.marks.has(DEBUG) {
            self.report_deadlock();
        }
        let recorded = WATCHED && self.marks.has(RECORDED);
        if recorded {
            self.scheduler.record_poll(Some(What::PollBegins), cause::THREAD);
        }
        self.scheduler.take_remote();
        let wait = self.wait();
        if recorded {
            self.scheduler.record_poll(None, cause::DESCRIPTOR);
        }
        let waits = !measured || self.measure_before_wait(wait, ran, left)?;
        if waits {
            self.poll_driver(wait, ran, left)?;
        }
        if wait != Wait::Now {
            watchdog::wake();
        }
        self.scheduler.unparked();
        if recorded {
            self.scheduler.record_poll(None, cause::THREAD);
        }
        self.scheduler.take_remote();
        self.advance_virtual_time(wait);
        let now = self.clock_now();
        if measured {
            self.measure_poll(wait != Wait::Now && waits);
        }
        if recorded {
            self.scheduler.record_poll(None, cause::TIMER);
        }
        self.expire(now);
        if recorded {
            self.scheduler.record_poll(Some(What::PollEnds), cause::NONE);
        }
        self.pace.polled(now);
        Ok(())
    }

    /// Reads the clock, and tells the tasks the time.
    #[inline]
    fn clock_now(&self) -> u64 {
        let now = self.clock.now();
        self.scheduler.set_time(LoopTime::from_nanos(now));
        now
    }

    /// Polls the driver and schedules the tasks whose descriptors are ready. They run in the next
    /// turn if this one is not over.
    ///
    /// A poll is skipped until the tasks found ready by the previous poll have run. They keep the
    /// loop busy, and tasks that became ready meanwhile have to queue behind them anyway; one poll
    /// costs a third of handling a small message.
    fn poll_driver(&self, wait: Wait, ran: usize, left: usize) -> io::Result<()> {
        if wait == Wait::Now && self.has_to_serve(ran) {
            return Ok(());
        }
        if self.driver.poll(wait)? {
            let ahead = u64::from(left > 0);
            self.served.set((self.scheduler.turns() + ahead, self.scheduler.ready() - left));
        }
        Ok(())
    }

    /// Whether tasks that the last poll has woken have not run yet.
    #[inline]
    fn has_to_serve(&self, ran: usize) -> bool {
        (self.scheduler.turns(), ran) < self.served.get() && self.scheduler.ready() > 0
    }

    /// The maximum time that the poll may wait.
    fn wait(&self) -> Wait {
        if !self.is_idle() {
            return Wait::Now;
        }
        let deadline = self.next_deadline();
        if deadline.is_some() && self.marks.has(VIRTUAL) || !self.scheduler.prepare_park() {
            return Wait::Now;
        }
        deadline.map_or(Wait::Forever, |deadline| Wait::Until(self.wake_for(deadline)))
    }

    /// The time to wake for a deadline, on the system's clock.
    fn wake_for(&self, deadline: u64) -> u64 {
        let wake = deadline.max(self.timer_wake.get().saturating_add(self.timer_gap));
        self.clock.system(wake).unwrap_or(u64::MAX)
    }

    /// The time to wake for these deadlines, after a wake for a timer at `wake`.
    #[cfg(test)]
    pub(crate) fn wakes_after(&self, wake: u64, deadlines: &[u64]) -> Vec<u64> {
        self.timer_wake.set(wake);
        deadlines.iter().map(|deadline| self.wake_for(*deadline)).collect()
    }

    /// Moves a virtual clock to the next deadline if nothing else can run.
    fn advance_virtual_time(&self, waited: Wait) {
        if !self.marks.has(VIRTUAL) {
            return;
        }
        let idle = waited == Wait::Now && self.is_idle();
        if idle || self.scheduler.turns() - self.rested.get() >= RESTLESS_TURNS {
            self.rested.set(self.scheduler.turns());
            if let Some(deadline) = self.next_deadline() {
                self.clock.advance_to(deadline);
            }
        }
    }

    /// Whether nothing can run before the next event.
    fn is_idle(&self) -> bool {
        self.scheduler.ready() == 0 && !self.marks.has(STOPPING | HOOKS)
    }

    /// The next deadline. [`LoopTime::MAX`] counts as none: it never comes.
    fn next_deadline(&self) -> Option<u64> {
        let deadline = self.timers.borrow().next_deadline();
        deadline.filter(|&deadline| deadline < LoopTime::MAX.as_nanos())
    }

    /// Wakes the waiters whose deadlines have come.
    fn expire(&self, now: u64) {
        let mut any = false;
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some((_, waker)) = due else { break };
            waker.wake();
            any = true;
        }
        if any {
            self.timer_wake.set(now);
        }
    }

    /// Runs the entries that are in the ready queue now. Returns whether it is time to poll.
    #[inline]
    fn run_ready<const WATCHED: bool>(&self) -> io::Result<bool> {
        let mut left = self.scheduler.ready();
        let mut ran = 0;
        let mut poll = false;
        while left > 0 {
            if poll {
                // In the middle of a long batch: tasks that become ready queue up behind it.
                self.poll_events::<WATCHED>(ran, left)?;
            }
            let count = left.min(self.pace.allowance());
            if WATCHED {
                self.run_watched(count);
            } else {
                self.scheduler.run(count);
            }
            ran += count;
            left -= count;
            poll = self.pace.took(count, || self.clock_now());
        }
        // A virtual clock stands still while there is work, so it cannot say when to poll.
        Ok(poll || self.marks.has(VIRTUAL))
    }

    /// Ends a turn, and calls its hooks.
    #[inline]
    fn end_turn(&self) {
        self.scheduler.end_turn();
        if self.marks.has(HOOKS) {
            self.call_hooks();
        }
    }

    fn call_hooks(&self) {
        self.marks.set(HOOKS, false);
        let mut hooks = self.turn_end.take();
        for hook in hooks.drain(..) {
            // The hook is moved into the closure, since its destructor is code of the user too.
            caught("the end of a turn", move || hook());
        }
        let mut asked_meanwhile = self.turn_end.borrow_mut();
        if asked_meanwhile.is_empty() {
            // The vector is kept for its memory, because a server requests a call at the end of
            // most turns.
            *asked_meanwhile = hooks;
        }
    }
}

/// For the crates above.
impl LoopRef {
    /// The value that another crate keeps for this loop. There is one for each type. It is made at
    /// the first call, and dropped when the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use asyncio_loop::EventLoop;
    ///
    /// #[derive(Default)]
    /// struct Connections(Cell<u32>);
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.local::<Connections>().0.set(3);
    /// assert_eq!(event_loop.local::<Connections>().0.get(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn local<T: Default + 'static>(&self) -> Rc<T> {
        let known = || self.0.locals.borrow().get(&TypeId::of::<T>()).cloned();
        let value = known().unwrap_or_else(|| {
            let value: Rc<dyn Any> = Rc::new(T::default());
            // `default` may have made the value already by calling this.
            known().unwrap_or_else(|| {
                if !self.is_closed() {
                    self.0.locals.borrow_mut().insert(TypeId::of::<T>(), Rc::clone(&value));
                }
                value
            })
        });
        value.downcast().unwrap_or_else(|_| unreachable!("kept by its type"))
    }

    /// The loop that the kernel knows as the owner of a scheduler.
    fn from_owner(owner: Rc<dyn Any>) -> Option<Self> {
        owner.downcast().ok().map(Self)
    }

    pub(crate) fn scheduler(&self) -> &LocalScheduler {
        &self.0.scheduler
    }

    #[cfg(test)]
    pub(crate) fn wakes_after(&self, wake: u64, deadlines: &[u64]) -> Vec<u64> {
        self.0.wakes_after(wake, deadlines)
    }

    pub(crate) fn driver(&self) -> &Driver {
        &self.0.driver
    }

    #[inline]
    pub(crate) fn step_budget(&self) -> &StepBudget {
        &self.0.step_budget
    }

    #[inline]
    pub(crate) fn pace(&self) -> &Pace {
        &self.0.pace
    }
}

impl PartialEq for LoopRef {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LoopRef {}
