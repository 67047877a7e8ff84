//! The director of a simulated run: makes its decisions, and detects runs that do not end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio_loop::machinery::{Candidates, Director, Rest, Step};
use asyncio_loop::{Job, JobError, LoopRef, LoopTime, Panic, TaskRef, try_running_loop};
use asyncio_task::TaskRefExt;

use crate::choices::Choices;
use crate::failure::FailureKind;
use crate::faults::Faults;
use crate::jobs::Jobs;
use crate::order::Order;
use crate::rng::Rng;
use crate::trace::{MAIN, Trace, What, describe};
use crate::watch::Watched;

/// How many steps are made between two reads of the system's clock.
const LOOK_EVERY: u64 = 1024;
/// How many durations a job may have.
const JOB_DURATIONS: usize = 16;
/// How many durations a fault's delay may have.
const DELAYS: usize = 8;

/// The state that all runs of a simulation share.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) order: Order,
    pub(crate) faults: Faults,
    pub(crate) max_steps: u64,
    pub(crate) time_limit: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) allow_reports: bool,
    pub(crate) grace_period: Duration,
}

/// Makes the decisions of one run.
#[derive(Debug)]
pub(crate) struct Conductor {
    settings: Rc<Settings>,
    #[cfg(feature = "net")]
    seed: u64,
    choices: RefCell<Choices>,
    rng: RefCell<Rng>,
    trace: RefCell<Trace>,
    /// Descriptions of the decisions that differ from the default, if requested.
    words: Option<RefCell<Vec<String>>>,
    failure: RefCell<Option<(FailureKind, String)>>,
    /// Whether the main task has ended or the run has failed, so that only cleanup remains.
    closing: Cell<bool>,
    /// Whether the run has failed, which ends the trace.
    failed: Cell<bool>,
    steps: Cell<u64>,
    /// The last step after which no task was ready.
    rested: Cell<u64>,
    watched: Watched,
    stalled: Cell<Option<Instant>>,
    jobs: Jobs,
    /// Loops that make their turns between the turns of the main loop.
    companions: RefCell<Option<Rc<dyn Companions>>>,
    /// Whether the run ends before the next turn of the main loop.
    stops: Cell<bool>,
    /// Main tasks, which faults do not cancel.
    spared: RefCell<Vec<u64>>,
    reports: Reports,
    events: RefCell<Vec<String>>,
}

/// The reports to the exception handlers of a run.
type Reports = Rc<RefCell<Vec<String>>>;

/// Loops beside the main one, on the same thread and clock.
pub(crate) trait Companions: std::fmt::Debug {
    /// Lets each loop with work make a turn.
    fn turn(&self);

    /// How the main loop continues: see [`Director::rest`].
    fn rest(&self, deadline: Option<LoopTime>, idle: bool) -> Rest;

    /// Whether an event from outside could still wake one of the loops.
    fn is_reachable(&self) -> bool;

    /// A description of their tasks.
    fn tasks(&self) -> Vec<String>;

    /// Closes the loops.
    fn end(&self);
}

/// How long the main loop waits at most for other threads while there are other loops.
const SLICE: Duration = Duration::from_millis(1);

impl Conductor {
    pub(crate) fn new(
        settings: &Rc<Settings>,
        seed: u64,
        choices: Choices,
        with_words: bool,
    ) -> Self {
        Self {
            settings: Rc::clone(settings),
            #[cfg(feature = "net")]
            seed,
            choices: RefCell::new(choices),
            rng: RefCell::new(Rng::new(seed)),
            trace: RefCell::default(),
            words: with_words.then(RefCell::default),
            failure: RefCell::default(),
            closing: Cell::new(false),
            failed: Cell::new(false),
            steps: Cell::new(0),
            rested: Cell::new(0),
            watched: Watched::new(seed, settings.time_limit),
            stalled: Cell::new(None),
            jobs: Jobs::default(),
            companions: RefCell::default(),
            stops: Cell::new(false),
            spared: RefCell::new(vec![MAIN]),
            reports: Reports::default(),
            events: RefCell::default(),
        }
    }

    /// The conductor of the simulation that runs on this thread, if any.
    pub(crate) fn current() -> Option<Rc<Self>> {
        let event_loop = try_running_loop().ok()?;
        // Only loops with a director have a conductor, so other loops need no lookup.
        event_loop.director()?;
        event_loop.local::<Current>().0.borrow().clone()
    }

    /// Directs the main loop.
    pub(crate) fn direct(self: Rc<Self>, event_loop: &LoopRef) {
        let director: Rc<dyn Director> = Rc::<Self>::clone(&self);
        event_loop.set_director(Some(director));
        self.hear_reports(event_loop, String::new());
        event_loop.local::<Current>().0.replace(Some(self));
    }

    fn hear_reports(&self, event_loop: &LoopRef, from: String) {
        let reports = Rc::clone(&self.reports);
        event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
            reports.borrow_mut().push(format!("{from}{context}"));
        })));
    }

    pub(crate) fn take_reports(&self) -> Vec<String> {
        self.reports.take()
    }

    /// Registers this conductor for another loop, which has a director of its own.
    #[cfg(feature = "net")]
    pub(crate) fn attend(self: &Rc<Self>, event_loop: &LoopRef, name: &str) {
        self.hear_reports(event_loop, format!("host {name}: "));
        let current = event_loop.local::<Current>();
        current.0.replace(Some(Rc::clone(self)));
        current.1.replace(Some(format!(" on {name}")));
    }

    #[cfg(feature = "net")]
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Excludes the task from cancellation by faults.
    #[cfg(feature = "net")]
    pub(crate) fn spare(&self, task: u64) {
        self.spared.borrow_mut().push(task);
    }

    /// Whether the decisions of this run are described.
    #[cfg(feature = "net")]
    pub(crate) fn explains(&self) -> bool {
        self.words.is_some()
    }

    pub(crate) fn companions(&self) -> Option<Rc<dyn Companions>> {
        self.companions.borrow().clone()
    }

    #[cfg(feature = "net")]
    pub(crate) fn set_companions(&self, companions: Rc<dyn Companions>) {
        self.companions.replace(Some(companions));
    }

    /// Closes the loops beside the main one.
    pub(crate) fn end_companions(&self) {
        let companions = self.companions.take();
        if let Some(companions) = companions {
            companions.end();
        }
    }

    pub(crate) fn take_events(&self) -> Vec<String> {
        self.events.take()
    }

    pub(crate) fn fail(&self, kind: FailureKind, message: String) {
        self.failure.borrow_mut().get_or_insert((kind, message));
        self.close(true);
    }

    /// A failure outside of the main loop's steps.
    #[cfg(feature = "net")]
    pub(crate) fn fail_aside(&self, kind: FailureKind, message: String) {
        if !self.closing.get() {
            self.fail(kind, message);
            self.stop_main();
        }
    }

    /// Ends the run of the main loop before its next turn.
    #[cfg(feature = "net")]
    pub(crate) fn stop_main(&self) {
        self.stops.set(true);
    }

    pub(crate) fn take_failure(&self) -> Option<(FailureKind, String)> {
        self.failure.take()
    }

    /// Ends the watched part of the run.
    pub(crate) fn close(&self, failed: bool) {
        self.closing.set(true);
        self.failed.set(failed);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(crate) fn choices(&self) -> std::cell::Ref<'_, Choices> {
        self.choices.borrow()
    }

    pub(crate) fn take_trace(&self) -> Trace {
        self.trace.take()
    }

    pub(crate) fn take_words(&self) -> Vec<String> {
        self.words.as_ref().map(RefCell::take).unwrap_or_default()
    }

    /// The faults of this run.
    pub(crate) fn faults(&self) -> &Faults {
        &self.settings.faults
    }

    /// Decides whether a fault with this probability happens. `what` describes it.
    pub(crate) fn fault(&self, probability: f64, what: impl FnOnce() -> String) -> bool {
        let happens = !self.closing.get() && self.choices.borrow_mut().chance(probability);
        if happens {
            self.say(what);
        }
        happens
    }

    /// Chooses one of `count` with equal probability.
    pub(crate) fn choose(&self, count: usize) -> usize {
        self.choices.borrow_mut().pick(count)
    }

    /// Records an event of the program.
    pub(crate) fn event(&self, text: &str) {
        self.events.borrow_mut().push(text.to_owned());
        self.trace.borrow_mut().push(running_time(), What::Event(text.into()));
    }

    /// Records an event of the network.
    #[cfg(feature = "net")]
    pub(crate) fn note(&self, text: &str) {
        if !self.failed.get() {
            self.trace.borrow_mut().push(running_time(), What::Note(text.into()));
        }
    }

    /// Adds a description of a decision, if requested.
    fn say(&self, what: impl FnOnce() -> String) {
        if let Some(words) = &self.words {
            let now = try_running_loop().map_or(0.0, |running| running.time().as_secs_f64());
            let (step, place) = (self.steps.get(), place());
            words.borrow_mut().push(format!("step {step}, {now:.6}s{place}: {}", what()));
        }
    }

    /// Whether the run continues. If not, notes why.
    fn goes_on(&self) -> bool {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if self.closing.get() {
            return true;
        }
        let busy = steps - self.rested.get();
        if busy > self.settings.max_steps {
            let message = format!("runaway: {busy} steps, and something was ready all the time");
            self.fail(FailureKind::Runaway, message);
            return false;
        }
        !self.watched.is_late() && steps % LOOK_EVERY != 0 || self.is_in_time()
    }

    fn is_in_time(&self) -> bool {
        let in_time = !self.watched.left().is_zero();
        if !in_time && !self.closing.get() {
            let limit = self.settings.time_limit;
            self.fail(FailureKind::TimeLimit, format!("the run took longer than {limit:?}"));
        }
        in_time
    }

    fn choose_next(&self, ready: &Candidates) -> usize {
        let count = match self.settings.order {
            Order::Any => ready.len(),
            Order::Turns => ready.of_this_turn(),
            Order::Fifo => 1,
        };
        if count <= 1 {
            return 0;
        }
        let index = self.choices.borrow_mut().order(ready, count);
        if index > 0 && self.words.is_some() {
            self.say_order(ready, index, count);
        }
        index
    }

    fn say_order(&self, ready: &Candidates, index: usize, count: usize) {
        let name = |index| match ready.task(index) {
            Some(task) => describe(&task),
            None => format!("a callback ({})", ready.type_name(index)),
        };
        let others = match count - 2 {
            0 => String::new(),
            1 => " and another".to_owned(),
            others => format!(" and {others} others"),
        };
        self.say(|| format!("{} runs before {}{others}", name(index), name(0)));
    }

    /// Decides whether the task at `index` is delayed, and until when.
    fn puts_off(&self, ready: &Candidates, index: usize, now: LoopTime) -> Option<LoopTime> {
        let faults = &self.settings.faults;
        if faults.delay == 0.0 || self.closing.get() || ready.task_id(index) == 0 {
            return None;
        }
        if !self.choices.borrow_mut().chance(faults.delay) {
            return None;
        }
        let part = self.choices.borrow_mut().pick(DELAYS) as u32 + 1;
        let delay = (faults.longest_delay * part / DELAYS as u32).max(Duration::from_nanos(1));
        if self.words.is_some() {
            let name = ready.task(index).map_or(String::new(), |task| describe(&task));
            self.say(|| format!("{name} is put off by {delay:?}"));
        }
        Some(now + delay)
    }

    /// Cancels a task, if there is one.
    fn cancel_one(&self) {
        let Ok(event_loop) = try_running_loop() else { return };
        let mut tasks = event_loop.all_tasks();
        tasks.retain(|task| !self.spared.borrow().contains(&task.id()) && !task.is_done());
        if tasks.is_empty() {
            return;
        }
        let chosen = self.choices.borrow_mut().pick(tasks.len());
        let task = &tasks[chosen];
        self.trace.borrow_mut().push(event_loop.time(), What::Cancelled(task.id()));
        self.say(|| format!("{} is cancelled by a fault", describe(task)));
        task.cancel_with("by a fault");
    }
}

/// The conductor of a loop.
#[derive(Default)]
struct Current(RefCell<Option<Rc<Conductor>>>, RefCell<Option<String>>);

fn running_time() -> LoopTime {
    try_running_loop().map_or(LoopTime::from_nanos(0), |running| running.time())
}

/// A suffix that names the running loop; empty for the main loop.
fn place() -> String {
    let running = try_running_loop().ok();
    running.and_then(|it| it.local::<Current>().1.borrow().clone()).unwrap_or_default()
}

impl Conductor {
    /// The next step of a loop. `now` is the loop's own time, `shown` is the time for the trace,
    /// and `name` is the loop's name if it is not the main loop.
    pub(crate) fn step(
        &self,
        ready: &Candidates,
        now: LoopTime,
        shown: LoopTime,
        name: Option<&str>,
    ) -> Step {
        self.stalled.set(None);
        if !self.goes_on() {
            return Step::Stop;
        }
        let index = self.choose_next(ready);
        if self.words.is_some() {
            if let Some(task) = ready.task(index) {
                self.trace.borrow_mut().name(&task, name);
            }
        }
        let task = ready.task_id(index);
        self.watched.step(self.steps.get(), task);
        let until = self.puts_off(ready, index, now);
        let what = if until.is_some() { What::PutOff(task) } else { What::Ran(task) };
        if !self.failed.get() {
            self.trace.borrow_mut().push(shown, what);
        }
        until.map_or(Step::Run(index), |until| Step::PutOff(index, until))
    }
}

impl Director for Conductor {
    fn between_turns(&self) -> bool {
        if let Some(companions) = self.companions() {
            if !self.failed.get() {
                companions.turn();
            }
        }
        !self.stops.take()
    }

    fn next(&self, ready: &Candidates, now: LoopTime) -> Step {
        self.step(ready, now, now, None)
    }

    fn rest(&self, deadline: Option<LoopTime>, idle: bool) -> Rest {
        match self.companions() {
            Some(companions) if !self.failed.get() => companions.rest(deadline, idle),
            _ => deadline.map_or(Rest::Stall, Rest::MoveTo),
        }
    }

    fn before(&self, _task: Option<&TaskRef>) {
        let probability = self.settings.faults.cancel;
        if probability > 0.0 && !self.closing.get() {
            let cancels = self.choices.borrow_mut().chance(probability);
            if cancels {
                self.cancel_one();
            }
        }
    }

    fn pick(&self, count: usize) -> usize {
        if self.settings.order == Order::Fifo { 0 } else { self.choose(count) }
    }

    fn takes_remote(&self) -> bool {
        self.settings.order == Order::Fifo || self.choose(4) < 2
    }

    fn moved(&self, to: LoopTime, idle: bool) {
        if idle {
            self.rested.set(self.steps.get());
        }
        // Time may advance forever without a step.
        if self.watched.is_late() && !self.closing.get() && !self.is_in_time() {
            self.stops.set(true);
        }
        self.trace.borrow_mut().push(to, What::Moved);
    }

    fn stalled(&self, event_loop: &LoopRef, reachable: bool) -> Option<Duration> {
        self.rested.set(self.steps.get());
        let since = self.stalled.get().unwrap_or_else(Instant::now);
        self.stalled.set(Some(since));
        let companions = self.companions();
        let others = companions.as_ref().is_some_and(|companions| companions.is_reachable());
        let idle_timeout = self.settings.idle_timeout.saturating_sub(since.elapsed());
        let mut left = idle_timeout.min(self.watched.left());
        if others {
            left = left.min(SLICE);
        }
        if (reachable || others) && !idle_timeout.is_zero() && self.is_in_time() {
            return Some(left);
        }
        if !self.failed.get() {
            let others = companions.map_or(Vec::new(), |companions| companions.tasks());
            self.fail(FailureKind::Deadlock, deadlock(event_loop, &others));
        }
        None
    }

    fn execute(&self, event_loop: &LoopRef, job: Job) {
        let site = job.site();
        let place = || format!("the job of {}:{}", site.file(), site.line());
        if self.fault(self.settings.faults.job_panic, || format!("{} panics", place())) {
            self.trace.borrow_mut().push(event_loop.time(), What::JobFailed);
            return job.fail(JobError::Panicked(Panic::new(Box::new("a panic by a fault"))));
        }
        self.trace.borrow_mut().push(event_loop.time(), What::Job);
        let duration = Duration::from_millis(1 + self.pick(JOB_DURATIONS) as u64);
        self.jobs.run_later(event_loop, job, duration);
    }

    fn random(&self) -> u64 {
        self.rng.borrow_mut().next_u64()
    }
}

/// The description of a deadlock: every task, and what it waits for.
fn deadlock(event_loop: &LoopRef, others: &[String]) -> String {
    let own = event_loop.all_tasks();
    let own = own.iter().map(|task| format!("{task:?}"));
    let tasks: Vec<_> =
        own.chain(others.iter().cloned()).map(|task| format!("\n    {task}")).collect();
    format!("deadlock: nothing is ready, and nothing will be\n  tasks:{}", tasks.concat())
}
