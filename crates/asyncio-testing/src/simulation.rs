//! A test that runs under many schedules.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use crate::choices::Choices;
use crate::conductor::Settings;
use crate::failure::{Failure, FailureKind, Summary};
use crate::faults::Faults;
use crate::order::Order;
use crate::outcome::TestOutcome;
use crate::run::{Ended, Plan, run_once};
use crate::schedule::Schedule;
use crate::shrink::shrink;
use crate::systematic::next_prefix;
use crate::trace::Trace;

/// The environment variable with the single schedule to run.
const VARIABLE: &str = "ASYNCIO_SEED";

/// Runs a test under many schedules, and reports how to replay a failure.
///
/// Each run has a loop of its own, with virtual time. The seed decides everything that may vary:
/// the order of ready tasks and of equal deadlines, when jobs of executors end, when wakes from
/// other threads arrive, and the faults. The same seed gives the same run. Tasks are numbered from
/// 1 in each run.
///
/// | | default |
/// |---|---|
/// | [`seeds`](Self::seeds) | 1: first in, first out |
/// | [`order`](Self::order) | [`Order::Any`] |
/// | [`faults`](Self::faults) | none |
/// | [`max_steps`](Self::max_steps) | 2,000,000 |
/// | [`time_limit`](Self::time_limit) | 60 seconds |
/// | [`idle_timeout`](Self::idle_timeout) | 1 second |
///
/// # Examples
///
/// Two tasks that lose an update in some orders:
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio_task::{create_task, yield_now};
/// use asyncio_testing::Simulation;
///
/// async fn add_one(counter: Rc<Cell<u32>>) {
///     let seen = counter.get();
///     if seen == 0 {
///         yield_now().await;
///     }
///     counter.set(seen + 1);
/// }
///
/// let failure = Simulation::new()
///     .seeds(100)
///     .check(async || {
///         let counter = Rc::new(Cell::new(0));
///         let one = create_task(add_one(Rc::clone(&counter)));
///         yield_now().await;
///         let two = create_task(add_one(Rc::clone(&counter)));
///         one.await.unwrap();
///         two.await.unwrap();
///         assert_eq!(counter.get(), 2);
///     })
///     .unwrap_err();
/// assert!(failure.to_string().contains("replay: ASYNCIO_SEED="));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a simulation runs by `run` or `check`"]
pub struct Simulation {
    seeds: Range<u64>,
    systematic: Option<usize>,
    max_schedules: u64,
    shrink_runs: usize,
    settings: Settings,
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

/// Options.
impl Simulation {
    /// A simulation of one run, with seed 0: first in, first out.
    pub fn new() -> Self {
        Self {
            seeds: 0..1,
            systematic: None,
            max_schedules: 100_000,
            shrink_runs: 500,
            settings: Settings {
                order: Order::Any,
                faults: Faults::new(),
                max_steps: 2_000_000,
                time_limit: Duration::from_secs(60),
                idle_timeout: Duration::from_secs(1),
                allow_reports: false,
                grace_period: Duration::from_secs(10),
            },
        }
    }

    /// Runs `count` schedules, with the seeds from 0 on.
    pub fn seeds(self, count: u64) -> Self {
        Self { seeds: 0..count, ..self }
    }

    /// Runs one schedule, the one of `seed`.
    pub fn seed(self, seed: u64) -> Self {
        Self { seeds: seed..seed.saturating_add(1), ..self }
    }

    /// Runs every schedule that differs from first-in-first-out in up to `preemptions` decisions,
    /// instead of schedules by seed. This is for small programs, since the number of schedules
    /// grows exponentially with `preemptions`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{gather, yield_now};
    /// use asyncio_testing::Simulation;
    ///
    /// let summary = Simulation::new()
    ///     .systematic(2)
    ///     .check(async || {
    ///         let tasks = [1, 2, 3].map(|_| asyncio_task::create_task(yield_now()));
    ///         for task in tasks {
    ///             task.await.unwrap();
    ///         }
    ///     })
    ///     .unwrap();
    /// assert!(summary.is_complete() && summary.runs() > 10, "{summary}");
    /// ```
    pub fn systematic(self, preemptions: usize) -> Self {
        Self { systematic: Some(preemptions), ..self }
    }

    /// The maximum number of schedules that [`systematic`](Self::systematic) runs. Default:
    /// 100,000.
    pub fn max_schedules(self, count: u64) -> Self {
        Self { max_schedules: count, ..self }
    }

    /// The order in which ready tasks run. Default: [`Order::Any`].
    pub fn order(self, order: Order) -> Self {
        self.with(|settings| settings.order = order)
    }

    /// The faults. Default: none.
    pub fn faults(self, faults: Faults) -> Self {
        self.with(|settings| settings.faults = faults)
    }

    /// How many steps a run may make while some task is always ready. A program that only yields
    /// fails after this many steps. Default: 2,000,000.
    pub fn max_steps(self, steps: u64) -> Self {
        self.with(|settings| settings.max_steps = steps)
    }

    /// How much real time a run may take. It is checked between steps. If a single step blocks the
    /// thread for ten more seconds, the process aborts with a message. Default: 60 seconds.
    pub fn time_limit(self, limit: Duration) -> Self {
        self.with(|settings| settings.time_limit = limit)
    }

    /// How long, in real time, an idle loop waits for other threads and file descriptors before the
    /// run fails with a deadlock. If none of them can wake the loop, it does not wait. Default: 1
    /// second.
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        self.with(|settings| settings.idle_timeout = idle_timeout)
    }

    /// Whether a run passes despite reports to the exception handler, such as the panic of a task
    /// that is not awaited. Default: no.
    pub fn allow_reports(self, yes: bool) -> Self {
        self.with(|settings| settings.allow_reports = yes)
    }

    /// How much virtual time the remaining tasks have for their cleanup at the end of a run.
    /// Default: 10 seconds.
    pub fn grace_period(self, limit: Duration) -> Self {
        self.with(|settings| settings.grace_period = limit)
    }

    /// How many runs may be spent on shrinking a failing schedule. Default: 500.
    pub fn shrink_runs(self, runs: usize) -> Self {
        Self { shrink_runs: runs, ..self }
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut self.settings);
        self
    }
}

/// Running.
impl Simulation {
    /// Runs `body` under each schedule, and returns the value of the last run.
    ///
    /// If the environment variable `ASYNCIO_SEED` is set, only its [`Schedule`] runs.
    ///
    /// # Panics
    ///
    /// If a run fails. The message is the [`Failure`]'s report.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::sleep;
    /// use asyncio_testing::Simulation;
    ///
    /// Simulation::new().seeds(10).run(async || sleep(Duration::from_secs(3600)).await);
    /// ```
    pub fn run<R: TestOutcome>(&self, mut body: impl AsyncFnMut() -> R) -> R {
        let result = match schedule_of_environment() {
            Some(schedule) => self.replay(&schedule, true, &mut body),
            None => self.search(&mut body).map(|(_, value)| value),
        };
        result.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Runs `body` under each schedule, regardless of the environment, and returns a summary.
    ///
    /// # Errors
    ///
    /// The first run that failed.
    pub fn check<R: TestOutcome>(
        &self,
        mut body: impl AsyncFnMut() -> R,
    ) -> Result<Summary, Box<Failure>> {
        self.search(&mut body).map(|(summary, _)| summary)
    }

    /// Runs `body` under one schedule.
    ///
    /// # Errors
    ///
    /// If the run failed.
    pub fn check_schedule<R: TestOutcome>(
        &self,
        schedule: &Schedule,
        mut body: impl AsyncFnMut() -> R,
    ) -> Result<R, Box<Failure>> {
        self.replay(schedule, false, &mut body)
    }

    /// Runs `body` once, with the first seed, and returns its trace, whether it failed or not.
    ///
    /// # Examples
    ///
    /// The same seed, the same trace:
    ///
    /// ```
    /// use asyncio_task::{create_task, yield_now};
    /// use asyncio_testing::Simulation;
    ///
    /// let trace = || {
    ///     Simulation::new().seed(7).trace(async || {
    ///         let tasks = [1, 2, 3].map(|_| create_task(yield_now()));
    ///         for task in tasks {
    ///             task.await.unwrap();
    ///         }
    ///     })
    /// };
    /// assert_eq!(trace().to_string(), trace().to_string());
    /// ```
    #[must_use]
    pub fn trace<R: TestOutcome>(&self, mut body: impl AsyncFnMut() -> R) -> Trace {
        let plan = Plan::new(&Schedule::of_seed(self.seeds.start)).explained();
        run_once(&self.rc_settings(), plan, &mut body).trace
    }

    /// Runs `body` twice with each seed.
    ///
    /// # Panics
    ///
    /// If the two traces differ. The message says where. The program then depends on something that
    /// the seed does not decide: the order of a `HashMap`, an address, the system's clock or random
    /// numbers, or another thread.
    pub fn assert_repeatable<R: TestOutcome>(&self, mut body: impl AsyncFnMut() -> R) {
        let settings = self.rc_settings();
        for seed in self.seeds.clone() {
            let mut trace = || {
                let plan = Plan::new(&Schedule::of_seed(seed)).explained();
                run_once(&settings, plan, &mut body).trace
            };
            let (first, second) = (trace(), trace());
            if let Some(difference) = first.first_difference(&second) {
                panic!("seed {seed}: {}", unrepeatable(&difference));
            }
        }
    }

    fn rc_settings(&self) -> Rc<Settings> {
        Rc::new(self.settings.clone())
    }

    fn search<R: TestOutcome>(
        &self,
        body: &mut impl AsyncFnMut() -> R,
    ) -> Result<(Summary, R), Box<Failure>> {
        let settings = self.rc_settings();
        let mut summary = Summary { runs: 0, steps: 0, complete: false };
        let mut next = Some(self.first_plan());
        let mut last = None;
        while let Some(plan) = next {
            let seed = plan.seed;
            let ended = run_once(&settings, plan, body);
            summary.runs += 1;
            summary.steps += ended.steps;
            next = self.plan_after(seed, &ended, &mut summary);
            last = Some(match ended.result {
                Ok(value) => value,
                Err(_) => return Err(self.explain(&settings, seed, ended, summary.runs, body)),
            });
        }
        let last = last.expect("there is one schedule at least");
        Ok((summary, last))
    }

    fn first_plan(&self) -> Plan {
        let schedule = Schedule::of_seed(self.seeds.start);
        let plan = Plan::new(&schedule);
        match self.systematic {
            Some(_) => Plan { choices: Choices::explore(Vec::new()), ..plan },
            None => plan,
        }
    }

    fn plan_after<R>(&self, seed: u64, ended: &Ended<R>, summary: &mut Summary) -> Option<Plan> {
        let Some(preemptions) = self.systematic else {
            let next = seed.checked_add(1).filter(|next| self.seeds.contains(next))?;
            return Some(Plan::new(&Schedule::of_seed(next)));
        };
        let prefix = next_prefix(&ended.explored, preemptions);
        summary.complete = prefix.is_none();
        let prefix = prefix.filter(|_| summary.runs < self.max_schedules)?;
        let plan = Plan::new(&Schedule::of_seed(seed));
        Some(Plan { choices: Choices::explore(prefix), ..plan })
    }

    fn replay<R: TestOutcome>(
        &self,
        schedule: &Schedule,
        loud: bool,
        body: &mut impl AsyncFnMut() -> R,
    ) -> Result<R, Box<Failure>> {
        let settings = self.rc_settings();
        let plan = Plan { loud, ..Plan::new(schedule).explained() };
        let mut ended = run_once(&settings, plan, body);
        match std::mem::replace(&mut ended.result, Err((FailureKind::Panic, String::new()))) {
            Ok(value) => Ok(value),
            Err(failure) => Err(failure_of(failure, schedule.clone(), ended, 1)),
        }
    }

    /// Shrinks the schedule of a failed run, and runs it once more for the report.
    fn explain<R: TestOutcome>(
        &self,
        settings: &Rc<Settings>,
        seed: u64,
        ended: Ended<R>,
        runs: u64,
        body: &mut impl AsyncFnMut() -> R,
    ) -> Box<Failure> {
        let Err((kind, message)) = ended.result else { unreachable!("the run failed") };
        let found = Schedule::with_switches(seed, ended.switches.clone());
        let switches = shrink(ended.switches, self.shrink_runs, |switches| {
            let schedule = Schedule::with_switches(seed, switches.to_vec());
            let ended = run_once(settings, Plan::new(&schedule), body);
            ended.result.is_err_and(|(other, _)| other == kind)
        });
        let schedule = Schedule::with_switches(seed, switches);
        let again = run_once(settings, Plan::new(&schedule).explained(), body);
        let found_switches = found.switches().unwrap_or(0);
        let mut failure = match &again.result {
            Err(failure) => failure_of(failure.clone(), schedule, again, runs),
            Ok(_) => {
                let mut failure = failure_of((kind, message), found, again, runs);
                failure.notes.push(format!("{NOT_AGAIN}: {CAUSES}"));
                failure
            }
        };
        failure.found = Schedule::of_seed(seed);
        failure.found_switches = found_switches;
        failure
    }
}

const NOT_AGAIN: &str = "the run did not fail when its schedule was replayed";
const CAUSES: &str = "the program depends on something that the seed does not decide, such as the \
                      order of a HashMap, an address, the system's clock or random numbers, or \
                      another thread; `assert_repeatable` finds the step";

fn unrepeatable((equal, first, second): &(usize, String, String)) -> String {
    format!(
        "two runs differ after {equal} equal entries of their traces:\n  first:  {first}\n  \
         second: {second}\n{CAUSES}"
    )
}

fn failure_of<R>(
    (kind, message): (FailureKind, String),
    schedule: Schedule,
    ended: Ended<R>,
    runs: u64,
) -> Box<Failure> {
    let mut notes = Vec::new();
    if kind != FailureKind::Report {
        notes.extend(ended.reports.iter().map(|report| format!("reported: {report}")));
    }
    if ended.jobs_not_waited_for > 0 {
        let count = ended.jobs_not_waited_for;
        notes.push(format!("{count} jobs waited for the loop or took long: no seed orders them"));
    }
    Box::new(Failure {
        kind,
        message,
        found: schedule.clone(),
        found_switches: ended.switches.len(),
        schedule,
        runs,
        words: ended.words,
        trace: ended.trace,
        notes,
    })
}

/// The schedule in the environment.
fn schedule_of_environment() -> Option<Schedule> {
    let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{VARIABLE}: {error}")))
}
