//! `run`: a loop for one program.

use std::fmt::{self, Display};
use std::io;
use std::panic::Location;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use asyncio_loop::{Context, EventLoop, Host, LoopRef, RunError, TaskOptions, copy_context};

use crate::interrupt::{self, Main, MainInterrupt};
use crate::loop_hook;
use crate::shutdown::{EXECUTOR_TIMEOUT, GRACE_PERIOD, Leftovers, end_jobs};

/// Runs `future` as the main task of a new loop, and returns its value.
///
/// When the future is done, all remaining tasks are cancelled and awaited, the default executor's
/// jobs are awaited, and the loop is closed. Tasks whose cleanup takes longer than the [grace
/// period](RunnerBuilder::grace_period) are reported by name, and dropped.
///
/// On the main thread of a program that does not handle it, Ctrl-C cancels the main task, and a
/// second Ctrl-C stops the run at once. After the cleanup described above, the process ends by
/// `SIGINT`, as it would without a handler: its parent sees that, and a shell stops the script that
/// it runs. Values of the caller are not dropped then. To go on instead, catch the request
/// ([`catch_cancel`](crate::catch_cancel())), or use [`Runner::run`], which returns
/// [`RunError::Interrupted`], or listen for the signal ([`ctrl_c`](asyncio_loop::ctrl_c()),
/// [`Signals`](asyncio_loop::Signals)): while a listener exists on this loop, the main task is not
/// cancelled.
///
/// # Panics
///
/// With the future's own panic. Also if a loop is running on this thread already (the message names
/// where it was started), if the operating system refuses a poller, and if the main task is
/// cancelled. [`Runner::run`] returns errors for a running loop and a cancelled task.
///
/// # From asyncio
///
/// `asyncio.run`. Where the main coroutine raises an exception, the main future returns a `Result`.
/// No `KeyboardInterrupt` travels through the callers: the process ends at the point where asyncio
/// raises it.
///
/// # Examples
///
/// ```
/// assert_eq!(asyncio_task::run(async { 6 * 7 }), 42);
/// ```
#[track_caller]
pub fn run<F: IntoFuture>(future: F) -> F::Output {
    Runner::builder().run(future)
}

/// The watchdog's default limit: a step that takes longer is reported while it runs.
const STUCK_AFTER: Duration = Duration::from_millis(100);
/// The maximum number of recorded events of a runner, which take 32 MB.
const RECORDED_EVENTS: usize = 1 << 20;

/// Makes the loop. After a failure it may be called again.
type MakeLoop = Box<dyn FnMut() -> io::Result<EventLoop>>;
type LoopFactory = Box<dyn FnOnce() -> io::Result<EventLoop>>;
type HostFactory = Box<dyn FnOnce() -> io::Result<Rc<dyn Host>>>;

/// Options of a [`Runner`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Runner, running_loop, sleep};
///
/// let seconds = Runner::builder().virtual_time(true).debug(true).run(async {
///     sleep(Duration::from_secs(60)).await;
///     running_loop().time().as_secs_f64()
/// });
/// assert_eq!(seconds, 60.0);
/// ```
#[must_use]
pub struct RunnerBuilder {
    debug: Option<bool>,
    prepare: Vec<fn(&LoopRef)>,
    record: Option<PathBuf>,
    watchdog: Option<Duration>,
    virtual_time: bool,
    factory: Option<LoopFactory>,
    host: Option<HostFactory>,
    executor_timeout: Duration,
    grace_period: Duration,
}

impl RunnerBuilder {
    /// Turns the loop's debug mode on or off. Default: the value of `ASYNCIO_DEBUG` in the
    /// environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{Runner, running_loop};
    ///
    /// assert!(Runner::builder().debug(true).run(async { running_loop().is_debug() }));
    /// ```
    pub fn debug(mut self, yes: bool) -> Self {
        self.debug = Some(yes);
        self
    }

    /// The time after which a watchdog reports a callback or a poll that blocks the loop, while it
    /// still runs. Default: 100 ms. `None` switches the watchdog off. A loop with virtual time has
    /// no watchdog. See [`LoopRef::set_watchdog`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::Runner;
    ///
    /// let limit = |mut runner: Runner| runner.event_loop().unwrap().watchdog();
    /// assert_eq!(limit(Runner::new()), Some(Duration::from_millis(100)));
    /// assert_eq!(limit(Runner::builder().watchdog(None).build()), None);
    /// assert_eq!(limit(Runner::builder().virtual_time(true).build()), None);
    /// ```
    pub fn watchdog(mut self, limit: Option<Duration>) -> Self {
        self.watchdog = limit;
        self
    }

    /// Makes the loop report tasks that return an error of a `Result<T, E>` which is never
    /// retrieved. Call it once for each type of output. See [`LoopRef::report_errors`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use asyncio_task::{Runner, create_task};
    ///
    /// let runner = Runner::builder().report_errors::<(), io::Error>();
    /// runner.run(async {
    ///     // Without the option nobody would hear of this.
    ///     create_task(async { Err::<(), _>(io::Error::other("no luck")) });
    /// });
    /// ```
    pub fn report_errors<T: 'static, E: Display + 'static>(mut self) -> Self {
        self.prepare.push(|event_loop| event_loop.report_errors::<T, E>());
        self
    }

    /// Records the last million events of the loop, and writes them to `file` when the runner is
    /// closed, in the format of Perfetto and `chrome://tracing`: see [`LoopRef::record`] and
    /// [`Recorder::keep_in`](asyncio_loop::inspect::Recorder::keep_in).
    ///
    /// Without this call, `ASYNCIO_RECORD=FILE` in the environment does the same for the first
    /// runner of the process. Child processes inherit the variable, and a child that has a runner
    /// writes the same file, unless it is started without the variable.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::Runner;
    ///
    /// let file = std::env::temp_dir().join(format!("recording-{}.json", std::process::id()));
    /// Runner::builder().record(&file).run(async {});
    /// assert!(std::fs::read_to_string(&file)?.starts_with("{\"traceEvents\":["));
    /// std::fs::remove_file(file)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn record(mut self, file: impl Into<PathBuf>) -> Self {
        self.record = Some(file.into());
        self
    }

    /// Makes the loop by `factory`, which is called once, when the loop is first needed. If it
    /// fails, each run of the [`Runner`] panics with its error.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    /// use asyncio_task::{Runner, running_loop};
    ///
    /// let limit = Duration::from_millis(20);
    /// let make = move || EventLoop::builder().slow_callback_duration(limit).build();
    /// let runner = Runner::builder().loop_factory(make);
    /// assert_eq!(runner.run(async { running_loop().slow_callback_duration() }), limit);
    /// ```
    pub fn loop_factory(
        mut self,
        factory: impl FnOnce() -> io::Result<EventLoop> + 'static,
    ) -> Self {
        self.factory = Some(Box::new(factory));
        self
    }

    /// Runs the loop inside another one, on this thread, as the guest of the host that `make`
    /// returns. `make` is called once, when the loop is made (see [`LoopRef::set_host`]).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use std::task::Waker;
    /// use asyncio_loop::{Burst, Guest, Host};
    /// use asyncio_task::Runner;
    ///
    /// /// Makes turns without ever waiting.
    /// struct Spin;
    ///
    /// impl Host for Spin {
    ///     fn drive(&self, guest: Guest) {
    ///         while guest.burst(Waker::noop(), true) != Ok(Burst::Over) {}
    ///     }
    /// }
    ///
    /// assert_eq!(Runner::builder().host(|| Ok(Rc::new(Spin))).run(async { 6 * 7 }), 42);
    /// ```
    pub fn host(mut self, make: impl FnOnce() -> io::Result<Rc<dyn Host>> + 'static) -> Self {
        self.host = Some(Box::new(make));
        self
    }

    /// Gives the loop virtual time (see [`LoopBuilder::virtual_time`]), unless a loop factory makes
    /// the loop.
    ///
    /// [`LoopBuilder::virtual_time`]: asyncio_loop::LoopBuilder::virtual_time
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, running_loop, sleep};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     sleep(Duration::from_secs(3600)).await;
    ///     assert_eq!(running_loop().time().as_secs_f64(), 3600.0);
    /// });
    /// ```
    pub fn virtual_time(mut self, yes: bool) -> Self {
        self.virtual_time = yes;
        self
    }

    /// How long closing waits for the cleanup of remaining tasks, before it reports each of them to
    /// the exception handler and drops it. Default: 10 seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::pending;
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, create_task, finally, yield_now};
    ///
    /// let runner = Runner::builder().virtual_time(true).grace_period(Duration::from_secs(1));
    /// runner.run(async {
    ///     create_task(finally(pending::<()>(), async |_| pending().await));
    ///     yield_now().await;
    /// });
    /// ```
    pub fn grace_period(mut self, limit: Duration) -> Self {
        self.grace_period = limit;
        self
    }

    /// How long closing waits for jobs that run on the loop's default executor, before it reports
    /// them to the exception handler and leaves them behind. Default: 5 minutes. With virtual time
    /// there is no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, to_thread};
    ///
    /// let runner = Runner::builder().executor_timeout(Duration::from_secs(10));
    /// assert_eq!(runner.run(async { to_thread(|| 6 * 7).await.unwrap() }), 42);
    /// ```
    pub fn executor_timeout(mut self, timeout: Duration) -> Self {
        self.executor_timeout = timeout;
        self
    }

    /// Runs `future` as [`run`] does, with these options.
    ///
    /// # Panics
    ///
    /// As [`run`], and if the loop factory fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, sleep};
    ///
    /// Runner::builder().virtual_time(true).run(sleep(Duration::from_secs(3600)));
    /// ```
    #[track_caller]
    pub fn run<F: IntoFuture>(self, future: F) -> F::Output {
        let mut runner = self.build();
        let result = runner.run(future);
        runner.close();
        if matches!(result, Err(RunError::Interrupted)) {
            interrupt::end_process();
        }
        result.unwrap_or_else(|error| panic!("asyncio::run: {error}"))
    }

    /// Makes the runner. The loop is made by the first run.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::Runner;
    ///
    /// let mut runner = Runner::builder().debug(false).build();
    /// assert_eq!(runner.run(async { 1 }), Ok(1));
    /// ```
    #[must_use]
    pub fn build(self) -> Runner {
        let usual = EventLoop::builder().virtual_time(self.virtual_time);
        let make: MakeLoop = match (self.factory, self.host) {
            (None, None) => Box::new(move || usual.clone().build()),
            (Some(factory), None) => Box::new(once(factory)),
            (factory, Some(host)) => Box::new(once(move || {
                let event_loop = factory.map_or_else(|| usual.build(), |factory| factory())?;
                event_loop.set_host(host()?).map_err(io::Error::other)?;
                Ok(event_loop)
            })),
        };
        Runner {
            state: State::New(make),
            prepare: self.prepare,
            debug: self.debug,
            record: self.record,
            watchdog: self.watchdog,
            context: None,
            executor_timeout: self.executor_timeout,
            grace_period: self.grace_period,
        }
    }
}

impl fmt::Debug for RunnerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnerBuilder").field("debug", &self.debug).finish_non_exhaustive()
    }
}

/// A loop that is used for several runs.
///
/// Tasks that remain after one run stand still until the next. Closing or dropping the runner
/// cancels the remaining tasks, waits for them and for the default executor's jobs, and closes the
/// loop. All runs share one context: a variable that one run sets is visible in the next, and not
/// outside.
///
/// # Examples
///
/// ```
/// use asyncio_task::Runner;
///
/// let mut runner = Runner::new();
/// assert_eq!(runner.run(async { 1 })?, 1);
/// assert_eq!(runner.run(async { 2 })?, 2);
/// runner.close();
/// assert!(runner.run(async { 3 }).is_err());
/// # Ok::<(), asyncio_task::RunError>(())
/// ```
pub struct Runner {
    state: State,
    /// Called with the loop when it is made.
    prepare: Vec<fn(&LoopRef)>,
    debug: Option<bool>,
    record: Option<PathBuf>,
    watchdog: Option<Duration>,
    context: Option<Context>,
    executor_timeout: Duration,
    grace_period: Duration,
}

enum State {
    New(MakeLoop),
    Open(EventLoop),
    Closed,
}

impl Runner {
    /// A runner with a loop of the usual kind.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::Runner;
    ///
    /// assert_eq!(Runner::new().run(async { 1 }), Ok(1));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A runner with options.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::Runner;
    ///
    /// let mut runner = Runner::builder().debug(true).build();
    /// assert!(runner.event_loop()?.is_debug());
    /// # Ok::<(), asyncio_task::RunError>(())
    /// ```
    pub fn builder() -> RunnerBuilder {
        RunnerBuilder {
            debug: None,
            prepare: Vec::new(),
            record: None,
            watchdog: Some(STUCK_AFTER),
            virtual_time: false,
            factory: None,
            host: None,
            executor_timeout: EXECUTOR_TIMEOUT,
            grace_period: GRACE_PERIOD,
        }
    }

    /// Runs `future` as the main task and returns its value.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] if a loop is running on this thread, and [`RunError::Closed`]
    /// after [`close`](Self::close); in both cases the future is dropped unpolled.
    /// [`RunError::Stopped`] if the loop was stopped before the future was done,
    /// [`RunError::Cancelled`] if the main task was cancelled, and [`RunError::Interrupted`] if
    /// Ctrl-C has ended the run.
    ///
    /// # Panics
    ///
    /// With the future's own panic, and if the loop cannot be made. A later call makes it anew; if
    /// there is a [loop factory](RunnerBuilder::loop_factory) or a [host](RunnerBuilder::host), it
    /// panics with the same error.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{RunError, Runner, running_loop};
    ///
    /// let mut runner = Runner::new();
    /// assert_eq!(runner.run(async { 1 })?, 1);
    /// let stopped = runner.run(async {
    ///     running_loop().stop();
    ///     std::future::pending::<()>().await;
    /// });
    /// assert_eq!(stopped, Err(RunError::Stopped));
    /// # Ok::<(), asyncio_task::RunError>(())
    /// ```
    #[track_caller]
    pub fn run<F: IntoFuture>(&mut self, future: F) -> Result<F::Output, RunError> {
        self.run_with(future.into_future(), None)
    }

    /// [`run`](Self::run) in the given context.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    /// use asyncio_task::Runner;
    ///
    /// context_var! { static USER: &'static str = "nobody"; }
    ///
    /// let (mut runner, context) = (Runner::new(), Context::new());
    /// context.run(|| USER.set("ada"));
    /// assert_eq!(runner.run_in(&context, async { USER.get() })?, "ada");
    /// assert_eq!(runner.run(async { USER.get() })?, "nobody");
    /// # Ok::<(), asyncio_task::RunError>(())
    /// ```
    #[track_caller]
    pub fn run_in<F: IntoFuture>(
        &mut self,
        context: &Context,
        future: F,
    ) -> Result<F::Output, RunError> {
        self.run_with(future.into_future(), Some(context))
    }

    #[track_caller]
    fn run_with<F: Future>(
        &mut self,
        future: F,
        context: Option<&Context>,
    ) -> Result<F::Output, RunError> {
        let options = TaskOptions::new().site(Location::caller());
        self.open()?;
        let own = self.context.get_or_insert_with(copy_context);
        let options = options.context(context.unwrap_or(own));
        match &self.state {
            State::Open(event_loop) => {
                let interrupt = MainInterrupt::new(event_loop);
                let main = Main::new(future, interrupt.as_ref());
                let result = event_loop.run_task(main, options);
                match interrupt {
                    Some(interrupt) => interrupt.explain(result),
                    None => result,
                }
            }
            State::New(_) | State::Closed => Err(RunError::Closed),
        }
    }

    /// The loop. It is made at the first use.
    ///
    /// # Errors
    ///
    /// [`RunError::Closed`] after [`close`](Self::close).
    ///
    /// # Panics
    ///
    /// If the loop cannot be made, as [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{Runner, running_loop};
    ///
    /// let mut runner = Runner::new();
    /// let event_loop = runner.event_loop()?;
    /// assert_eq!(runner.run(async { running_loop() })?, event_loop);
    /// # Ok::<(), asyncio_task::RunError>(())
    /// ```
    #[doc(alias = "get_loop")]
    pub fn event_loop(&mut self) -> Result<LoopRef, RunError> {
        self.open()?;
        match &self.state {
            State::Open(event_loop) => Ok(event_loop.loop_ref()),
            State::New(_) | State::Closed => Err(RunError::Closed),
        }
    }

    /// Makes the loop if there is none. If that fails, the runner stays as it was.
    #[track_caller]
    fn open(&mut self) -> Result<(), RunError> {
        let make = match &mut self.state {
            State::New(make) => make,
            State::Open(_) => return Ok(()),
            State::Closed => return Err(RunError::Closed),
        };
        let event_loop =
            make().unwrap_or_else(|error| panic!("cannot make an event loop: {error}"));
        self.set_up(&event_loop);
        self.state = State::Open(event_loop);
        Ok(())
    }

    /// Applies the options to a new loop.
    fn set_up(&mut self, event_loop: &LoopRef) {
        if let Some(debug) = self.debug {
            event_loop.set_debug(debug);
        }
        if let Some(file) = self.record.take().or_else(record_by_environment) {
            event_loop.record(RECORDED_EVENTS).keep_in(file);
        }
        if !event_loop.is_virtual_time() {
            event_loop.set_watchdog(self.watchdog);
        }
        #[cfg(feature = "tracing")]
        event_loop.add_task_hooks(Rc::new(asyncio_loop::inspect::TaskSpans::new()));
        self.prepare.drain(..).for_each(|prepare| prepare(event_loop));
        loop_hook::call(event_loop);
    }

    /// Cancels all remaining tasks, waits for them and for the default executor, and closes the
    /// loop. A second call does nothing.
    ///
    /// Inside the run of another loop this cannot wait: the tasks are dropped without cleanup.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::Runner;
    ///
    /// let mut runner = Runner::new();
    /// let event_loop = runner.event_loop()?;
    /// runner.close();
    /// assert!(event_loop.is_closed());
    /// # Ok::<(), asyncio_task::RunError>(())
    /// ```
    pub fn close(&mut self) {
        if let State::Open(event_loop) = std::mem::replace(&mut self.state, State::Closed) {
            let ended = cancel_all_tasks(&event_loop, self.grace_period);
            self.shutdown_executor(&event_loop);
            if ended {
                // Jobs that ended meanwhile may have made new tasks.
                cancel_all_tasks(&event_loop, self.grace_period);
            }
            // Closing is refused only inside the loop's own run, and the loop is closed at the end
            // of that run.
            let _ = event_loop.close();
        }
    }

    /// Waits for the jobs of the default executor, and reports those that take too long.
    fn shutdown_executor(&self, event_loop: &EventLoop) {
        let shutdown = end_jobs(event_loop, self.executor_timeout);
        let _ = event_loop.run_task(shutdown, TaskOptions::new().hidden());
    }
}

/// A function that calls `make` once. If `make` fails or panics, later calls return its failure.
fn once(make: impl FnOnce() -> io::Result<EventLoop>) -> impl FnMut() -> io::Result<EventLoop> {
    let mut make = Some(make);
    let mut failure = (io::ErrorKind::Other, "the loop factory has panicked".to_owned());
    move || {
        let Some(make) = make.take() else {
            return Err(io::Error::new(failure.0, failure.1.clone()));
        };
        make().inspect_err(|error| failure = (error.kind(), error.to_string()))
    }
}

/// The file that the environment names, for the first loop of a runner in the process.
fn record_by_environment() -> Option<PathBuf> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let file = std::env::var_os("ASYNCIO_RECORD").filter(|file| !file.is_empty())?;
    (!TAKEN.swap(true, Ordering::Relaxed)).then(|| file.into())
}

/// Cancels the remaining tasks of a loop, and runs it until they have ended. False if the grace
/// period is over before.
fn cancel_all_tasks(event_loop: &EventLoop, grace: Duration) -> bool {
    let mut leftovers = Leftovers::new(event_loop, grace);
    while let Some(wait) = leftovers.ask() {
        match event_loop.run_task(wait, TaskOptions::new().hidden()) {
            Err(RunError::AlreadyRunning { .. } | RunError::Closed) => return true,
            Ok(false) if leftovers.give_up() => return false,
            Err(_) if leftovers.is_late() => return false,
            Ok(_) | Err(_) => {}
        }
    }
    true
}

impl Default for Runner {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New(_) => "new",
            State::Open(_) => "open",
            State::Closed => "closed",
        };
        f.debug_struct("Runner").field("state", &state).finish_non_exhaustive()
    }
}
