//! The loop: what it is made of, and its turn.

mod deadline;
mod handle;
mod marks;
mod reports;
mod run;
pub(crate) mod running;
mod schedule;
mod sources;
mod tasks;

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub use self::deadline::Deadline;
pub use self::handle::{Handle, TimerHandle};
use self::marks::{DEBUG, HOOKS, Marks, STOPPING, VIRTUAL};
pub use self::reports::ExceptionHandler;
use crate::budget::StepBudget;
use crate::clock::{Clock, LoopTime};
use crate::driver::{Driver, Wait};
use crate::kernel::{LocalScheduler, LoopWaker, TaskRef, caught};
use crate::pace::Pace;
use crate::report;
use crate::spawn::TaskOptions;
use crate::timers::Timers;

/// Wakes for timers are at least this many nanoseconds apart: the timers that fall due in between
/// leave in one wake. A timer that is alone is not delayed by it.
const TIMER_GAP: u64 = 60_000;
/// Turns without rest after which a virtual clock moves all the same, so that tasks which only
/// yield do not keep it from ever moving.
const RESTLESS_TURNS: u64 = 10_000;

/// What a task factory does: looks at, and may change, how each new task is made.
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

/// An event loop: callbacks, timers, readiness and tasks of one thread.
///
/// It derefs to [`LoopRef`], which has the methods. Dropping it closes it.
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
    pub(crate) fn with(clock: Clock, debug: bool, slow_callback: Duration) -> io::Result<Self> {
        let driver = Driver::new()?;
        let waker = driver.waker();
        let scheduler = LocalScheduler::new(&reports::HOST, move || waker.wake());
        let inner = Rc::new(Inner {
            scheduler,
            clock,
            timers: RefCell::new(Timers::new()),
            timer_wake: Cell::new(0),
            driver,
            pace: Pace::new(),
            step_budget: StepBudget::default(),
            marks: Marks::default(),
            orphan: Cell::new(false),
            turns: Cell::new(0),
            served: Cell::new((0, 0)),
            rested: Cell::new(0),
            turn_end: RefCell::new(Vec::new()),
            slow_callback: Cell::new(slow_callback),
            handler: RefCell::new(None),
            factory: RefCell::new(None),
            has_factory: Cell::new(false),
            locals: RefCell::new(HashMap::new()),
        });
        inner.marks.set(DEBUG, debug);
        inner.marks.set(VIRTUAL, inner.clock.is_virtual());
        inner.scheduler.set_owner(&inner);
        Ok(Self(LoopRef(inner)))
    }

    /// Another handle to this loop, to keep in callbacks.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let this = event_loop.handle_to_self();
    /// event_loop.call_soon(move || this.stop());
    /// event_loop.run_forever()?;
    /// assert!(!event_loop.is_running());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn handle_to_self(&self) -> LoopRef {
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
        // Refused only inside a run of this very loop, which closes it at its end then.
        if self.0.close().is_err() {
            self.0.0.orphan.set(true);
        }
    }
}

/// A handle to an [`EventLoop`] on its own thread: cheap to clone, neither `Send` nor `Sync`.
///
/// It does not keep the loop open: once that is closed, what is asked of it is refused or ignored,
/// as each method says.
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
    scheduler: LocalScheduler,
    clock: Clock,
    timers: RefCell<Timers<LoopWaker>>,
    /// When timers were last the reason to wake.
    timer_wake: Cell<u64>,
    driver: Driver,
    pace: Pace,
    step_budget: StepBudget,
    marks: Marks,
    /// The `EventLoop` was dropped inside a run.
    orphan: Cell<bool>,
    /// Turns made so far.
    turns: Cell<u64>,
    /// The turn, and the step in it, before which everybody has run whom the last look at descriptors found ready.
    served: Cell<(u64, usize)>,
    /// The turn in which a virtual clock last moved.
    rested: Cell<u64>,
    turn_end: RefCell<Vec<Rc<dyn Fn()>>>,
    slow_callback: Cell<Duration>,
    handler: RefCell<Option<ExceptionHandler>>,
    factory: RefCell<Option<TaskFactory>>,
    /// Whether there is one, at a glance.
    has_factory: Cell<bool>,
    /// What other crates keep for each loop, by type.
    locals: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
}

/// The turn.
impl Inner {
    /// One iteration: look at the world, then run what is ready now. What that schedules waits for
    /// the next turn.
    ///
    /// While there is work, looking is left out until a bounded time has gone by (see [`Pace`]).
    #[inline]
    fn turn(&self, look: bool) -> io::Result<bool> {
        if look || self.scheduler.ready() == 0 {
            self.look(0, 0)?;
        }
        let look = if self.marks.has(DEBUG) { self.run_watched() } else { self.run_ready()? };
        self.end_turn();
        Ok(look)
    }

    /// Makes turns, until `done`, for as long as they are nothing but steps, and too few to look at the
    /// clock in between. What tasks that wake each other spend most turns on.
    #[inline]
    fn short_turns(&self, done: &impl Fn() -> bool) {
        while !done() && !self.marks.any() {
            let steps = self.scheduler.ready();
            if steps == 0 || !self.pace.allows(steps) {
                return;
            }
            self.scheduler.run(steps);
            self.end_turn();
        }
    }

    /// Takes what other threads left, waits for readiness, and moves due timers to the ready
    /// queue, in order of deadline. So many steps of this turn `ran`, and so many are `left`.
    fn look(&self, ran: usize, left: usize) -> io::Result<()> {
        self.scheduler.take_remote();
        let wait = self.wait();
        self.ask_driver(wait, ran, left)?;
        self.scheduler.unparked();
        self.scheduler.take_remote();
        self.rest(wait);
        let now = self.clock.now();
        self.expire(now);
        self.pace.looked(now);
        Ok(())
    }

    /// Waits as told, and has everybody run whose descriptor became ready: in the next turn, if steps of this one are left.
    ///
    /// Not before those have run who were found by the last look. They are what keeps the loop busy, and what became ready
    /// since has to queue up behind them anyhow; a look costs as much as a small message.
    fn ask_driver(&self, wait: Wait, ran: usize, left: usize) -> io::Result<()> {
        let turn = self.turns.get();
        if wait == Wait::Now && (turn, ran) < self.served.get() && self.scheduler.ready() > 0 {
            return Ok(());
        }
        if self.driver.poll(wait)? {
            let ahead = u64::from(left > 0);
            self.served.set((turn + ahead, self.scheduler.ready() - left));
        }
        Ok(())
    }

    /// How long the poll may take.
    fn wait(&self) -> Wait {
        if !self.is_idle() {
            return Wait::Now;
        }
        let deadline = self.next_deadline();
        if deadline.is_some() && self.marks.has(VIRTUAL) || !self.scheduler.prepare_park() {
            return Wait::Now;
        }
        let Some(deadline) = deadline else { return Wait::Forever };
        let wake = deadline.max(self.timer_wake.get().saturating_add(TIMER_GAP));
        Wait::Until(self.clock.system(wake).unwrap_or(u64::MAX))
    }

    /// Has a virtual clock jump to the next deadline if nothing else can run.
    fn rest(&self, waited: Wait) {
        if !self.marks.has(VIRTUAL) {
            return;
        }
        let idle = waited == Wait::Now && self.is_idle();
        if idle || self.turns.get() - self.rested.get() >= RESTLESS_TURNS {
            self.rested.set(self.turns.get());
            if let Some(deadline) = self.next_deadline() {
                self.clock.advance_to(deadline);
            }
        }
    }

    /// Whether there is nothing to do before the next event.
    fn is_idle(&self) -> bool {
        self.scheduler.ready() == 0 && !self.marks.has(STOPPING | HOOKS)
    }

    /// The next moment to wake at. [`LoopTime::MAX`] is none: it never comes.
    fn next_deadline(&self) -> Option<u64> {
        let deadline = self.timers.borrow().next_deadline();
        deadline.filter(|&deadline| deadline < LoopTime::MAX.as_nanos())
    }

    /// Wakes whoever waits for a deadline that has come.
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

    /// Runs what is in the ready queue now; true if it is time to look.
    #[inline]
    fn run_ready(&self) -> io::Result<bool> {
        let mut left = self.scheduler.ready();
        let mut ran = 0;
        let mut look = false;
        while left > 0 {
            if look {
                // In the middle of a long batch: what becomes ready queues up behind it.
                self.look(ran, left)?;
            }
            let steps = left.min(self.pace.allowance());
            self.scheduler.run(steps);
            ran += steps;
            left -= steps;
            look = self.pace.took(steps, || self.clock.now());
        }
        // A virtual clock stands still while there is work, so it cannot say when to look.
        Ok(look || self.marks.has(VIRTUAL))
    }

    /// As `run_ready` in debug mode: times each step, and reports the slow ones by name.
    fn run_watched(&self) -> bool {
        for _ in 0..self.scheduler.ready() {
            let what = self.scheduler.peek();
            let start = Instant::now();
            self.scheduler.run(1);
            let took = start.elapsed();
            if let Some(runnable) = what.filter(|_| took >= self.slow_callback.get()) {
                match TaskRef::from_runnable(runnable) {
                    Ok(task) => report::slow_step(&format!("{task:?}"), took),
                    Err(callback) => report::slow_step(&format!("{callback:?}"), took),
                }
            }
        }
        true
    }

    /// Calls whoever asked for the end of the turn.
    #[inline]
    fn end_turn(&self) {
        self.turns.set(self.turns.get() + 1);
        if self.marks.has(HOOKS) {
            self.call_hooks();
        }
    }

    fn call_hooks(&self) {
        self.marks.set(HOOKS, false);
        let mut hooks = self.turn_end.take();
        for hook in hooks.drain(..) {
            // Moved in, since its destructor is the user's as well.
            caught("the end of a turn", move || hook());
        }
        let mut asked_meanwhile = self.turn_end.borrow_mut();
        if asked_meanwhile.is_empty() {
            // For its memory: a server asks for the end of most turns.
            *asked_meanwhile = hooks;
        }
    }
}

/// For the crates above.
impl LoopRef {
    /// What another crate keeps for this loop: one value a type, made at the first call, and
    /// dropped when the loop is closed.
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
            // Making it may have made it already.
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
