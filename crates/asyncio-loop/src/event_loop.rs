//! The loop.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::panic::{Location, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::builder::LoopBuilder;
use crate::clock::{Clock, LoopTime};
use crate::context::{Context, ContextSlot};
use crate::driver::{Driver, Wait};
use crate::error::{LoopClosed, LoopRunning, RunError};
use crate::handle::{Handle, TimerHandle};
use crate::kernel::{CallbackRef, HomeOwner, LocalWaker, Outcome, RawTask, TaskRef};
use crate::loop_handle::LoopHandle;
use crate::report::{self, ErrorContext, ExceptionHandler};
use crate::running::{run_within, running_site};
use crate::spawn::TaskOptions;
use crate::timers::{TimerKey, Timers};
use crate::turn::Pace;

/// Wakes for timers are at least this many nanoseconds apart: the timers that fall due in between
/// leave in one wake. A timer that is alone is not delayed by it.
const TIMER_GAP: u64 = 50_000;
/// The longest single wait; a later deadline is looked at again then.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Turns without rest after which a virtual clock moves all the same, so that tasks which only
/// yield do not keep it from ever moving.
const RESTLESS_TURNS: u64 = 10_000;

/// What a task factory does: looks at, and may change, how each new task is made.
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
    /// A loop for this thread.
    ///
    /// # Errors
    ///
    /// Of the operating system, when it has no descriptors left for the poller.
    #[doc(alias = "new_event_loop")]
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A loop with options.
    pub fn builder() -> LoopBuilder {
        LoopBuilder::new()
    }

    pub(crate) fn with(options: &LoopBuilder) -> io::Result<Self> {
        let driver = Driver::new()?;
        let waker = driver.waker();
        let home = HomeOwner::new(move || {
            // It fails only when its counter is full, which wakes as well.
            let _ = waker.wake();
        });
        let inner = Rc::new(Inner {
            home,
            clock: options.clock(),
            timers: RefCell::new(Timers::new()),
            timer_wake: Cell::new(0),
            driver,
            pace: Pace::new(),
            stopping: Cell::new(false),
            orphan: Cell::new(false),
            turns: Cell::new(0),
            rested: Cell::new(0),
            turn_end: RefCell::new(Vec::new()),
            debug: Cell::new(options.is_debug()),
            slow_callback: Cell::new(options.slow_callback),
            handler: RefCell::new(None),
            factory: RefCell::new(None),
            has_factory: Cell::new(false),
            locals: RefCell::new(HashMap::new()),
        });
        inner.home.set_event_loop(&inner);
        Ok(Self(LoopRef(inner)))
    }

    /// Another handle to this loop, to keep in callbacks.
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
#[derive(Clone)]
pub struct LoopRef(Rc<Inner>);

pub(crate) struct Inner {
    home: HomeOwner,
    clock: Clock,
    timers: RefCell<Timers<LocalWaker>>,
    /// When timers were last the reason to wake.
    timer_wake: Cell<u64>,
    driver: Driver,
    pace: Pace,
    stopping: Cell<bool>,
    /// The `EventLoop` was dropped inside a run.
    orphan: Cell<bool>,
    /// Turns made so far.
    turns: Cell<u64>,
    /// The turn in which a virtual clock last moved.
    rested: Cell<u64>,
    turn_end: RefCell<Vec<Rc<dyn Fn()>>>,
    debug: Cell<bool>,
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
    fn turn(&self, look: bool) -> io::Result<bool> {
        if look || self.home.ready() == 0 {
            self.look()?;
        }
        let look = if self.debug.get() { self.run_watched() } else { self.run_ready()? };
        self.end_turn();
        Ok(look)
    }

    /// Takes what other threads left, waits for readiness, and moves due timers to the ready
    /// queue, in order of deadline.
    fn look(&self) -> io::Result<()> {
        self.home.take_mail();
        let wait = self.wait();
        self.driver.poll(wait)?;
        self.home.awake();
        self.home.take_mail();
        self.rest(wait);
        let now = self.clock.now();
        self.expire(now);
        self.pace.looked(now);
        Ok(())
    }

    /// How long the poll may take.
    fn wait(&self) -> Wait {
        if !self.is_idle() {
            return Wait::Now;
        }
        let deadline = self.next_deadline();
        if deadline.is_some() && self.clock.is_virtual() || !self.home.prepare_sleep() {
            return Wait::Now;
        }
        let Some(deadline) = deadline else { return Wait::Forever };
        let wake = deadline.max(self.timer_wake.get().saturating_add(TIMER_GAP));
        let longest = Instant::now() + LONGEST_WAIT;
        Wait::Until(self.clock.instant(wake).map_or(longest, |wake| wake.min(longest)))
    }

    /// Has a virtual clock jump to the next deadline if nothing else can run.
    fn rest(&self, waited: Wait) {
        if !self.clock.is_virtual() {
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
        self.home.ready() == 0 && !self.stopping.get() && self.turn_end.borrow().is_empty()
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
            waker.wake_caught();
            any = true;
        }
        if any {
            self.timer_wake.set(now);
        }
    }

    /// Runs what is in the ready queue now; true if it is time to look.
    fn run_ready(&self) -> io::Result<bool> {
        let mut batch = self.home.ready();
        let mut look = false;
        while batch > 0 {
            if look {
                // In the middle of a long batch: what becomes ready queues up behind it.
                self.look()?;
            }
            let steps = batch.min(self.pace.allowance());
            self.home.run(steps);
            batch -= steps;
            look = self.pace.took(steps, || self.clock.now());
        }
        // A virtual clock stands still while there is work, so it cannot say when to look.
        Ok(look || self.clock.is_virtual())
    }

    /// As `run_ready` in debug mode: times each step, and reports the slow ones by name.
    fn run_watched(&self) -> bool {
        for _ in 0..self.home.ready() {
            let what = self.home.peek();
            let start = Instant::now();
            self.home.run(1);
            let took = start.elapsed();
            if let Some(cell) = what.filter(|_| took >= self.slow_callback.get()) {
                match TaskRef::from_cell(cell) {
                    Ok(task) => report::slow_step(&format!("{task:?}"), took),
                    Err(callback) => report::slow_step(&format!("{callback:?}"), took),
                }
            }
        }
        true
    }

    /// Calls whoever asked for the end of the turn.
    fn end_turn(&self) {
        self.turns.set(self.turns.get() + 1);
        if self.turn_end.borrow().is_empty() {
            return;
        }
        for hook in self.turn_end.take() {
            // Moved in, since its destructor is the user's as well.
            report::caught("the end of a turn", move || hook());
        }
    }
}

/// Running and stopping.
impl LoopRef {
    /// Runs until [`stop`](Self::stop) is called.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] inside any run on this thread, [`RunError::Closed`].
    ///
    /// # Panics
    ///
    /// If the operating system's poller fails, which it does only when the program closed its
    /// descriptor.
    #[track_caller]
    pub fn run_forever(&self) -> Result<(), RunError> {
        self.within(Location::caller(), || self.drive(|| false))
    }

    /// Runs until `future` is done, as a task, and returns its value.
    ///
    /// The future may borrow. If it does not get to its end, it is dropped before this returns;
    /// other tasks stay where they are and go on in the next run.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] and [`RunError::Closed`] (the future is dropped unpolled),
    /// [`RunError::Stopped`] when [`stop`](Self::stop) came first, [`RunError::Cancelled`].
    ///
    /// # Panics
    ///
    /// With the future's own panic; or as [`run_forever`](Self::run_forever).
    #[track_caller]
    pub fn run_until_complete<F: Future>(&self, future: F) -> Result<F::Output, RunError> {
        self.run_task(future, TaskOptions::new())
    }

    /// [`run_until_complete`](Self::run_until_complete) with options for the task.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn run_task<F: Future>(
        &self,
        future: F,
        mut options: TaskOptions,
    ) -> Result<F::Output, RunError> {
        let outcome = self.within(Location::caller(), || {
            self.apply_factory(&mut options);
            self.0.home.run_scoped(future, options.into_spawn(), |task| {
                let task = task.task().clone();
                self.drive(|| task.is_done());
            })
        })?;
        match outcome {
            Some(Outcome::Value(value)) => Ok(value),
            Some(Outcome::Panicked(payload)) => resume_unwind(payload),
            Some(Outcome::Cancelled) => Err(RunError::Cancelled),
            None => Err(RunError::Stopped),
        }
    }

    /// Runs `f` with this loop as the running one.
    fn within<R>(
        &self,
        site: &'static Location<'static>,
        f: impl FnOnce() -> R,
    ) -> Result<R, RunError> {
        if self.is_closed() {
            return Err(RunError::Closed);
        }
        let result = run_within(self, site, f);
        if self.0.orphan.get() {
            // Not refused: nothing runs any more.
            let _ = self.close();
        }
        result
    }

    /// Turns until `done` or stopped.
    fn drive(&self, done: impl Fn() -> bool) {
        let mut look = true;
        while !done() {
            look = self.0.turn(look).expect("the poller of a running loop works");
            if self.0.stopping.get() {
                break;
            }
        }
        self.0.stopping.set(false);
    }

    /// Ends the current run after this turn; outside a run, the next one after its first turn.
    ///
    /// What is ready then, and every task, waits for the next run.
    pub fn stop(&self) {
        self.0.stopping.set(true);
    }

    /// Whether this loop is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        running_site(self).is_some()
    }

    /// Closes the loop: drops every callback and every task, on this thread, and runs nothing any
    /// more. Tasks that had not ended are reported. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`LoopRunning`] while it runs; nothing has changed then.
    pub fn close(&self) -> Result<(), LoopRunning> {
        if let Some(site) = running_site(self) {
            return Err(LoopRunning { site });
        }
        if self.is_closed() {
            return Ok(());
        }
        // Destructors may look for their loop, and report to it. Inside the run of another loop
        // they find that one.
        if run_within(self, Location::caller(), || self.discard()).is_err() {
            self.discard();
        }
        Ok(())
    }

    /// Drops all that a loop holds, one by one: a destructor that panics spares the others.
    fn discard(&self) {
        fn drop_each<T>(what: &'static str, things: impl IntoIterator<Item = T>) {
            things.into_iter().for_each(|thing| report::caught(what, || drop(thing)));
        }
        self.0.home.close();
        let timers = self.0.timers.borrow_mut().drain();
        // Handles may keep the callbacks, but not what those captured.
        timers.into_iter().for_each(LocalWaker::discard);
        drop_each("the end of a turn", self.0.turn_end.take());
        drop_each("the end of a loop's local", self.0.locals.take().into_values());
        drop_each("the end of a task factory", self.0.factory.take());
        drop_each("the end of an exception handler", self.0.handler.take());
    }

    /// Whether the loop is closed.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.home.is_closed()
    }
}

/// Callbacks and time.
impl LoopRef {
    /// Runs `callback` in the next turn, after what is scheduled already, in a copy of the current
    /// context. On a closed loop it is dropped.
    pub fn call_soon<F: FnOnce() + 'static>(&self, callback: F) -> Handle {
        self.call_soon_slot(callback, ContextSlot::copy_current())
    }

    /// [`call_soon`](Self::call_soon) in the given context.
    pub fn call_soon_in<F: FnOnce() + 'static>(&self, context: &Context, callback: F) -> Handle {
        self.call_soon_slot(callback, ContextSlot::explicit(context))
    }

    fn call_soon_slot<F: FnOnce() + 'static>(&self, callback: F, context: ContextSlot) -> Handle {
        // What another thread called for earlier runs earlier.
        self.0.home.take_mail();
        let callback = self.callback_slot(callback, context);
        callback.schedule();
        Handle::new(callback)
    }

    /// A callback of this loop that runs when something schedules it.
    pub fn callback<F: FnOnce() + 'static>(&self, callback: F) -> CallbackRef {
        self.callback_slot(callback, ContextSlot::copy_current())
    }

    /// [`callback`](Self::callback) in the given context.
    pub fn callback_in<F: FnOnce() + 'static>(
        &self,
        context: &Context,
        callback: F,
    ) -> CallbackRef {
        self.callback_slot(callback, ContextSlot::explicit(context))
    }

    fn callback_slot<F: FnOnce() + 'static>(
        &self,
        callback: F,
        context: ContextSlot,
    ) -> CallbackRef {
        let callback = self.0.home.callback(callback, context);
        if self.is_closed() {
            callback.cancel();
        }
        callback
    }

    /// Runs `callback` once `delay` has gone by; never earlier, and never inside this call.
    ///
    /// Timers run in the order of their deadlines, equal ones in the order of creation. A delay
    /// too long to add never ends. On a closed loop the callback is dropped.
    pub fn call_later<F: FnOnce() + 'static>(&self, delay: Duration, callback: F) -> TimerHandle {
        self.call_at(self.time() + delay, callback)
    }

    /// [`call_later`](Self::call_later) in the given context.
    pub fn call_later_in<F: FnOnce() + 'static>(
        &self,
        context: &Context,
        delay: Duration,
        callback: F,
    ) -> TimerHandle {
        self.call_at_slot(self.time() + delay, callback, ContextSlot::explicit(context))
    }

    /// Runs `callback` at `when`; in the next turn if that is over.
    pub fn call_at<F: FnOnce() + 'static>(&self, when: LoopTime, callback: F) -> TimerHandle {
        self.call_at_slot(when, callback, ContextSlot::copy_current())
    }

    /// [`call_at`](Self::call_at) in the given context.
    pub fn call_at_in<F: FnOnce() + 'static>(
        &self,
        context: &Context,
        when: LoopTime,
        callback: F,
    ) -> TimerHandle {
        self.call_at_slot(when, callback, ContextSlot::explicit(context))
    }

    fn call_at_slot<F: FnOnce() + 'static>(
        &self,
        when: LoopTime,
        callback: F,
        context: ContextSlot,
    ) -> TimerHandle {
        let callback = self.callback_slot(callback, context);
        let waker = LocalWaker::from_cell(callback.clone().into_cell());
        let key = self.0.timers.borrow_mut().insert(when.as_nanos(), waker);
        if self.is_closed() {
            self.0.remove_timer(key);
        }
        TimerHandle::new(callback, when, key, Rc::downgrade(&self.0))
    }

    /// Wakes `waker` at `when`, unless the [`Deadline`] is dropped before.
    #[must_use]
    pub fn wake_at(&self, when: LoopTime, waker: LocalWaker) -> Deadline {
        let key = self.0.timers.borrow_mut().insert(when.as_nanos(), waker);
        Deadline { key, event_loop: self.clone() }
    }

    /// The time on the loop's clock.
    #[inline]
    #[must_use]
    pub fn time(&self) -> LoopTime {
        LoopTime::from_nanos(self.0.clock.now())
    }

    /// Whether its time is virtual, as [`LoopBuilder::virtual_time`] made it.
    #[must_use]
    pub fn is_virtual_time(&self) -> bool {
        self.0.clock.is_virtual()
    }

    /// How many timers there are, cancelled ones not among them.
    #[must_use]
    pub fn timer_count(&self) -> usize {
        self.0.timers.borrow().len()
    }

    /// How many turns the loop has made.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// (0..100).for_each(|_| drop(event_loop.call_soon(|| ())));
    /// event_loop.stop();
    /// event_loop.run_forever()?;
    /// assert_eq!(event_loop.turns(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.0.turns.get()
    }

    /// Calls `hook` once at the end of this turn: after everything that was ready at its start has
    /// run, and before the loop waits for anything. A hook that is added later, by a hook or outside
    /// of a run, is called at the end of the next turn, which comes at once.
    pub fn at_turn_end(&self, hook: Rc<dyn Fn()>) {
        if !self.is_closed() {
            self.0.turn_end.borrow_mut().push(hook);
        }
    }

    /// The loop as other threads see it.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.0.home.shared())
    }
}

impl Inner {
    pub(crate) fn remove_timer(&self, key: TimerKey) {
        let removed = self.timers.borrow_mut().remove(key);
        drop(removed);
    }
}

/// A waker that waits for a moment; dropping it takes the timer out.
#[derive(Debug)]
pub struct Deadline {
    key: TimerKey,
    event_loop: LoopRef,
}

impl Deadline {
    /// Wakes this instead of the waker given before. False if the moment has come already.
    pub fn set_waker(&self, cx: &std::task::Context<'_>) -> bool {
        let mut timers = self.event_loop.0.timers.borrow_mut();
        let Some(waker) = timers.get_mut(self.key) else { return false };
        if !waker.will_wake(cx) {
            let old = std::mem::replace(waker, LocalWaker::from_context(cx));
            drop(timers);
            drop(old);
        }
        true
    }

    /// Whether the moment has not come yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.event_loop.0.timers.borrow().deadline(self.key).is_some()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.event_loop.0.remove_timer(self.key);
    }
}

/// Tasks.
impl LoopRef {
    /// Makes a task of `future`. This is what `create_task` is made of.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`]; the future is dropped unpolled.
    #[inline]
    pub fn spawn<F: Future + 'static>(
        &self,
        future: F,
        mut options: TaskOptions,
    ) -> Result<RawTask<F::Output>, LoopClosed> {
        if !self.is_closed() {
            self.apply_factory(&mut options);
        }
        // Looked at after the factory, which may have closed it.
        if self.is_closed() {
            return Err(LoopClosed(()));
        }
        let mut how = options.into_spawn();
        // A step outside of a run could be cut short by a close.
        how.eager = how.eager && self.is_running();
        Ok(self.0.home.spawn(future, how))
    }

    #[inline]
    fn apply_factory(&self, options: &mut TaskOptions) {
        if self.0.has_factory.get() && !options.hidden {
            self.call_factory(options);
        }
    }

    #[cold]
    fn call_factory(&self, options: &mut TaskOptions) {
        let factory = self.0.factory.borrow().clone();
        if let Some(factory) = factory {
            factory(self, options);
        }
    }

    /// Has `factory` look at every new task's options, or nobody.
    ///
    /// # From asyncio
    ///
    /// The factory changes how a task is made (its name, its context, whether it starts eagerly)
    /// but does not make it: a task's future has a type of its own.
    pub fn set_task_factory(&self, factory: Option<TaskFactory>) {
        self.0.has_factory.set(factory.is_some());
        let old = self.0.factory.replace(factory);
        drop(old);
    }

    /// The task factory, if one was set.
    #[doc(alias = "get_task_factory")]
    #[must_use]
    pub fn task_factory(&self) -> Option<TaskFactory> {
        self.0.factory.borrow().clone()
    }

    /// The task that is being stepped; `None` inside a plain callback, and outside of steps.
    #[must_use]
    pub fn current_task(&self) -> Option<TaskRef> {
        self.0.home.current()
    }

    /// Every unfinished task of this loop, oldest first.
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.0.home.tasks()
    }
}

/// Reports and debugging.
impl LoopRef {
    /// Has failures that nobody awaits reported to `handler`, or to the default one: an error
    /// record of the `log` crate.
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        let old = self.0.handler.replace(handler);
        drop(old);
    }

    /// The handler that was set.
    #[doc(alias = "get_exception_handler")]
    #[must_use]
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.0.handler.borrow().clone()
    }

    /// What happens to a report without a handler: one error-level record.
    pub fn default_exception_handler(&self, context: &ErrorContext) {
        report::default_handler(context);
    }

    /// Tells the exception handler, which runs in the context of the task that `context` names.
    ///
    /// A handler that panics is reported in turn, and the loop goes on.
    #[doc(alias = "call_exception_handler")]
    pub fn report(&self, context: &ErrorContext) {
        let tell = || report::call_handler(self.exception_handler(), self, context);
        // What the task has set helps to tell what it was about.
        let in_task = context.task().map(|task| task.context().try_run(tell));
        if !matches!(in_task, Some(Ok(()))) {
            tell();
        }
    }

    /// Whether debug mode is on.
    #[doc(alias = "get_debug")]
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.0.debug.get()
    }

    /// Turns debug mode on or off: steps that take longer than
    /// [`slow_callback_duration`](Self::slow_callback_duration) are reported by name, and more
    /// checks are made.
    pub fn set_debug(&self, yes: bool) {
        self.0.debug.set(yes);
    }

    /// How long a step may take in debug mode before it is reported.
    #[must_use]
    pub fn slow_callback_duration(&self) -> Duration {
        self.0.slow_callback.get()
    }

    /// Sets how long a step may take in debug mode before it is reported.
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.0.slow_callback.set(duration);
    }
}

/// For the crates above.
impl LoopRef {
    /// What another crate keeps for this loop: one value a type, made at the first call, and
    /// dropped when the loop is closed.
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

    pub(crate) fn from_inner(inner: Rc<Inner>) -> Self {
        Self(inner)
    }

    pub(crate) fn driver(&self) -> &Driver {
        &self.0.driver
    }
}

impl PartialEq for LoopRef {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LoopRef {}

impl fmt::Debug for LoopRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match running_site(self) {
            Some(site) => write!(f, "<EventLoop running, started at {site}>"),
            None if self.is_closed() => f.write_str("<EventLoop closed>"),
            None => f.write_str("<EventLoop not running>"),
        }
    }
}
